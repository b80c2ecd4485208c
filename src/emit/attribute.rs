//! Attribute -> `AttributeProto`.

use crate::emit::Storage;
use crate::emit::onnx::graph;
use crate::emit::tensor;
use crate::ir::{AttrValue, Attribute, Model};
use crate::proto::attribute_proto::AttributeType;
use crate::wire::{Rope, Writer};

pub(super) fn attribute(model: &Model, attribute: &Attribute, storage: &mut Storage<'_>) -> Rope {
    let mut out = Writer::keeping(&attribute.carried);
    out.bytes(1, attribute.name.as_bytes());
    let kind = match &attribute.value {
        AttrValue::Float(_) => AttributeType::Float,
        AttrValue::Int(_) => AttributeType::Int,
        AttrValue::String(_) => AttributeType::String,
        AttrValue::Tensor(_) => AttributeType::Tensor,
        AttrValue::Graph(_) => AttributeType::Graph,
        AttrValue::Floats(_) => AttributeType::Floats,
        AttrValue::Ints(_) => AttributeType::Ints,
        AttrValue::Strings(_) => AttributeType::Strings,
        AttrValue::Tensors(_) => AttributeType::Tensors,
        AttrValue::Graphs(_) => AttributeType::Graphs,
        AttrValue::Reference { kind, .. } => kind
            .and_then(|kind| AttributeType::from_str_name(kind.name()))
            .unwrap_or(AttributeType::Undefined),
        AttrValue::Opaque => return out.finish(),
    };
    if !attribute.implicit {
        match &attribute.value {
            AttrValue::Float(x) => out.float(2, *x),
            AttrValue::Int(x) => out.int(3, *x),
            AttrValue::String(x) => out.shared(4, x),
            AttrValue::Tensor(stored) => out.message(5, tensor::tensor(stored, None, storage)),
            AttrValue::Graph(body) => out.message(6, graph(model, *body, storage)),
            AttrValue::Floats(xs) => xs.iter().for_each(|x| out.float(7, *x)),
            AttrValue::Ints(xs) => xs.iter().for_each(|x| out.int(8, *x)),
            AttrValue::Strings(xs) => xs.iter().for_each(|x| out.shared(9, x)),
            AttrValue::Tensors(xs) => {
                xs.iter().for_each(|x| out.message(10, tensor::tensor(x, None, storage)));
            }
            AttrValue::Graphs(bodies) => {
                bodies.iter().for_each(|body| out.message(11, graph(model, *body, storage)));
            }
            AttrValue::Reference { .. } | AttrValue::Opaque => {}
        }
    }
    if !attribute.untyped {
        out.int(20, kind as i64);
    }
    if let AttrValue::Reference { name, .. } = &attribute.value {
        out.bytes(21, name.as_bytes());
    }
    out.finish()
}
