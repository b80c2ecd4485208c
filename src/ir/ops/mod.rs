//! Typed views of operators: attributes with the defaults of the operator set in force.

mod batch_norm;
mod catalogue;
mod conv;
mod gemm;
mod integer;

pub use batch_norm::BatchNorm;
pub use catalogue::{LINEAR, RECURRENT, WITH_CHANNELS};
pub use conv::Conv;
pub use gemm::Gemm;
pub use integer::{BiasType, IntegerForm, MICROSOFT, Operand, Operands, Output};
