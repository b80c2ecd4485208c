//! Bytes become an [`ir::Model`](crate::ir::Model), and nothing is lost; hostile input ends here.

mod attribute;
mod external;
mod function;
mod graph;
mod locations;
mod onnx;
mod order;
mod repair;
mod sniff;
mod sparse;
mod tensor;
mod text;
mod types;

pub use external::Folder;
pub use locations::data_files;
pub use onnx::{Loaded, bytes, file};
pub use tensor::tensor;
pub use text::{text, text_with_notes};

pub use crate::disk::watch_mapped_files;

/// Whether the files that were mapped by [`file()`] are still as they were.
///
/// # Errors
/// When one was truncated or written to: what was made of it is worth nothing.
pub fn check_unchanged() -> crate::error::Result<()> {
    crate::disk::check_unchanged()
}

/// Whether `path` is a file that [`file()`] read: a model, or data of one.
pub fn was_read(path: &std::path::Path) -> bool {
    crate::disk::was_read(path)
}
