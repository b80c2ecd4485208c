//! A *verified* model becomes bytes; the twin of `read`.

mod attribute;
mod onnx;
mod save;
mod tensor;
mod text;
mod types;

pub use onnx::onnx;
pub use save::{Overwrite, save};
pub use text::{Elements, TextOptions, text, text_with};
