//! `float[N,3]`, `seq(int64[])`, … -> `TypeProto`.

use crate::error::Result;
use crate::proto::tensor_shape_proto::{Dimension, dimension};
use crate::proto::{TensorShapeProto, TypeProto, type_proto};
use crate::read::text::cursor::Cursor;
use crate::tensor::DType;

/// How deep sequences, maps and optionals may hold one another; real models stay below 4.
const DEEPEST: usize = 16;

/// True for the words that start a type.
pub(super) fn is_type(word: &str) -> bool {
    DType::from_name(word).is_some()
        || matches!(word, "seq" | "map" | "optional" | "sparse_tensor" | "opaque")
}

/// Takes a type.
pub(super) fn value_type(cursor: &mut Cursor<'_>) -> Result<TypeProto> {
    nested(cursor, 0)
}

fn nested(cursor: &mut Cursor<'_>, depth: usize) -> Result<TypeProto> {
    if depth > DEEPEST {
        return Err(cursor.error(format_args!("types nest deeper than {DEEPEST}")));
    }
    let mut ahead = *cursor;
    let word = ahead.identifier().filter(|word| is_type(word));
    let Some(word) = word else { return Err(cursor.expected("a type, e.g. `float[N,3]`")) };
    *cursor = ahead;
    let inner = |cursor: &mut Cursor<'_>| nested(cursor, depth + 1).map(Box::new).map(Some);
    if let Some(dtype) = DType::from_name(word) {
        let tensor = type_proto::Tensor { elem_type: Some(dtype.to_onnx()), shape: shape(cursor)? };
        return Ok(TypeProto {
            value: Some(type_proto::Value::TensorType(tensor)),
            ..TypeProto::default()
        });
    }
    cursor.expect('(')?;
    let value = match word {
        "seq" => {
            let elem_type = inner(cursor)?;
            type_proto::Value::SequenceType(Box::new(type_proto::Sequence { elem_type }))
        }
        "optional" => {
            let elem_type = inner(cursor)?;
            type_proto::Value::OptionalType(Box::new(type_proto::Optional { elem_type }))
        }
        "map" => {
            let key_type = Some(dtype(cursor)?.to_onnx());
            cursor.expect(',')?;
            let value_type = inner(cursor)?;
            type_proto::Value::MapType(Box::new(type_proto::Map { key_type, value_type }))
        }
        "sparse_tensor" => {
            let elem_type = Some(dtype(cursor)?.to_onnx());
            let shape = shape(cursor)?;
            type_proto::Value::SparseTensorType(type_proto::SparseTensor { elem_type, shape })
        }
        _ => type_proto::Value::OpaqueType(opaque(cursor)?),
    };
    cursor.expect(')')?;
    Ok(TypeProto { value: Some(value), ..TypeProto::default() })
}

fn dtype(cursor: &mut Cursor<'_>) -> Result<DType> {
    let start = *cursor;
    let dtype = cursor.identifier().and_then(DType::from_name);
    dtype.ok_or_else(|| start.expected("an element type, e.g. `float`"))
}

/// Nothing is a scalar, `[]` an unknown rank.
fn shape(cursor: &mut Cursor<'_>) -> Result<Option<TensorShapeProto>> {
    let mut dim = Vec::new();
    if cursor.eat('[') {
        if cursor.eat(']') {
            return Ok(None);
        }
        loop {
            let value = if cursor.eat('?') {
                None
            } else if let Some(name) = cursor.optional_name()? {
                Some(dimension::Value::DimParam(name))
            } else {
                Some(dimension::Value::DimValue(cursor.int("a dim: a number, a name or `?`")?))
            };
            dim.push(Dimension { value, denotation: None });
            if !cursor.eat(',') {
                break;
            }
        }
        cursor.expect(']')?;
    }
    Ok(Some(TensorShapeProto { dim }))
}

/// Nothing, `name` or `domain, name`, each perhaps with dots.
fn opaque(cursor: &mut Cursor<'_>) -> Result<type_proto::Opaque> {
    let mut parts = [None, None];
    for part in &mut parts {
        let Some(mut path) = cursor.optional_name()? else { break };
        while cursor.eat('.') {
            path.push('.');
            path.push_str(&cursor.name("the next part of a name")?);
        }
        *part = Some(path);
        if !cursor.eat(',') {
            break;
        }
    }
    let [first, second] = parts;
    Ok(match second {
        Some(name) => type_proto::Opaque { domain: first, name: Some(name) },
        None => type_proto::Opaque { domain: None, name: first },
    })
}
