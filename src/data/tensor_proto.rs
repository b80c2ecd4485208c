//! Tensors in ONNX's own encoding: a file that holds one `TensorProto`.

use std::io::Read;
use std::path::Path;

use bytes::Bytes;

use crate::data::npy_header::read_error;
use crate::disk::open_regular;
use crate::error::{Error, Result, err};
use crate::read;
use crate::tensor::Tensor;

/// The tensor of a `.pb` file of at most `most_bytes`, and its name if it has one.
pub(super) fn read_pb(path: &Path, most_bytes: u64) -> Result<(Option<String>, Tensor)> {
    let read = || {
        let (mut file, len) = open_regular(path)?;
        if len > most_bytes {
            return Err(err!(
                Limit,
                "{len} bytes; at most {most_bytes} are read from one .pb file"
            )
            .help("allow more with --max-run-bytes"));
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
    let (name, tensor) =
        read::tensor(encoded).map_err(|error| error.at("expected an ONNX TensorProto"))?;
    if tensor.strings().is_some() {
        return Err(err!(Unsupported, "string tensors cannot be fed"));
    }
    Ok(((!name.is_empty()).then_some(name), tensor))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A `TensorProto`: type 1 (float) or another, one axis, raw data.
    fn encoded(dtype: u8, dim: u8, raw: &[u8]) -> Bytes {
        let head = [0x08, dim, 0x10, dtype, 0x42, 1, b'x', 0x4a, raw.len() as u8];
        [&head[..], raw].concat().into()
    }

    #[test]
    fn a_tensor_has_its_name() {
        let (name, tensor) = decode(encoded(1, 1, &[0, 0, 128, 63])).unwrap();
        assert_eq!((name.as_deref(), tensor), (Some("x"), Tensor::from_f32(&[1], &[1.0])));
    }

    #[test]
    fn what_does_not_add_up_is_refused() {
        for (wrong, expected) in [
            (encoded(1, 2, &[0; 4]), "takes 8 bytes, found 4"),
            (encoded(0, 1, &[0; 4]), "element type 0"),
            (encoded(8, 0, &[]), "string"),
            (Bytes::from_static(&[0xff; 3]), "malformed"),
        ] {
            let message = decode(wrong).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
    }
}
