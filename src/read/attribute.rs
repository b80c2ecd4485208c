//! `AttributeProto` -> attribute.

use crate::error::{Result, err};
use crate::ir::{AttrValue, Attribute, GraphId};
use crate::proto::attribute_proto::AttributeType;
use crate::proto::{AttributeProto, GraphProto};
use crate::read::onnx::remainder;
use crate::read::{Folder, tensor};

/// Reads one attribute; `body` reads the graphs it holds.
pub(super) fn read(
    mut proto: AttributeProto,
    body: &mut dyn FnMut(GraphProto) -> Result<GraphId>,
) -> Result<Attribute> {
    let name = proto.name.take().unwrap_or_default();
    let declared = proto.r#type.take();
    let kind = match declared {
        Some(number) => AttributeType::try_from(number)
            .map_err(|_| err!(Unsupported, "unknown attribute type {number}"))?,
        None => guess(&proto),
    };
    let referenced = proto.ref_attr_name.as_deref().is_some_and(|name| !name.is_empty());
    let mut implicit = false;
    let mut given = |present: bool| implicit = !present;
    let value = match kind {
        _ if referenced => AttrValue::Opaque,
        AttributeType::Float => {
            given(proto.f.is_some());
            AttrValue::Float(proto.f.take().unwrap_or_default())
        }
        AttributeType::Int => {
            given(proto.i.is_some());
            AttrValue::Int(proto.i.take().unwrap_or_default())
        }
        AttributeType::String => {
            given(proto.s.is_some());
            AttrValue::String(proto.s.take().unwrap_or_default().into())
        }
        AttributeType::Tensor => match proto.t.take() {
            Some(t) => AttrValue::Tensor(tensor::stored(t, &mut Folder::none())?),
            None => return Err(err!(Invalid, "its type is TENSOR, but it holds no tensor")),
        },
        AttributeType::Graph => match proto.g.take() {
            Some(g) => AttrValue::Graph(body(g)?),
            None => return Err(err!(Invalid, "its type is GRAPH, but it holds no graph")),
        },
        AttributeType::Floats => AttrValue::Floats(std::mem::take(&mut proto.floats)),
        AttributeType::Ints => AttrValue::Ints(std::mem::take(&mut proto.ints)),
        AttributeType::Strings => AttrValue::Strings(
            std::mem::take(&mut proto.strings).into_iter().map(Into::into).collect(),
        ),
        AttributeType::Tensors => AttrValue::Tensors(
            std::mem::take(&mut proto.tensors)
                .into_iter()
                .map(|t| tensor::stored(t, &mut Folder::none()))
                .collect::<Result<_>>()?,
        ),
        AttributeType::Graphs => AttrValue::Graphs(
            std::mem::take(&mut proto.graphs).into_iter().map(body).collect::<Result<_>>()?,
        ),
        _ => AttrValue::Opaque,
    };
    if matches!(value, AttrValue::Opaque) {
        proto.r#type = declared;
    }
    Ok(Attribute {
        name,
        value,
        implicit,
        untyped: declared.is_none(),
        carried: remainder(&mut proto),
    })
}

/// The type of an attribute that does not say it: the field that is set.
fn guess(proto: &AttributeProto) -> AttributeType {
    if proto.f.is_some() {
        AttributeType::Float
    } else if proto.i.is_some() {
        AttributeType::Int
    } else if proto.s.is_some() {
        AttributeType::String
    } else if proto.t.is_some() {
        AttributeType::Tensor
    } else if proto.g.is_some() {
        AttributeType::Graph
    } else if !proto.floats.is_empty() {
        AttributeType::Floats
    } else if !proto.ints.is_empty() {
        AttributeType::Ints
    } else if !proto.strings.is_empty() {
        AttributeType::Strings
    } else {
        AttributeType::Undefined
    }
}
