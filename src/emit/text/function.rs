//! Model-local functions as text.

use prost::Message as _;

use crate::emit::text::{Printer, imports, words};
use crate::ir::{Function, ValueId};
use crate::proto::FunctionProto;

impl<'a> Printer<'a> {
    /// `<domain: …, opset_import: …> name <attributes> (inputs) => (outputs) <types> { nodes }`.
    pub(super) fn function(&mut self, function: &'a Function) {
        let body = &function.body;
        self.model = body;
        let quoted = |key: &str, text: &str| format!("{key}: {}", words::quoted(text.as_bytes()));
        let mut fields = vec![quoted("domain", &function.domain)];
        if !function.overload.is_empty() {
            fields.push(quoted("overload", &function.overload));
        }
        fields.push(imports(&body.header));
        let carried = FunctionProto::decode(function.carried.clone()).unwrap_or_default();
        fields.extend(carried.doc_string.map(|text| quoted("doc_string", &text)));
        self.out.push_str(&format!("<{}>", fields.join(", ")));
        self.newline(0);
        self.out.push_str(&words::name(&function.name));
        let bare: Vec<String> = function.attributes.iter().map(|name| words::name(name)).collect();
        self.attribute_list(bare, &function.defaults, 0);
        let main = body.graph(body.main());
        let names = |values: &mut dyn Iterator<Item = ValueId>| {
            values.map(|value| words::name(body.value(value).name())).collect::<Vec<_>>().join(", ")
        };
        let inputs = names(&mut main.inputs().iter().copied());
        let outputs = names(&mut main.outputs().iter().map(|output| output.value));
        self.out.push_str(&format!(" ({inputs}) => ({outputs})"));
        self.body(body.main(), 0);
    }
}
