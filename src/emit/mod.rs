//! A *verified* model becomes bytes; the twin of `read`.

mod attribute;
mod draft;
mod external;
mod function;
mod onnx;
mod save;
mod tensor;
mod text;
mod types;

use external::Storage;

pub use external::{Encoded, with_external_data};
pub use onnx::onnx;
pub use save::{Overwrite, holds, refuse_existing, save, write};
pub use text::{Elements, TextOptions, text, text_with};
