//! Bytes become an [`ir::Model`](crate::ir::Model), and nothing is lost; hostile input ends here.

mod attribute;
mod external;
mod function;
mod graph;
mod onnx;
mod order;
mod repair;
mod sniff;
mod sparse;
mod tensor;
mod text;
mod types;

pub use external::Folder;
pub use onnx::{Loaded, bytes, file};
pub use tensor::tensor;
pub use text::text;
