//! `ValueInfoProto` and `TypeProto` -> declared types.

use smol_str::SmolStr;

use crate::error::{Result, err};
use crate::ir::{Dim, DimSize, Info, TensorType, ValueType};
use crate::read::onnx::entry;
use crate::tensor::DType;
use crate::wire::{Message, Rest};

/// Name and declaration of a `ValueInfoProto`.
pub(super) fn info(message: &Message) -> Result<(SmolStr, Info)> {
    let (mut name, mut types, mut metadata) = (SmolStr::default(), Vec::new(), Vec::new());
    let mut rest = Rest::default();
    for field in message.fields() {
        let field = field?;
        match field.number {
            1 => name = field.str()?.into(),
            2 => types.push(field.message()?),
            4 => match entry(&field.message()?)? {
                Some(entry) => metadata.push(entry),
                None => rest.keep(&field),
            },
            _ => rest.keep(&field),
        }
    }
    let ty = match Message::merged(types) {
        None => None,
        Some(ty) => Some(match tensor_type(&ty)? {
            Some(tensor) => ValueType::Tensor(tensor),
            None => {
                check_nesting(&ty)?;
                ValueType::Opaque(ty.bytes().clone())
            }
        }),
    };
    Ok((name, Info { ty, metadata, carried: rest.finish() }))
}

/// The dense tensor type, when the message is one of a known element type and says nothing else,
/// and nothing twice: protobuf would merge the parts.
fn tensor_type(message: &Message) -> Result<Option<TensorType>> {
    let (mut tensor, mut denotation) = (None, None);
    for field in message.fields() {
        let field = field?;
        match field.number {
            1 if tensor.is_none() => tensor = Some(field.message()?),
            6 => denotation = Some(field.text()?),
            _ => return Ok(None),
        }
    }
    let Some(tensor) = tensor else { return Ok(None) };
    let (mut dtype, mut dims) = (None, None);
    for field in tensor.fields() {
        let field = field?;
        match field.number {
            1 => dtype = DType::from_onnx(field.i32()?),
            2 if dims.is_none() => match self::dims(&field.message()?)? {
                Some(axes) => dims = Some(axes),
                None => return Ok(None),
            },
            _ => return Ok(None),
        }
    }
    Ok(dtype.map(|dtype| TensorType { dtype, dims, denotation }))
}

/// Deepest nesting of sequence, optional and map types; real models have one or two levels.
const TYPE_DEPTH: usize = 32;

/// Refuses types that are nested too deep for readers that recurse.
fn check_nesting(ty: &Message) -> Result<()> {
    let mut level = vec![ty.clone()];
    for _ in 0..TYPE_DEPTH {
        let mut inner = Vec::new();
        for ty in level {
            for field in ty.fields() {
                let field = field?;
                // Sequence, map, optional: the element type is their field 1, of a map field 2.
                let element = match field.number {
                    4 | 9 => 1,
                    5 => 2,
                    _ => continue,
                };
                for field in field.message()?.fields() {
                    let field = field?;
                    if field.number == element {
                        inner.push(field.message()?);
                    }
                }
            }
        }
        if inner.is_empty() {
            return Ok(());
        }
        level = inner;
    }
    Err(err!(Limit, "a type is nested deeper than {TYPE_DEPTH} levels"))
}

/// The axes of a `TensorShapeProto`; `None` when it says something else.
fn dims(message: &Message) -> Result<Option<Vec<Dim>>> {
    let mut dims = Vec::new();
    for field in message.fields() {
        let field = field?;
        if field.number != 1 {
            return Ok(None);
        }
        let (mut size, mut denotation) = (DimSize::Unknown, None);
        for field in field.message()?.fields() {
            let field = field?;
            match field.number {
                1 => size = DimSize::Known(field.i64()?),
                2 => size = DimSize::Symbol(field.text()?),
                3 => denotation = Some(field.text()?),
                _ => return Ok(None),
            }
        }
        dims.push(Dim { size, denotation });
    }
    Ok(Some(dims))
}
