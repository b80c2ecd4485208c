//! One file for each family of operators: what is computed, what the way back reads, and the gradients.

pub(super) mod batch_norm;
pub(super) mod binary;
pub(super) mod blend;
pub(super) mod cells;
pub(super) mod concat;
pub(super) mod conv;
pub(super) mod conv_transpose;
pub(super) mod depthwise;
mod gates;
pub(super) mod gather;
pub(super) mod grid;
pub(super) mod gru;
pub(super) mod lstm;
pub(super) mod matmul;
pub(super) mod permute;
pub(super) mod pick;
pub(super) mod pool;
pub(super) mod reduce;
pub(super) mod select;
pub(super) mod softmax;
pub(super) mod standardize;
pub(super) mod unary;
