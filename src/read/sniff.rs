//! Recognizes by their first bytes files that are not ONNX.

/// What the file really is, for a better message than "invalid wire type".
pub(super) fn not_onnx(bytes: &[u8]) -> Option<&'static str> {
    const SIGNATURES: &[(&[u8], &str)] = &[
        (b"version https://git-lfs", "a Git LFS pointer: fetch the file with `git lfs pull`"),
        (b"<!DOCTYPE", "an HTML page: the download went wrong"),
        (b"<!doctype", "an HTML page: the download went wrong"),
        (b"<html", "an HTML page: the download went wrong"),
        (b"PK\x03\x04", "a zip archive (perhaps a PyTorch checkpoint): export the model to ONNX"),
        (b"\x1f\x8b", "gzip data: decompress it first"),
        (b"GGUF", "a GGUF file"),
        (b"\x93NUMPY", "a NumPy array"),
        (b"\x89HDF", "an HDF5 file (perhaps a Keras model): export the model to ONNX"),
        (b"ir_version:", "protobuf text format: convert it to the binary format"),
    ];
    if let Some((_, what)) = SIGNATURES.iter().find(|(start, _)| bytes.starts_with(start)) {
        return Some(what);
    }
    if bytes.get(4..8) == Some(b"TFL3") {
        return Some("a TensorFlow Lite model");
    }
    if bytes.get(8..10) == Some(b"{\"") {
        return Some("a safetensors file");
    }
    bytes.is_empty().then_some("an empty file")
}
