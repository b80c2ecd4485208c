//! Model -> `ModelProto`, in ascending order of the field numbers.

use crate::emit::{Storage, attribute, function, tensor, types};
use crate::error::{Result, err};
use crate::ir::{Constant, Declared, Def, GraphId, Header, Model, Node, ValueId, Verified};
use crate::wire::{Rope, Writer};

/// Largest protobuf message that all readers accept.
const LARGEST_MESSAGE: usize = i32::MAX as usize;

/// The encoded model with all data inside. A model that was read and not edited gives the bytes it
/// was read from. Weights are shared with the model, not copied.
///
/// # Errors
/// When the message would pass 2 GiB, which no reader accepts.
pub fn onnx(verified: Verified<'_>) -> Result<Rope> {
    within_limit(encode(verified, &mut Storage::Inline))
}

/// The encoded model, with tensors where `storage` says.
pub(super) fn encode(verified: Verified<'_>, storage: &mut Storage<'_>) -> Rope {
    let model = verified.model();
    let mut out = Writer::keeping(&model.header.carried);
    if let Some(version) = model.header.ir_version {
        out.int(1, version);
    }
    out.message(7, graph(model, model.main(), storage));
    for import in imports(&model.header) {
        out.message(8, import);
    }
    for function in model.functions() {
        out.message(25, function::function(function, storage));
    }
    out.finish()
}

/// The imports of a model or a function.
pub(super) fn imports(header: &Header) -> impl Iterator<Item = Rope> {
    header.opsets.iter().enumerate().map(|(i, (domain, version))| {
        let kept = header.opsets_carried.get(i);
        let mut import = kept.map_or_else(Writer::default, Writer::keeping);
        match kept {
            Some(_) => import.text(1, domain),
            None => import.bytes(1, domain.as_bytes()),
        }
        // One that was read as zero is among what is kept, if it was stated.
        if *version != 0 {
            import.int(2, *version);
        }
        import.finish()
    })
}

pub(super) fn within_limit(encoded: Rope) -> Result<Rope> {
    match encoded.len() {
        size if size > LARGEST_MESSAGE => Err(err!(
            Limit,
            "the model takes {size} bytes in one message; readers accept {LARGEST_MESSAGE}"
        )
        .help("keep the weights in a file of their own with --external-data")),
        _ => Ok(encoded),
    }
}

/// Recursion is bounded by the nesting that `read` accepted.
pub(super) fn graph(model: &Model, id: GraphId, storage: &mut Storage<'_>) -> Rope {
    let entry = model.graph(id);
    let mut out = Writer::keeping(&entry.carried);
    for (_, node) in model.nodes_of(id) {
        out.message(1, self::node(model, node, storage));
    }
    out.text(2, entry.name());
    for value in model.initializers_of(id) {
        if let Some(Constant::Dense(stored)) = constant(model, value) {
            out.message(5, tensor::tensor(stored, Some(model.value(value).name()), storage));
        }
    }
    for &value in entry.inputs() {
        out.message(11, types::info(model.value(value).name(), model.value(value).info()));
    }
    for output in entry.outputs() {
        out.message(12, types::info(model.value(output.value).name(), &output.info));
    }
    declarations(model, id, 13, &mut out);
    for value in model.sparse_initializers_of(id) {
        if let Some(Constant::Sparse(sparse)) = constant(model, value) {
            out.message(15, tensor::sparse(sparse, model.value(value).name()));
        }
    }
    out.finish()
}

/// Writes the declared types of inner values as field `number`.
pub(super) fn declarations(model: &Model, id: GraphId, number: u32, out: &mut Writer) {
    for declared in model.declared_of(id) {
        match declared {
            Declared::Value(value) => {
                let value = model.value(*value);
                out.message(number, types::info(value.name(), value.info()));
            }
            Declared::Carried(encoded) => out.shared(number, encoded),
        }
    }
}

fn constant(model: &Model, value: ValueId) -> Option<&Constant> {
    match model.value(value).def() {
        Def::Initializer(constant) | Def::Input { default: Some(constant) } => Some(constant),
        _ => None,
    }
}

pub(super) fn node(model: &Model, node: &Node, storage: &mut Storage<'_>) -> Rope {
    let mut out = Writer::keeping(&node.carried);
    let name = |value: &Option<ValueId>| value.map_or("", |value| model.value(value).name());
    for input in node.inputs() {
        out.bytes(1, name(input).as_bytes());
    }
    for output in node.outputs() {
        out.bytes(2, name(output).as_bytes());
    }
    out.text(3, node.name());
    out.bytes(4, node.op().as_bytes());
    for attribute in node.attributes() {
        out.message(5, attribute::attribute(model, attribute, storage));
    }
    out.text(7, node.domain());
    out.text(8, node.overload());
    for entry in &node.metadata {
        out.message(9, types::entry(entry));
    }
    out.finish()
}
