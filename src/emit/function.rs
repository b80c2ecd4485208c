//! Function -> `FunctionProto`.

use crate::emit::onnx::{declarations, imports, node};
use crate::emit::{Storage, attribute};
use crate::ir::Function;
use crate::wire::{Rope, Writer};

pub(super) fn function(function: &Function, storage: &mut Storage) -> Rope {
    let body = &function.body;
    let main = body.graph(body.main());
    let mut out = Writer::keeping(&function.carried);
    out.text(1, &function.name);
    for &input in main.inputs() {
        out.bytes(4, body.value(input).name().as_bytes());
    }
    for output in main.outputs() {
        out.bytes(5, body.value(output.value).name().as_bytes());
    }
    for name in &function.attributes {
        out.bytes(6, name.as_bytes());
    }
    for (_, inner) in body.nodes_of(body.main()) {
        out.message(7, node(body, inner, storage));
    }
    for import in imports(&body.header) {
        out.message(9, import);
    }
    out.text(10, &function.domain);
    for default in &function.defaults {
        out.message(11, attribute::attribute(body, default, storage));
    }
    declarations(body, body.main(), 12, &mut out);
    out.text(13, &function.overload);
    out.finish()
}
