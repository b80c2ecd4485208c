//! The list of steps that a model becomes, for one size of its inputs.

use smallvec::SmallVec;

use crate::grad::Real;
use crate::grad::kernel::{Forward, Kernel};

/// Number of a buffer.
pub(super) type BufferId = usize;

/// Where the numbers of a buffer are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// The caller gives them in each run.
    Input(usize),
    /// The caller gives them, and wants their gradient.
    Parameter(usize),
    /// They are always the same.
    Constant(usize),
    /// A step makes them.
    Computed,
}

/// Numbers that steps read or make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Buffer {
    pub len: usize,
    pub origin: Origin,
}

/// A kernel with its buffers.
pub(super) struct Step<T> {
    pub kernel: Box<dyn Kernel<T>>,
    pub inputs: SmallVec<[BufferId; 4]>,
    pub output: BufferId,
}

/// Buffers and steps, in the order in which they run.
pub(super) struct Tape<T> {
    pub buffers: Vec<Buffer>,
    pub steps: Vec<Step<T>>,
    pub constants: Vec<Vec<T>>,
    inputs: usize,
    parameters: usize,
}

impl<T: Real> Default for Tape<T> {
    fn default() -> Self {
        Self {
            buffers: Vec::new(),
            steps: Vec::new(),
            constants: Vec::new(),
            inputs: 0,
            parameters: 0,
        }
    }
}

impl<T: Real> Tape<T> {
    /// The next input.
    pub fn input(&mut self, len: usize) -> BufferId {
        self.inputs += 1;
        self.buffer(len, Origin::Input(self.inputs - 1))
    }

    /// The next parameter.
    pub fn parameter(&mut self, len: usize) -> BufferId {
        self.parameters += 1;
        self.buffer(len, Origin::Parameter(self.parameters - 1))
    }

    /// Numbers that are always the same.
    pub fn constant(&mut self, numbers: Vec<T>) -> BufferId {
        let len = numbers.len();
        self.constants.push(numbers);
        self.buffer(len, Origin::Constant(self.constants.len() - 1))
    }

    /// What `kernel` makes of buffers; at once when they are always the same.
    pub fn step(
        &mut self,
        kernel: impl Kernel<T> + 'static,
        inputs: &[BufferId],
        len: usize,
    ) -> BufferId {
        let constants: Option<Vec<&[T]>> = inputs.iter().map(|&input| self.always(input)).collect();
        if let Some(x) = constants {
            let (mut y, mut scratch) = (vec![T::ZERO; len], vec![T::ZERO; kernel.scratch()]);
            kernel.forward(Forward { x: &x, y: &mut y, scratch: &mut scratch });
            return self.constant(y);
        }
        let output = self.buffer(len, Origin::Computed);
        self.steps.push(Step { kernel: Box::new(kernel), inputs: inputs.into(), output });
        output
    }

    /// The numbers of a buffer that are always the same.
    pub fn always(&self, buffer: BufferId) -> Option<&[T]> {
        match self.buffers[buffer].origin {
            Origin::Constant(at) => Some(&self.constants[at]),
            _ => None,
        }
    }

    fn buffer(&mut self, len: usize, origin: Origin) -> BufferId {
        self.buffers.push(Buffer { len, origin });
        self.buffers.len() - 1
    }
}
