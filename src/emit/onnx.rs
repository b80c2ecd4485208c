//! Model -> `ModelProto`.

use bytes::Bytes;
use prost::Message;

use crate::emit::{attribute, tensor, types};
use crate::error::{Result, err};
use crate::ir::{Constant, Declared, Def, GraphId, Model, Node, ValueId, Verified};
use crate::proto::{
    FunctionProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, SparseTensorProto,
    StringStringEntryProto, TensorProto, ValueInfoProto,
};

/// Largest protobuf message that all readers accept.
const LARGEST_MESSAGE: usize = i32::MAX as usize;

/// The encoded model. A model that was read and not edited gives the bytes it was read from.
///
/// # Errors
/// When the message would pass 2 GiB, which no reader accepts.
pub fn onnx(verified: Verified<'_>) -> Result<Bytes> {
    let proto = model(verified.model())?;
    let size = proto.encoded_len();
    if size > LARGEST_MESSAGE {
        return Err(err!(
            Limit,
            "the model takes {size} bytes in one message; readers accept {LARGEST_MESSAGE}"
        ));
    }
    Ok(proto.encode_to_vec().into())
}

/// The message a remainder was taken from, without the fields that the IR models.
pub(super) fn carried<M: Message + Default>(encoded: &Bytes) -> Result<M> {
    M::decode(encoded.clone())
        .map_err(|error| err!(Invalid, "carried data cannot be decoded: {error}"))
}

/// Sets a text field; one that is empty keeps the presence it was read with.
pub(super) fn set_text(field: &mut Option<String>, text: &str) {
    if !text.is_empty() {
        *field = Some(text.to_owned());
    }
}

/// An entry of metadata.
pub(super) fn entry((key, value): &(String, String)) -> StringStringEntryProto {
    StringStringEntryProto { key: Some(key.clone()), value: Some(value.clone()) }
}

fn model(model: &Model) -> Result<ModelProto> {
    let mut proto: ModelProto = carried(&model.header.carried)?;
    proto.ir_version = model.header.ir_version;
    for (i, (domain, version)) in model.header.opsets.iter().enumerate() {
        let mut import: OperatorSetIdProto = match model.header.opsets_carried.get(i) {
            Some(encoded) => carried(encoded)?,
            None => OperatorSetIdProto { domain: Some(String::new()), ..Default::default() },
        };
        set_text(&mut import.domain, domain);
        import.version = Some(*version);
        proto.opset_import.push(import);
    }
    for function in model.functions() {
        proto.functions.push(carried::<FunctionProto>(&function.encoded)?);
    }
    proto.graph = Some(graph(model, model.main())?);
    Ok(proto)
}

/// Recursion is bounded by the nesting that `read` accepted.
pub(super) fn graph(model: &Model, id: GraphId) -> Result<GraphProto> {
    let entry = model.graph(id);
    let mut proto: GraphProto = carried(&entry.carried)?;
    set_text(&mut proto.name, entry.name());
    for (_, node) in model.nodes_of(id) {
        proto.node.push(self::node(model, node)?);
    }
    for value in model.initializers_of(id) {
        if let Some(Constant::Dense(stored)) = constant(model, value) {
            let mut initializer: TensorProto = tensor::tensor(stored)?;
            initializer.name = Some(model.value(value).name().to_owned());
            proto.initializer.push(initializer);
        }
    }
    for value in model.sparse_initializers_of(id) {
        if let Some(Constant::Sparse(encoded)) = constant(model, value) {
            proto.sparse_initializer.push(carried::<SparseTensorProto>(encoded)?);
        }
    }
    for &value in entry.inputs() {
        proto.input.push(types::info(model.value(value).name(), model.value(value).info())?);
    }
    for output in entry.outputs() {
        proto.output.push(types::info(model.value(output.value).name(), &output.info)?);
    }
    for declared in model.declared_of(id) {
        proto.value_info.push(match declared {
            Declared::Value(value) => {
                types::info(model.value(*value).name(), model.value(*value).info())?
            }
            Declared::Carried(encoded) => carried::<ValueInfoProto>(encoded)?,
        });
    }
    Ok(proto)
}

fn constant(model: &Model, value: ValueId) -> Option<&Constant> {
    match model.value(value).def() {
        Def::Initializer(constant) | Def::Input { default: Some(constant) } => Some(constant),
        _ => None,
    }
}

fn node(model: &Model, node: &Node) -> Result<NodeProto> {
    let mut proto: NodeProto = carried(&node.carried)?;
    let name = |value: &Option<ValueId>| {
        value.map(|value| model.value(value).name().to_owned()).unwrap_or_default()
    };
    proto.input = node.inputs().iter().map(name).collect();
    proto.output = node.outputs().iter().map(name).collect();
    set_text(&mut proto.name, node.name());
    proto.op_type = Some(node.op().to_owned());
    set_text(&mut proto.domain, node.domain());
    proto.metadata_props.extend(node.metadata.iter().map(entry));
    for attribute in node.attributes() {
        proto.attribute.push(attribute::attribute(model, attribute)?);
    }
    Ok(proto)
}
