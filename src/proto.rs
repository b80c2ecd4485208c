//! The ONNX file format as its owners define it: generated messages, and nothing else.

#![allow(missing_docs, clippy::all, clippy::unwrap_used)]

include!(concat!(env!("OUT_DIR"), "/onnx.rs"));
