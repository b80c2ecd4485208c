//! Numbers: element types, shapes and bytes. This room has never heard of a graph.

mod bits;
mod cast;
mod dtype;
mod select;
mod small_float;
#[expect(clippy::module_inception, reason = "the room and its main type share the field's word")]
mod tensor;
mod view;

pub use bits::{pack, unpack};
pub use dtype::DType;
pub use tensor::{Tensor, element_count};
pub use view::TensorView;
