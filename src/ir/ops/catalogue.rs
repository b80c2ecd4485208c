//! What operators with weights are called, where their weights and biases stand, and what only changes places.

use crate::ir::Node;

/// Layers whose outputs are sums of products of inputs and weights.
pub const LINEAR: &[&str] = &["Conv", "ConvTranspose", "Gemm", "MatMul"];
/// Layers that read what they gave a step before.
pub const RECURRENT: &[&str] = &["GRU", "LSTM", "RNN"];
/// All layers whose weights may have a scale for each output channel, tables included.
pub const WITH_CHANNELS: &[&str] =
    &["Conv", "ConvTranspose", "GRU", "Gather", "Gemm", "LSTM", "MatMul", "RNN"];

impl Node {
    /// A layer of [`LINEAR`], of the default domain.
    pub fn is_linear(&self) -> bool {
        self.is_standard() && LINEAR.contains(&self.op())
    }

    /// A layer of [`RECURRENT`], of the default domain.
    pub fn is_recurrent(&self) -> bool {
        self.is_standard() && RECURRENT.contains(&self.op())
    }
}
