//! onnxpress makes ONNX models smaller and faster, and proves by execution that they still work.

pub mod analysis;
pub mod calibrate;
pub mod data;
pub mod emit;
pub mod error;
pub mod exec;
pub mod ir;
pub mod math;
pub mod passes;
pub mod pipeline;
pub mod proto;
pub mod read;
pub mod report;
pub mod tensor;
pub mod validate;
pub mod wire;

pub use error::{Error, ErrorKind, Result};
