//! Attribute -> `AttributeProto`.

use crate::emit::onnx::{carried, graph};
use crate::emit::tensor;
use crate::error::Result;
use crate::ir::{AttrValue, Attribute, Model};
use crate::proto::AttributeProto;
use crate::proto::attribute_proto::AttributeType;

pub(super) fn attribute(model: &Model, attribute: &Attribute) -> Result<AttributeProto> {
    let mut proto: AttributeProto = carried(&attribute.carried)?;
    proto.name = Some(attribute.name.clone());
    let present = !attribute.implicit;
    let kind = match &attribute.value {
        AttrValue::Float(x) => {
            proto.f = present.then_some(*x);
            AttributeType::Float
        }
        AttrValue::Int(x) => {
            proto.i = present.then_some(*x);
            AttributeType::Int
        }
        AttrValue::String(x) => {
            proto.s = present.then(|| x.to_vec());
            AttributeType::String
        }
        AttrValue::Tensor(stored) => {
            proto.t = Some(tensor::tensor(stored)?);
            AttributeType::Tensor
        }
        AttrValue::Graph(body) => {
            proto.g = Some(graph(model, *body)?);
            AttributeType::Graph
        }
        AttrValue::Floats(xs) => {
            proto.floats.clone_from(xs);
            AttributeType::Floats
        }
        AttrValue::Ints(xs) => {
            proto.ints.clone_from(xs);
            AttributeType::Ints
        }
        AttrValue::Strings(xs) => {
            proto.strings = xs.iter().map(|x| x.to_vec()).collect();
            AttributeType::Strings
        }
        AttrValue::Tensors(xs) => {
            proto.tensors = xs.iter().map(tensor::tensor).collect::<Result<_>>()?;
            AttributeType::Tensors
        }
        AttrValue::Graphs(bodies) => {
            proto.graphs = bodies.iter().map(|&body| graph(model, body)).collect::<Result<_>>()?;
            AttributeType::Graphs
        }
        AttrValue::Opaque => return Ok(proto),
    };
    if !attribute.untyped {
        proto.r#type = Some(kind as i32);
    }
    Ok(proto)
}
