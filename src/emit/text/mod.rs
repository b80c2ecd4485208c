//! Model -> ONNX text syntax, the syntax of `onnx.printer` and `onnx.parser`.
//!
//! One node to a line, indented by three spaces for each graph. Long tensors and lists show a few
//! elements and `...`, with their number and the FNV-1a digest of their bytes in a comment at the
//! end of the line; with [`Elements::All`] the text can be read back by [`read::text`]. Functions
//! follow the main graph. What the syntax cannot say (sparse initializers and attributes, types with
//! fields that nobody knew when this was written) is named in a comment; what only tools read
//! (documentation of nodes, annotations) is left out.
//!
//! [`read::text`]: crate::read::text()

mod attribute;
mod function;
mod tensor;
mod types;
mod words;

use prost::Message as _;

use crate::ir::{
    Constant, Declared, Def, GraphId, Header, Model, Node, Stored, TensorType, Value, ValueId,
    ValueType, Verified,
};
use crate::proto::{ModelProto, ValueInfoProto};

/// How much of long tensors and lists a text shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Elements {
    /// The first few, and a digest of all.
    #[default]
    Few,
    /// All of them.
    All,
}

/// Options of [`text_with`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TextOptions {
    /// How much of long tensors and lists is shown; a few by default, for people.
    pub elements: Elements,
}

/// The model as text for people: long tensors are cut.
pub fn text(model: Verified<'_>) -> String {
    text_with(model, TextOptions::default())
}

/// The model as text. The same model gives the same text.
pub fn text_with(model: Verified<'_>, options: TextOptions) -> String {
    let model = model.model();
    let mut printer =
        Printer { model, show: options.elements, out: String::new(), comments: Vec::new() };
    printer.header();
    printer.graph(model.main(), 0);
    printer.newline(0);
    for function in model.functions() {
        printer.function(function);
        printer.newline(0);
    }
    printer.out
}

struct Printer<'a> {
    model: &'a Model,
    show: Elements,
    out: String,
    /// Comments for the end of the line.
    comments: Vec<String>,
}

impl<'a> Printer<'a> {
    /// Ends the line, comments included, and starts one of `depth`.
    fn newline(&mut self, depth: usize) {
        const INDENT: &str = "   ";
        if !self.comments.is_empty() {
            let alone = self.out.is_empty() || self.out.ends_with('\n');
            self.out.push_str(if alone { "# " } else { "  # " });
            self.out.push_str(&self.comments.join("; "));
            self.comments.clear();
        }
        self.out.push('\n');
        self.out.push_str(&INDENT.repeat(depth));
    }

    fn header(&mut self) {
        let header = &self.model.header;
        let carried = ModelProto::decode(header.carried.clone()).unwrap_or_default();
        let mut fields = Vec::new();
        fields.extend(header.ir_version.map(|version| format!("ir_version: {version}")));
        fields.push(imports(header));
        let texts = [
            ("producer_name", &carried.producer_name),
            ("producer_version", &carried.producer_version),
            ("domain", &carried.domain),
            ("doc_string", &carried.doc_string),
        ];
        for (key, text) in texts {
            let text = text.as_deref().map(|text| words::quoted(text.as_bytes()));
            fields.extend(text.map(|text| format!("{key}: {text}")));
        }
        fields.extend(carried.model_version.map(|version| format!("model_version: {version}")));
        if !carried.metadata_props.is_empty() {
            let props = carried.metadata_props.iter().map(|entry| {
                let value = entry.value.as_deref().unwrap_or_default();
                pair(entry.key.as_deref().unwrap_or_default(), &words::quoted(value.as_bytes()))
            });
            let props: Vec<String> = props.collect();
            fields.push(format!("metadata_props: [{}]", props.join(", ")));
        }
        self.out.push_str(&format!("<{}>", fields.join(", ")));
        self.newline(0);
    }

    /// Recursion is bounded by the nesting that `read` accepted.
    fn graph(&mut self, id: GraphId, depth: usize) {
        let model = self.model;
        let graph = model.graph(id);
        self.out.push_str(&format!("{} (", words::name(graph.name())));
        for (i, &input) in graph.inputs().iter().enumerate() {
            let value = model.value(input);
            self.out.push_str(if i > 0 { ", " } else { "" });
            let declared = self.declared(value.info().ty.as_ref(), value.name());
            self.out.push_str(&declared);
            if let Some(default) = default_in_place(value) {
                self.out.push_str(" = ");
                self.elements(value.name(), default);
            }
        }
        let outputs = graph
            .outputs()
            .iter()
            .map(|output| self.declared(output.info.ty.as_ref(), model.value(output.value).name()));
        let outputs: Vec<String> = outputs.collect();
        self.out.push_str(&format!(") => ({})", outputs.join(", ")));
        self.body(id, depth);
    }

    /// What stands between the outputs and the end of a graph or function.
    fn body(&mut self, id: GraphId, depth: usize) {
        let model = self.model;
        self.constants_and_types(id, depth);
        self.out.push_str(" {");
        for (_, node) in model.nodes_of(id) {
            self.newline(depth + 1);
            self.node(node, depth + 1);
        }
        self.newline(depth);
        self.out.push('}');
    }

    /// `<float[2] w = {1, 2}, float[N,3] t>`, one to a line.
    fn constants_and_types(&mut self, id: GraphId, depth: usize) {
        let model = self.model;
        let mut opened = false;
        let mut open = |printer: &mut Self| {
            printer.out.push_str(if opened { "," } else { " <" });
            opened = true;
            printer.newline(depth + 1);
        };
        for value in model.initializers_of(id).map(|id| model.value(id)) {
            if let Some(stored) = dense(value)
                && default_in_place(value).is_none()
            {
                open(self);
                let ty = attribute::tensor_type(&stored.tensor);
                self.out.push_str(&format!("{ty} {} = ", words::name(value.name())));
                self.elements(value.name(), stored);
            }
        }
        for entry in model.declared_of(id) {
            open(self);
            let text = match entry {
                Declared::Value(value) => {
                    let value = model.value(*value);
                    self.declared(value.info().ty.as_ref(), value.name())
                }
                Declared::Carried(encoded) => {
                    let proto = ValueInfoProto::decode(encoded.clone()).unwrap_or_default();
                    let ty = proto.r#type.as_ref().and_then(types::message);
                    let name = words::name(proto.name.as_deref().unwrap_or_default());
                    ty.map(|ty| format!("{ty} {name}")).unwrap_or(name)
                }
            };
            self.out.push_str(&text);
        }
        for value in model.sparse_initializers_of(id).map(|id| model.value(id)) {
            let name = value.name().escape_debug();
            self.comments.push(format!("sparse initializer {name} is not shown"));
        }
        if opened {
            self.newline(depth);
            self.out.push('>');
        }
    }

    fn elements(&mut self, name: &str, stored: &Stored) {
        let list = tensor::elements(name, &stored.tensor, self.show);
        self.out.push_str(&list.text);
        self.comments.extend(list.comment);
    }

    fn node(&mut self, node: &'a Node, depth: usize) {
        if !node.name().is_empty() {
            self.out.push_str(&format!("[{}] ", words::name(node.name())));
        }
        let outputs = self.names(node.outputs());
        self.out.push_str(&format!("{outputs} = "));
        if !node.domain().is_empty() {
            self.out.push_str(&format!("{}.", types::path(node.domain())));
        }
        self.out.push_str(&words::name(node.op()));
        if !node.overload().is_empty() {
            self.out.push_str(&format!(":{}", words::name(node.overload())));
        }
        let inputs = format!(" ({})", self.names(node.inputs()));
        if node.bodies().next().is_some() {
            self.out.push_str(&inputs);
            self.attributes(node.attributes(), depth);
        } else {
            self.attributes(node.attributes(), depth);
            self.out.push_str(&inputs);
        }
    }

    /// The type, if the syntax can say it, and the name.
    fn declared(&mut self, ty: Option<&ValueType>, name: &str) -> String {
        let shown = words::name(name);
        match (ty, ty.and_then(types::value)) {
            (_, Some(ty)) => format!("{ty} {shown}"),
            (None, None) => shown,
            (Some(_), None) => {
                self.comments.push(format!("type of {} is not shown", name.escape_debug()));
                shown
            }
        }
    }

    /// Names with commas between them; `""` where a value is left out.
    fn names(&self, values: &[Option<ValueId>]) -> String {
        let name = |value: &Option<ValueId>| {
            value.map_or_else(
                || words::name(""),
                |value| words::name(self.model.value(value).name()),
            )
        };
        values.iter().map(name).collect::<Vec<_>>().join(", ")
    }
}

/// `"key" : value`.
fn pair(key: &str, value: &str) -> String {
    format!("{} : {value}", words::quoted(key.as_bytes()))
}

fn imports(header: &Header) -> String {
    let opsets = header.opsets.iter().map(|(domain, version)| pair(domain, &version.to_string()));
    format!("opset_import: [{}]", opsets.collect::<Vec<_>>().join(", "))
}

/// The tensor of an initializer, overridable or not.
fn dense(value: &Value) -> Option<&Stored> {
    match value.def() {
        Def::Initializer(Constant::Dense(stored))
        | Def::Input { default: Some(Constant::Dense(stored)) } => Some(stored),
        _ => None,
    }
}

/// The default of an input whose declared type is that of the tensor, so that the two can be
/// written as one.
fn default_in_place(value: &Value) -> Option<&Stored> {
    let stored = dense(value).filter(|_| value.is_input())?;
    let exact = TensorType::with_dims(stored.tensor.dtype(), stored.tensor.dims());
    let ty = value.tensor_type()?;
    (ty.dtype == exact.dtype && ty.fixed_dims() == exact.fixed_dims()).then_some(stored)
}
