//! A *verified* model becomes bytes; the twin of `read`.

mod attribute;
mod onnx;
mod save;
mod tensor;
mod types;

pub use onnx::onnx;
pub use save::{Overwrite, save};
