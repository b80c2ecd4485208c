//! Attributes as text.

use prost::Message as _;

use crate::emit::text::tensor::{fnv_strings, list};
use crate::emit::text::{Printer, tensor, types, words};
use crate::ir::{AttrValue, Attribute, GraphId, Stored};
use crate::proto::{AttributeProto, TensorProto};
use crate::wire::{FNV_BASIS, fnv};

impl Printer<'_> {
    /// Attributes in angle brackets, on one line unless one is a body. Those that the syntax cannot
    /// say become a comment.
    pub(super) fn attributes(&mut self, attributes: &[Attribute], depth: usize) {
        self.attribute_list(Vec::new(), attributes, depth);
    }

    /// The same behind names without values.
    pub(super) fn attribute_list(
        &mut self,
        bare: Vec<String>,
        attributes: &[Attribute],
        depth: usize,
    ) {
        let lines = attributes.iter().any(|a| !a.value.graphs().is_empty());
        let mut opened = !bare.is_empty();
        if opened {
            self.out.push_str(&format!(" <{}", bare.join(", ")));
        }
        for attribute in attributes {
            let Some(unmodelled) = unmodelled(attribute) else {
                let name = attribute.name.escape_debug();
                self.comments.push(format!("attribute {name} is not shown"));
                continue;
            };
            self.out.push_str(match (opened, lines) {
                (false, _) => " <",
                (true, true) => ",",
                (true, false) => ", ",
            });
            opened = true;
            if lines {
                self.newline(depth + 1);
            }
            self.out.push_str(&words::name(&attribute.name));
            self.out.push_str(&unmodelled);
            self.value(&attribute.name, &attribute.value, depth + 1);
        }
        if opened && lines {
            self.newline(depth);
        }
        if opened {
            self.out.push('>');
        }
    }

    fn value(&mut self, name: &str, value: &AttrValue, depth: usize) {
        let show = self.show;
        let show_list = match value {
            AttrValue::Float(x) => return self.out.push_str(&format!(" = {}", words::float(*x))),
            AttrValue::Int(x) => return self.out.push_str(&format!(" = {x}")),
            AttrValue::String(x) => return self.out.push_str(&format!(" = {}", words::quoted(x))),
            AttrValue::Tensor(stored) => {
                self.out.push_str(" = ");
                return self.tensor(name, stored);
            }
            AttrValue::Graph(body) => {
                self.out.push_str(" = ");
                return self.graph(*body, depth);
            }
            AttrValue::Tensors(tensors) => return self.tensors(name, tensors),
            AttrValue::Graphs(bodies) => return self.graphs(bodies, depth),
            AttrValue::Reference { .. } | AttrValue::Opaque => return,
            AttrValue::Floats(xs) => (
                "floats",
                list(
                    xs.len(),
                    show,
                    |i| words::float(xs[i]),
                    || xs.iter().fold(FNV_BASIS, |hash, x| fnv(hash, &x.to_le_bytes())),
                ),
            ),
            AttrValue::Ints(xs) => (
                "ints",
                list(
                    xs.len(),
                    show,
                    |i| xs[i].to_string(),
                    || xs.iter().fold(FNV_BASIS, |hash, x| fnv(hash, &x.to_le_bytes())),
                ),
            ),
            AttrValue::Strings(xs) => {
                ("strings", list(xs.len(), show, |i| words::quoted(&xs[i]), || fnv_strings(xs)))
            }
        };
        let (kind, list) = show_list;
        // The elements of an empty list cannot show its type.
        let typed = if list.text.is_empty() { format!(": {kind}") } else { String::new() };
        self.out.push_str(&format!("{typed} = [{}]", list.text));
        self.comments.extend(list.comment.map(|note| format!("{}: {note}", name.escape_debug())));
    }

    /// `float[2] {1, 2}`.
    fn tensor(&mut self, attribute: &str, stored: &Stored) {
        let tensor = &stored.tensor;
        self.out.push_str(&tensor_type(tensor));
        let carried = TensorProto::decode(stored.carried.clone()).ok();
        if let Some(name) = carried.and_then(|t| t.name).filter(|name| !name.is_empty()) {
            self.out.push_str(&format!(" {}", words::name(&name)));
        }
        let list = tensor::elements(attribute, tensor, self.show);
        self.out.push_str(&format!(" {}", list.text));
        self.comments.extend(list.comment);
    }

    fn tensors(&mut self, name: &str, tensors: &[Stored]) {
        self.out.push_str(": tensors = [");
        for (i, tensor) in tensors.iter().enumerate() {
            self.out.push_str(if i > 0 { ", " } else { "" });
            self.tensor(name, tensor);
        }
        self.out.push(']');
    }

    fn graphs(&mut self, bodies: &[GraphId], depth: usize) {
        self.out.push_str(": graphs = [");
        for (i, &body) in bodies.iter().enumerate() {
            self.out.push_str(if i > 0 { "," } else { "" });
            self.newline(depth + 1);
            self.graph(body, depth + 1);
        }
        if !bodies.is_empty() {
            self.newline(depth);
        }
        self.out.push(']');
    }
}

/// Element type and dims of a tensor.
pub(super) fn tensor_type(tensor: &crate::tensor::Tensor) -> String {
    let dims: Vec<String> = tensor.dims().iter().map(ToString::to_string).collect();
    match dims[..] {
        [] => tensor.dtype().to_string(),
        _ => format!("{}[{}]", tensor.dtype(), dims.join(",")),
    }
}

/// References to the attributes of a function, and types; `None` for what the syntax cannot say.
fn unmodelled(attribute: &Attribute) -> Option<String> {
    match &attribute.value {
        AttrValue::Reference { name, kind } => {
            let kind = kind.as_ref()?.name().to_ascii_lowercase();
            return Some(format!(": {kind} = @{}", words::name(name)));
        }
        AttrValue::Opaque => {}
        _ => return Some(String::new()),
    }
    let proto = AttributeProto::decode(attribute.carried.clone()).ok()?;
    if let Some(ty) = &proto.tp {
        return Some(format!(": type_proto = {}", types::message(ty)?));
    }
    let types: Option<Vec<String>> = proto.type_protos.iter().map(types::message).collect();
    let types = types.filter(|types| !types.is_empty())?;
    Some(format!(": type_protos = [{}]", types.join(", ")))
}
