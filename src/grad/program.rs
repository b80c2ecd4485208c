//! Runs a tape forward and back, in memory that was planned before.

use smallvec::SmallVec;

use crate::grad::Real;
use crate::grad::kernel::{Backward, Forward};
use crate::grad::plan::Plan;
use crate::grad::tape::{BufferId, Origin, Tape};

/// A model for one size of its inputs: computes values that are wanted, and the gradient of anything that is
/// made of them with respect to the parameters.
///
/// It never changes, so any number of threads may run it, each in a [`Workspace`] of its own.
pub struct Program<T> {
    tape: Tape<T>,
    plan: Plan,
    wanted: Vec<BufferId>,
    parameters: Vec<usize>,
}

/// The memory of a run.
#[derive(Debug)]
pub struct Workspace<T> {
    slots: Vec<Vec<T>>,
    scratch: Vec<T>,
    /// Gradients of buffers that a step reads more than once.
    twice: Vec<Vec<T>>,
    /// The gradient of each parameter; empty where none is computed.
    pub gradients: Vec<Vec<T>>,
}

/// Numbers that do not change during a run.
#[derive(Debug, Clone, Copy)]
pub struct Given<'a, T> {
    /// The parameters, in the order of the program.
    pub parameters: &'a [Vec<T>],
    /// The inputs, in the order of the program.
    pub inputs: &'a [&'a [T]],
}

impl<T: Real> Program<T> {
    /// A program that computes `wanted`; gradients go to the inputs as well when that is wanted.
    pub(super) fn new(tape: Tape<T>, wanted: Vec<BufferId>, inputs_too: bool) -> Self {
        let plan = Plan::new(&tape, &wanted, inputs_too);
        let parameters = tape.buffers.iter();
        let parameters =
            parameters.filter(|b| matches!(b.origin, Origin::Parameter(_))).map(|b| b.len);
        let parameters = parameters.collect();
        Self { tape, plan, wanted, parameters }
    }

    /// Memory for runs.
    pub fn workspace(&self) -> Workspace<T> {
        let zeros = |len: usize| vec![T::ZERO; len];
        let gradients = self.parameters.iter().zip(&self.plan.trained);
        Workspace {
            slots: self.plan.slots.iter().map(|&len| zeros(len)).collect(),
            scratch: zeros(self.plan.scratch),
            twice: vec![zeros(self.plan.twice); usize::from(self.plan.twice > 0)],
            gradients: gradients.map(|(&len, &on)| zeros(if on { len } else { 0 })).collect(),
        }
    }

    /// Bytes that a workspace takes.
    pub fn bytes(&self) -> usize {
        let trained = self.parameters.iter().zip(&self.plan.trained).filter(|(_, on)| **on);
        let gradients: usize = trained.map(|(len, _)| len).sum();
        let slots: usize = self.plan.slots.iter().sum();
        (slots + self.plan.scratch + self.plan.twice + gradients) * size_of::<T>()
    }

    /// For each parameter whether anything wanted depends on it in a way that has a gradient.
    pub fn trained(&self) -> &[bool] {
        &self.plan.trained
    }

    /// Computes everything wanted.
    pub fn forward(&self, work: &mut Workspace<T>, given: Given<'_, T>) {
        for &at in &self.plan.order {
            let step = &self.tape.steps[at];
            let Some(slot) = self.plan.values[step.output] else { continue };
            let mut out = std::mem::take(&mut work.slots[slot]);
            let mut scratch = std::mem::take(&mut work.scratch);
            {
                let numbers = |&input: &BufferId| self.numbers(&work.slots, given, input);
                let x: SmallVec<[&[T]; 8]> = step.inputs.iter().map(numbers).collect();
                step.kernel.forward(Forward {
                    x: &x,
                    y: &mut out[..self.tape.buffers[step.output].len],
                    scratch: &mut scratch[..step.kernel.scratch()],
                });
            }
            work.slots[slot] = out;
            work.scratch = scratch;
        }
    }

    /// What was computed; valid after [`Program::forward`], until [`Program::backward`].
    pub fn wanted<'a>(&'a self, work: &'a Workspace<T>, given: Given<'a, T>, at: usize) -> &'a [T] {
        self.numbers(&work.slots, given, self.wanted[at])
    }

    /// Walks back. `seed` is called for each wanted value with its place, its numbers and its gradient, to
    /// which it adds that of the loss; values that no parameter moves are left out. Gradients of parameters
    /// are those of this run alone.
    pub fn backward(
        &self,
        work: &mut Workspace<T>,
        given: Given<'_, T>,
        mut seed: impl FnMut(usize, &[T], &mut [T]),
    ) {
        work.gradients.iter_mut().for_each(|gradient| gradient.fill(T::ZERO));
        for &buffer in &self.wanted {
            self.clear(work, buffer);
        }
        for (at, &buffer) in self.wanted.iter().enumerate() {
            self.seed(work, given, buffer, |values, gradient| seed(at, values, gradient));
        }
        for (place, &at) in self.plan.order.iter().enumerate().rev() {
            if self.plan.passed[place].contains(&true) {
                for &buffer in &self.plan.cleared[place] {
                    self.clear(work, buffer);
                }
                self.step_back(work, given, place, at);
            }
        }
    }

    /// The gradient of an input, valid after [`Program::backward`]; nothing when none reaches it, or none was
    /// asked for.
    pub fn input_gradient<'a>(&self, work: &'a Workspace<T>, at: usize) -> Option<&'a [T]> {
        let is_input = |entry: &crate::grad::tape::Buffer| entry.origin == Origin::Input(at);
        let buffer = self.tape.buffers.iter().position(is_input)?;
        let slot = self.plan.gradients[buffer]?;
        Some(&work.slots[slot][..self.tape.buffers[buffer].len])
    }

    fn seed(
        &self,
        work: &mut Workspace<T>,
        given: Given<'_, T>,
        buffer: BufferId,
        seed: impl FnOnce(&[T], &mut [T]),
    ) {
        let len = self.tape.buffers[buffer].len;
        if let Some(slot) = self.plan.gradients[buffer] {
            let mut gradient = std::mem::take(&mut work.slots[slot]);
            seed(self.numbers(&work.slots, given, buffer), &mut gradient[..len]);
            work.slots[slot] = gradient;
        } else if let Origin::Parameter(at) = self.tape.buffers[buffer].origin
            && self.plan.trained[at]
        {
            seed(&given.parameters[at], &mut work.gradients[at]);
        }
    }

    fn clear(&self, work: &mut Workspace<T>, buffer: BufferId) {
        if let Some(slot) = self.plan.gradients[buffer] {
            work.slots[slot][..self.tape.buffers[buffer].len].fill(T::ZERO);
        }
    }

    fn step_back(&self, work: &mut Workspace<T>, given: Given<'_, T>, place: usize, at: usize) {
        let (step, rereads) = (&self.tape.steps[at], self.tape.steps[at].kernel.rereads());
        let len = |buffer: BufferId| self.tape.buffers[buffer].len;
        let mut scratch = std::mem::take(&mut work.scratch);
        // Gradients leave their place while they are written to.
        let mut out: SmallVec<[Option<Vec<T>>; 8]> = SmallVec::new();
        for (slot, &input) in step.inputs.iter().enumerate() {
            let wanted = self.plan.passed[place][slot];
            let repeated = self.first(place, at, slot) != slot;
            out.push(wanted.then(|| match self.home(input) {
                _ if repeated => {
                    let mut spare = work.twice.pop().unwrap_or_default();
                    spare.resize(self.plan.twice, T::ZERO);
                    spare.fill(T::ZERO);
                    spare
                }
                Home::Slot(slot) => std::mem::take(&mut work.slots[slot]),
                Home::Parameter(at) => std::mem::take(&mut work.gradients[at]),
            }));
        }
        {
            let slots = &work.slots;
            let x: SmallVec<[&[T]; 8]> = step
                .inputs
                .iter()
                .map(|&input| if rereads.x { self.numbers(slots, given, input) } else { &[] })
                .collect();
            let y = if rereads.y { self.numbers(slots, given, step.output) } else { &[] };
            let g = match self.plan.gradients[step.output] {
                Some(slot) => &slots[slot][..len(step.output)],
                None => &[],
            };
            let mut dx: SmallVec<[Option<&mut [T]>; 8]> = out
                .iter_mut()
                .zip(&step.inputs)
                .map(|(out, &input)| out.as_mut().map(|out| &mut out[..len(input)]))
                .collect();
            let room = &mut scratch[..step.kernel.scratch()];
            step.kernel.backward(Backward { x: &x, y, g, dx: &mut dx, scratch: room });
        }
        let mut spares: SmallVec<[(usize, Vec<T>); 2]> = SmallVec::new();
        for (slot, gradient) in out.into_iter().enumerate() {
            let Some(gradient) = gradient else { continue };
            if self.first(place, at, slot) != slot {
                spares.push((slot, gradient));
                continue;
            }
            match self.home(step.inputs[slot]) {
                Home::Slot(slot) => work.slots[slot] = gradient,
                Home::Parameter(at) => work.gradients[at] = gradient,
            }
        }
        for (slot, spare) in spares {
            let input = step.inputs[slot];
            let to = match self.home(input) {
                Home::Slot(slot) => &mut work.slots[slot][..len(input)],
                Home::Parameter(at) => &mut work.gradients[at],
            };
            to.iter_mut().zip(&spare).for_each(|(to, &more)| *to += more);
            work.twice.push(spare);
        }
        work.scratch = scratch;
    }

    /// The first input of a step that is the same buffer and has a gradient.
    fn first(&self, place: usize, at: usize, slot: usize) -> usize {
        let inputs = &self.tape.steps[at].inputs;
        let passed = &self.plan.passed[place];
        (0..slot).find(|&other| passed[other] && inputs[other] == inputs[slot]).unwrap_or(slot)
    }

    /// Where the gradient of an input that has one is kept.
    fn home(&self, buffer: BufferId) -> Home {
        match (self.plan.gradients[buffer], self.tape.buffers[buffer].origin) {
            (None, Origin::Parameter(at)) => Home::Parameter(at),
            (slot, _) => Home::Slot(slot.unwrap_or_default()),
        }
    }

    fn numbers<'a>(
        &'a self,
        slots: &'a [Vec<T>],
        given: Given<'a, T>,
        buffer: BufferId,
    ) -> &'a [T] {
        let entry = self.tape.buffers[buffer];
        match (entry.origin, self.plan.values[buffer]) {
            (Origin::Input(at), _) => given.inputs[at],
            (Origin::Parameter(at), _) => &given.parameters[at],
            (Origin::Constant(at), _) => &self.tape.constants[at],
            (Origin::Computed, slot) => &slots[slot.unwrap_or_default()][..entry.len],
        }
    }
}

enum Home {
    Slot(usize),
    Parameter(usize),
}
