//! The same model as another exporter would write it: what the IR carries but no step makes.

use std::collections::BTreeMap;

use bytes::Bytes;
use onnxpress::proto::{
    ModelProto, StringStringEntryProto, TensorAnnotation, TensorProto, TensorShapeProto, TypeProto,
    ValueInfoProto, tensor_shape_proto, type_proto,
};
use onnxpress::tensor::DType;
use prost::Message;

use super::Choices;

/// Type and extents of values by name.
type Known = BTreeMap<String, (DType, Vec<usize>)>;

/// The first version of the format in which initializers need not be inputs.
const FREE_INITIALIZERS: i64 = 4;

/// Adds documentation, declarations and defaults, and stores some weights another way.
pub fn dress(encoded: Bytes, choices: &mut Choices<'_>, known: &Known) -> Bytes {
    let mut model = ModelProto::decode(encoded.clone()).expect("our bytes are a message");
    let version = *choices.one_of(&[8, 8, 3, 4, 6, 7, 9, 10]);
    model.ir_version = Some(version);
    model.producer_name = choices.chance(2).then(|| "fuzz".to_owned());
    model.metadata_props = metadata(choices);
    let Some(graph) = &mut model.graph else { return encoded };
    if choices.chance(3) {
        graph.doc_string = Some("drawn".to_owned());
    }
    for node in &mut graph.node {
        if choices.chance(8) {
            node.doc_string = Some("here".to_owned());
            node.metadata_props = metadata(choices);
        }
    }
    let listed = choices.between(1, 8);
    for tensor in &mut graph.initializer {
        if version < FREE_INITIALIZERS || choices.chance(4 * listed) {
            graph.input.push(declared(tensor));
        }
        if choices.chance(4) {
            in_its_field(tensor);
        }
    }
    let initializers: Vec<&str> =
        graph.initializer.iter().filter_map(|tensor| tensor.name.as_deref()).collect();
    let inputs: Vec<&str> = graph.input.iter().filter_map(|input| input.name.as_deref()).collect();
    for (name, (dtype, dims)) in known {
        if initializers.contains(&name.as_str()) || inputs.contains(&name.as_str()) {
            continue;
        }
        // Without extents the declaration also holds for other batches.
        if choices.chance(5) {
            graph.value_info.push(value_info(
                name,
                *dtype,
                choices.chance(2).then_some(dims.len()),
            ));
        }
        if choices.chance(30) {
            graph.quantization_annotation.push(TensorAnnotation {
                tensor_name: Some(name.clone()),
                ..TensorAnnotation::default()
            });
        }
    }
    model.encode_to_vec().into()
}

fn metadata(choices: &mut Choices<'_>) -> Vec<StringStringEntryProto> {
    let keys = ["author", "pkg.torch.onnx.name_scopes", "stage"];
    let count = choices.below(2);
    let entry = |key: &&str| StringStringEntryProto {
        key: Some((*key).to_owned()),
        value: Some("value".to_owned()),
    };
    keys.iter().take(count).map(entry).collect()
}

fn declared(tensor: &TensorProto) -> ValueInfoProto {
    let dim = |&side: &i64| tensor_shape_proto::Dimension {
        value: Some(tensor_shape_proto::dimension::Value::DimValue(side)),
        ..Default::default()
    };
    let shape = TensorShapeProto { dim: tensor.dims.iter().map(dim).collect() };
    let ty = type_proto::Tensor { elem_type: tensor.data_type, shape: Some(shape) };
    info(tensor.name.clone(), ty)
}

fn value_info(name: &str, dtype: DType, rank: Option<usize>) -> ValueInfoProto {
    let shape = rank.map(|rank| TensorShapeProto { dim: vec![Default::default(); rank] });
    let ty = type_proto::Tensor { elem_type: Some(dtype.to_onnx()), shape };
    info(Some(name.to_owned()), ty)
}

fn info(name: Option<String>, tensor: type_proto::Tensor) -> ValueInfoProto {
    let value = Some(type_proto::Value::TensorType(tensor));
    let r#type = Some(TypeProto { value, ..TypeProto::default() });
    ValueInfoProto { name, r#type, ..ValueInfoProto::default() }
}

/// Moves elements from `raw_data` to the field of their type.
fn in_its_field(tensor: &mut TensorProto) {
    let Some(raw) = &tensor.raw_data else { return };
    match tensor.data_type.and_then(DType::from_onnx) {
        Some(DType::Float) => {
            let floats = raw.chunks_exact(4);
            tensor.float_data =
                floats.map(|c| f32::from_le_bytes([c[0], c[1], c[2], c[3]])).collect();
        }
        Some(DType::Int64) => {
            let ints = raw.chunks_exact(8).map(|chunk| chunk.try_into().unwrap_or_default());
            tensor.int64_data = ints.map(i64::from_le_bytes).collect();
        }
        _ => return,
    }
    tensor.raw_data = None;
}
