//! The wire format of protobuf: messages in, fields out, and back. It has never heard of ONNX.
//!
//! Weights stay windows of the input on the way in, and shared pieces of the output on the way out.
//! Primitives are prost's; what is ours is that nothing is lost: a field that the caller does not
//! model can be kept as the bytes it was read from.

mod digest;
mod message;
mod rest;
mod rope;
mod writer;

pub use digest::{FNV_BASIS, fnv};
pub use message::{Field, Message, Span};
pub use rest::Rest;
pub use rope::Rope;
pub use writer::Writer;
