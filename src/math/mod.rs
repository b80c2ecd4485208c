//! Slices in, slices out: pure functions that need no ONNX to follow.

mod distance;
mod grid;
mod union_find;

pub use distance::Distance;
pub use grid::Grid;
pub use union_find::UnionFind;
