//! Tensors in ONNX's own encoding: a file that holds one `TensorProto`.

use std::io::Read;
use std::path::Path;

use bytes::Bytes;
use prost::Message;

use crate::data::disk::open_regular;
use crate::data::npy_header::read_error;
use crate::error::{Error, Result, err};
use crate::proto::TensorProto;
use crate::proto::tensor_proto::DataLocation;
use crate::tensor::{DType, Tensor, element_count};

/// The tensor of a `.pb` file of at most `most_bytes`, and its name if it has one.
pub(super) fn read_pb(path: &Path, most_bytes: u64) -> Result<(Option<String>, Tensor)> {
    let read = || {
        let (mut file, len) = open_regular(path)?;
        if len > most_bytes {
            return Err(err!(
                Limit,
                "{len} bytes; at most {most_bytes} are read from one .pb file"
            ));
        }
        if len == 0 {
            return Err(err!(Format, "the file is empty; expected an ONNX TensorProto"));
        }
        let mut bytes = Vec::new();
        file.by_ref()
            .take(most_bytes)
            .read_to_end(&mut bytes)
            .map_err(|error| read_error(&error))?;
        decode(bytes.into())
    };
    read().map_err(|error: Error| error.in_file(path))
}

/// Decodes a `TensorProto` of numbers that keeps its data inside.
fn decode(encoded: Bytes) -> Result<(Option<String>, Tensor)> {
    let mut proto = TensorProto::decode(encoded)
        .map_err(|error| err!(Format, "expected an ONNX TensorProto: {error}"))?;
    let name = proto.name.take().filter(|name| !name.is_empty());
    let tensor = tensor(proto).map_err(|error| match &name {
        Some(name) => error.at(format_args!("tensor `{name}`")),
        None => error,
    })?;
    Ok((name, tensor))
}

fn tensor(proto: TensorProto) -> Result<Tensor> {
    let number = proto.data_type.unwrap_or_default();
    let dtype = DType::from_onnx(number)
        .ok_or_else(|| err!(Format, "expected an ONNX TensorProto, found element type {number}"))?;
    let dims = proto
        .dims
        .iter()
        .map(|&dim| {
            usize::try_from(dim).map_err(|_| err!(Format, "dims {:?} hold a negative", proto.dims))
        })
        .collect::<Result<Vec<_>>>()?;
    if element_count(&dims).is_none() {
        return Err(err!(Format, "the product of dims {dims:?} overflows"));
    }
    if proto.data_location == Some(DataLocation::External as i32) || !proto.external_data.is_empty()
    {
        return Err(err!(Unsupported, "external data is not read for samples")
            .help("save the tensor with its data inside"));
    }
    if dtype == DType::String {
        return Err(err!(Unsupported, "string tensors cannot be fed"));
    }
    let fields = [
        proto.float_data.len(),
        proto.int32_data.len(),
        proto.string_data.len(),
        proto.int64_data.len(),
        proto.double_data.len(),
        proto.uint64_data.len(),
        proto.raw_data.as_ref().map_or(0, Bytes::len),
    ];
    if fields.iter().filter(|&&len| len > 0).count() > 1 {
        return Err(err!(Format, "its data stands in more than one field"));
    }
    let data = match proto.raw_data {
        Some(raw) if !raw.is_empty() => raw,
        _ => elements(dtype, &proto)?.into(),
    };
    Tensor::new(dtype, dims, data)
}

/// The bytes of the one field that holds elements, as the specification assigns types to fields.
fn elements(dtype: DType, proto: &TensorProto) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    let taken;
    match dtype {
        DType::Float | DType::Complex64 => {
            taken = proto.float_data.len();
            out.extend(proto.float_data.iter().flat_map(|x| x.to_le_bytes()));
        }
        DType::Double | DType::Complex128 => {
            taken = proto.double_data.len();
            out.extend(proto.double_data.iter().flat_map(|x| x.to_le_bytes()));
        }
        DType::Int64 => {
            taken = proto.int64_data.len();
            out.extend(proto.int64_data.iter().flat_map(|x| x.to_le_bytes()));
        }
        DType::Uint64 | DType::Uint32 => {
            taken = proto.uint64_data.len();
            for &element in &proto.uint64_data {
                push(&mut out, dtype, i128::from(element))?;
            }
        }
        _ => {
            taken = proto.int32_data.len();
            for &element in &proto.int32_data {
                push(&mut out, dtype, i128::from(element))?;
            }
        }
    }
    let given = proto.float_data.len()
        + proto.int32_data.len()
        + proto.string_data.len()
        + proto.int64_data.len()
        + proto.double_data.len()
        + proto.uint64_data.len();
    if taken < given {
        return Err(err!(Format, "{dtype} elements stand in a field for another type"));
    }
    Ok(out)
}

/// Appends an integer, or the bits of a small float or of packed elements.
fn push(out: &mut Vec<u8>, dtype: DType, element: i128) -> Result<()> {
    let width = dtype.bits().div_ceil(8);
    let bits = (0, (1i128 << (8 * width)) - 1);
    let (low, high) = dtype.integer_range().filter(|_| dtype.bits() >= 8).unwrap_or(bits);
    if !(low..=high).contains(&element) {
        return Err(err!(Format, "{element} is no {dtype}"));
    }
    out.extend(element.to_le_bytes().into_iter().take(width));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(proto: &TensorProto) -> Result<Tensor> {
        decode(proto.encode_to_vec().into()).map(|(_, tensor)| tensor)
    }

    fn proto(dtype: DType, dims: &[i64]) -> TensorProto {
        let data_type = Some(dtype.to_onnx());
        TensorProto { data_type, dims: dims.to_vec(), ..TensorProto::default() }
    }

    #[test]
    fn elements_stand_in_raw_data_or_in_the_field_of_their_type() {
        let raw = TensorProto {
            raw_data: Some(vec![0, 0, 128, 63].into()),
            name: Some("x".into()),
            ..proto(DType::Float, &[1])
        };
        let (name, tensor) = decode(raw.encode_to_vec().into()).unwrap();
        assert_eq!((name.as_deref(), tensor), (Some("x"), Tensor::from_f32(&[1], &[1.0])));
        let field = TensorProto { float_data: vec![1.0], ..proto(DType::Float, &[1]) };
        assert_eq!(decoded(&field).unwrap(), Tensor::from_f32(&[1], &[1.0]));
        let narrow = TensorProto { int32_data: vec![-1, 127], ..proto(DType::Int8, &[2]) };
        assert_eq!(decoded(&narrow).unwrap().to_i64().unwrap(), [-1, 127]);
        let half = TensorProto { int32_data: vec![0x3c00], ..proto(DType::Float16, &[1]) };
        assert_eq!(decoded(&half).unwrap().to_f32().unwrap(), [1.0]);
        let wide = TensorProto { uint64_data: vec![7], ..proto(DType::Uint32, &[1, 1]) };
        assert_eq!(decoded(&wide).unwrap().to_i64().unwrap(), [7]);
    }

    #[test]
    fn what_does_not_add_up_is_refused() {
        let raw = |len: usize| TensorProto {
            raw_data: Some(vec![0; len].into()),
            ..proto(DType::Float, &[2])
        };
        for (wrong, expected) in [
            (raw(4), "takes 8 bytes, found 4"),
            (TensorProto { float_data: vec![0.0; 2], ..raw(8) }, "more than one field"),
            (TensorProto { int32_data: vec![0; 2], ..proto(DType::Float, &[2]) }, "another type"),
            (TensorProto { int32_data: vec![200], ..proto(DType::Int8, &[1]) }, "200 is no int8"),
            (proto(DType::Float, &[-1]), "negative"),
            (proto(DType::Float, &[1 << 62, 8]), "overflows"),
            (TensorProto { data_location: Some(1), ..proto(DType::Float, &[1]) }, "external data"),
            (proto(DType::String, &[0]), "string"),
            (TensorProto::default(), "element type 0"),
        ] {
            let message = decoded(&wrong).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
    }
}
