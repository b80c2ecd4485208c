//! What every kernel does: compute, and pass gradients back.

use crate::grad::Real;

/// Reads and writes of a forward step.
pub(super) struct Forward<'a, T> {
    /// Inputs, in slot order.
    pub x: &'a [&'a [T]],
    /// The output; every element is written.
    pub y: &'a mut [T],
    /// Room for what is only needed here, of the length that the kernel asked for.
    pub scratch: &'a mut [T],
}

/// Reads and writes of a backward step.
pub(super) struct Backward<'a, 'd, T> {
    /// Inputs, in slot order; empty where [`Kernel::rereads`] says that they are not needed.
    pub x: &'a [&'a [T]],
    /// The output, or nothing.
    pub y: &'a [T],
    /// The gradient of the output.
    pub g: &'a [T],
    /// The gradients of the inputs, to which is added; `None` where nobody wants to know.
    pub dx: &'d mut [Option<&'a mut [T]>],
    /// As in the forward step.
    pub scratch: &'a mut [T],
}

/// What a backward step reads beside the gradient: it must be kept until then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Rereads {
    /// The inputs.
    pub x: bool,
    /// The output.
    pub y: bool,
}

impl Rereads {
    pub const NOTHING: Self = Self { x: false, y: false };
    pub const X: Self = Self { x: true, y: false };
    pub const Y: Self = Self { x: false, y: true };
    pub const BOTH: Self = Self { x: true, y: true };
}

/// An operation with any number of inputs and one output, for fixed extents.
pub(super) trait Kernel<T: Real>: Send + Sync {
    /// Computes the output.
    fn forward(&self, step: Forward<'_, T>);

    /// Adds to the gradients of the inputs.
    fn backward(&self, step: Backward<'_, '_, T>);

    /// Whether there is a gradient for an input.
    fn passes(&self, _slot: usize) -> bool {
        true
    }

    /// What the backward step reads.
    fn rereads(&self) -> Rereads {
        Rereads::BOTH
    }

    /// Elements of scratch.
    fn scratch(&self) -> usize {
        0
    }
}
