//! Typed views of operators: attributes with the defaults of the operator set in force.

mod batch_norm;
mod conv;
mod gemm;

pub use batch_norm::BatchNorm;
pub use conv::Conv;
pub use gemm::Gemm;
