//! onnxpress makes ONNX models smaller and faster, and proves by execution that they still work.

pub mod analysis;
pub mod data;
pub mod emit;
pub mod error;
pub mod exec;
pub mod ir;
pub mod math;
pub mod passes;
pub mod proto;
pub mod read;
pub mod tensor;

pub use error::{Error, ErrorKind, Result};
