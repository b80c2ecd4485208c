//! Which buffers share memory, and which gradients are computed at all.

use smallvec::SmallVec;

use crate::grad::Real;
use crate::grad::tape::{BufferId, Origin, Tape};

/// Where numbers are during a run.
pub(super) type Slot = usize;

/// What is decided before the first run.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Steps that lead to what is wanted, in order.
    pub order: Vec<usize>,
    /// For each buffer the slot of its numbers, and that of its gradient.
    pub values: Vec<Option<Slot>>,
    pub gradients: Vec<Option<Slot>>,
    /// For each parameter whether its gradient is computed.
    pub trained: Vec<bool>,
    /// For each step in `order` which inputs have a gradient; nothing when the step is not walked back.
    pub passed: Vec<SmallVec<[bool; 4]>>,
    /// For each step in `order` the gradients of inputs that begin there, and are cleared.
    pub cleared: Vec<SmallVec<[BufferId; 4]>>,
    /// Elements of each slot.
    pub slots: Vec<usize>,
    /// Elements of scratch, and the largest buffer that one step reads twice.
    pub scratch: usize,
    pub twice: usize,
}

/// When numbers are needed: at the steps forward, at the loss, at the steps backward.
#[derive(Debug, Clone, Copy)]
struct Interval {
    begin: usize,
    end: usize,
    len: usize,
    /// The buffer, and whether this is its gradient.
    buffer: BufferId,
    gradient: bool,
}

impl Plan {
    /// A plan to compute `wanted` and to walk back from all of it, to the inputs as well when that is wanted.
    pub fn new<T: Real>(tape: &Tape<T>, wanted: &[BufferId], inputs_too: bool) -> Self {
        let mut plan = Self { order: leading(tape, wanted), ..Self::default() };
        let buffers = tape.buffers.len();
        let is_parameter = |b: &crate::grad::tape::Buffer| matches!(b.origin, Origin::Parameter(_));
        let is_followed = |b: &crate::grad::tape::Buffer| {
            is_parameter(b) || inputs_too && matches!(b.origin, Origin::Input(_))
        };
        // Buffers that a parameter moves.
        let mut moved: Vec<bool> = tape.buffers.iter().map(is_followed).collect();
        for &at in &plan.order {
            let step = &tape.steps[at];
            let passes =
                |(slot, &input): (usize, &BufferId)| moved[input] && step.kernel.passes(slot);
            moved[step.output] = step.inputs.iter().enumerate().any(passes);
        }
        // Buffers that move what is wanted.
        let mut counts = vec![false; buffers];
        wanted.iter().for_each(|&buffer| counts[buffer] = moved[buffer]);
        for &at in plan.order.iter().rev() {
            let step = &tape.steps[at];
            for (slot, &input) in step.inputs.iter().enumerate() {
                counts[input] |= counts[step.output] && moved[input] && step.kernel.passes(slot);
            }
        }
        let parameters = tape.buffers.iter().enumerate().filter(|(_, b)| is_parameter(b));
        plan.trained = parameters.map(|(buffer, _)| counts[buffer]).collect();
        let intervals = plan.intervals(tape, wanted, &counts);
        plan.assign(intervals, buffers);
        plan
    }

    /// When each buffer and each gradient is needed.
    fn intervals<T: Real>(
        &mut self,
        tape: &Tape<T>,
        wanted: &[BufferId],
        counts: &[bool],
    ) -> Vec<Interval> {
        let loss = self.order.len();
        let back = |place: usize| 2 * loss - place;
        let computed = |buffer: BufferId| tape.buffers[buffer].origin == Origin::Computed;
        let is_input = |buffer: BufferId| matches!(tape.buffers[buffer].origin, Origin::Input(_));
        let mut values: Vec<Option<(usize, usize)>> = vec![None; tape.buffers.len()];
        let mut gradients: Vec<Option<(usize, usize)>> = vec![None; tape.buffers.len()];
        for &buffer in wanted.iter().filter(|&&buffer| counts[buffer]) {
            gradients[buffer] = Some((loss, loss));
        }
        for (place, &at) in self.order.iter().enumerate() {
            let step = &tape.steps[at];
            let rereads = step.kernel.rereads();
            let walked = counts[step.output];
            values[step.output] =
                Some((place, if walked && rereads.y { back(place) } else { place }));
            for &input in &step.inputs {
                let until = if walked && rereads.x { back(place) } else { place };
                if let Some(interval) = &mut values[input] {
                    interval.1 = interval.1.max(until);
                }
            }
            self.scratch = self.scratch.max(step.kernel.scratch());
        }
        for &buffer in wanted {
            if let Some(interval) = &mut values[buffer] {
                interval.1 = interval.1.max(loss);
            }
        }
        self.passed = vec![SmallVec::new(); self.order.len()];
        self.cleared = vec![SmallVec::new(); self.order.len()];
        for (place, &at) in self.order.iter().enumerate().rev() {
            let step = &tape.steps[at];
            if !counts[step.output] {
                continue;
            }
            if let Some(interval) = &mut gradients[step.output] {
                interval.1 = back(place);
            }
            for (slot, &input) in step.inputs.iter().enumerate() {
                let passes = counts[input] && step.kernel.passes(slot);
                self.passed[place].push(passes);
                let repeated = step.inputs[..slot].contains(&input);
                if passes && repeated {
                    self.twice = self.twice.max(tape.buffers[input].len);
                }
                let kept = computed(input) || is_input(input);
                if passes && kept && gradients[input].is_none() {
                    gradients[input] = Some((back(place), back(place)));
                    self.cleared[place].push(input);
                }
            }
        }
        // What comes out of the walk back must stay until it is read.
        for buffer in (0..gradients.len()).filter(|&buffer| is_input(buffer)) {
            if let Some(interval) = &mut gradients[buffer] {
                interval.1 = back(0) + 1;
            }
        }
        let all = |list: Vec<Option<(usize, usize)>>, gradient: bool| {
            list.into_iter().enumerate().filter_map(move |(buffer, interval)| {
                let (begin, end) = interval?;
                Some(Interval { begin, end, len: 0, buffer, gradient })
            })
        };
        let both = all(values, false).chain(all(gradients, true));
        let of_steps = both.filter(|i| computed(i.buffer) || i.gradient && is_input(i.buffer));
        of_steps.map(|i| Interval { len: tape.buffers[i.buffer].len, ..i }).collect()
    }

    /// Gives intervals that do not overlap the same slot, the smallest that is large enough.
    fn assign(&mut self, mut intervals: Vec<Interval>, buffers: usize) {
        self.values = vec![None; buffers];
        self.gradients = vec![None; buffers];
        intervals.sort_by_key(|i| (i.begin, std::cmp::Reverse(i.len), i.buffer, i.gradient));
        let mut taken: Vec<(usize, Slot)> = Vec::new();
        let mut free: Vec<Slot> = Vec::new();
        for interval in intervals {
            taken.retain(|&(end, slot)| {
                let over = end < interval.begin;
                if over {
                    free.push(slot);
                }
                !over
            });
            free.sort_by_key(|&slot| (self.slots[slot], slot));
            let fitting = free.iter().position(|&slot| self.slots[slot] >= interval.len);
            let slot = match fitting.or_else(|| free.len().checked_sub(1)) {
                Some(at) => free.remove(at),
                None => {
                    self.slots.push(0);
                    self.slots.len() - 1
                }
            };
            self.slots[slot] = self.slots[slot].max(interval.len);
            taken.push((interval.end, slot));
            let table = if interval.gradient { &mut self.gradients } else { &mut self.values };
            table[interval.buffer] = Some(slot);
        }
    }
}

/// The steps that lead to `wanted`, in order.
fn leading<T: Real>(tape: &Tape<T>, wanted: &[BufferId]) -> Vec<usize> {
    let mut needed = vec![false; tape.buffers.len()];
    wanted.iter().for_each(|&buffer| needed[buffer] = true);
    let mut order = Vec::new();
    for (at, step) in tape.steps.iter().enumerate().rev() {
        if needed[step.output] {
            step.inputs.iter().for_each(|&input| needed[input] = true);
            order.push(at);
        }
    }
    order.reverse();
    order
}
