//! The same model in other words: operator sets, operators on integers, packed weights.

pub(super) mod convert_constant;
pub(super) mod convert_einsum;
pub(super) mod convert_nbits;
pub(super) mod convert_opset;
pub(super) mod convert_qoperator;

pub use convert_constant::ConvertConstant;
pub use convert_einsum::ConvertEinsum;
pub use convert_nbits::ConvertNbits;
pub use convert_opset::ConvertOpset;
pub use convert_qoperator::ConvertQoperator;
