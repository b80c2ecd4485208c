//! Who says whether passes kept their promises: the whole model, or its rewritten parts.

use crate::analysis::{Cost, Shapes};
use crate::error::Error;
use crate::ir::Model;
use crate::passes::Promise;
use crate::pipeline::check::{Check, Outcome, Outputs, assume, judge_fairly};
use crate::pipeline::edits::Edits;
use crate::pipeline::parts;
use crate::pipeline::run::Finished;

/// Bytes of weights up to which a model is executed as a whole: the engine holds them about three
/// times for each of two models.
const WHOLE_BYTES: u64 = 64 << 20;
/// Multiply-accumulates of one run up to which it is: the engine makes a few billion in a second.
const WHOLE_MACS: u64 = 4_000_000_000;

/// Nodes up to which it is, and up to which parts are: engines prepare more in more than linear time.
pub(super) const MOST_NODES: usize = 8_000;

/// Executes models before and after edits.
pub(super) struct Witness<'a> {
    check: &'a Check<'a>,
    how: How,
    /// Inputs on which something was executed.
    executed: usize,
    /// The model has more nodes than anything that is executed may have.
    hopeless: bool,
    /// Most nodes of the rewritten parts that were executed.
    nodes: usize,
    /// Nothing was executed, as nothing that runs was edited.
    unedited: bool,
}

/// What is executed.
enum How {
    /// The whole model, if it can be; outputs of the model as it was last approved.
    Whole(Option<Outputs>),
    /// What is rewritten: why not the whole, and whether it was tried.
    Parts { reason: String, tried: bool },
}

impl<'a> Witness<'a> {
    /// A witness of edits of `original`.
    pub fn new(check: &'a Check<'a>, original: &Model) -> Self {
        let how = match too_large(check, original) {
            Some(reason) => How::Parts { reason, tried: false },
            None => How::Whole(None),
        };
        let hopeless = original.all_nodes().len() > MOST_NODES;
        Self { check, how, executed: 0, hopeless, nodes: 0, unedited: false }
    }

    /// Whether asking about single passes would tell no more than asking about all of them.
    pub fn is_hopeless(&self) -> bool {
        self.hopeless
    }

    /// Whether `after` keeps the promise that it does what `before` does. When it does, the next edit
    /// is compared with `after`.
    pub fn judge(&mut self, promise: Promise, before: &Model, after: &Model) -> Outcome {
        // To run a model twice that did not change takes as long, and several times its memory.
        let known = matches!(self.how, How::Whole(Some(_)));
        if !known && Edits::between(before, after).are_none() {
            self.unedited = true;
            return Outcome::Kept(f64::INFINITY);
        }
        self.unedited = false;
        if let How::Whole(known) = &mut self.how {
            let outputs = match known.take() {
                Some(outputs) => Ok(outputs),
                None => self.check.outputs(before),
            };
            match outputs {
                Ok(outputs) => {
                    self.executed = self.check.ran(&outputs);
                    let found = self.check.outputs_like(after, &outputs);
                    match judge_fairly(self.check, promise, before, &outputs, &found) {
                        // The edited model meets a limit of the engine, or nothing can be seen.
                        Outcome::NotExecuted(reason) => {
                            self.how = How::Parts { reason, tried: true };
                        }
                        outcome => {
                            let kept = matches!(outcome, Outcome::Kept(_));
                            *known = Some(if kept { found } else { outputs });
                            return outcome;
                        }
                    }
                }
                Err(error) => self.how = cannot(&error),
            }
        }
        let found = parts::check(self.check, promise, before, after);
        self.executed = self.executed.max(found.executed);
        self.nodes = self.nodes.max(found.nodes);
        found.outcome
    }

    /// Asks the whole model from now on, when it was spared so far because it is large.
    pub fn widen(&mut self) -> bool {
        let spared = !self.hopeless && matches!(self.how, How::Parts { tried: false, .. });
        if spared {
            self.how = How::Whole(None);
        }
        spared
    }

    /// Notes what was executed.
    pub fn sign(self, mut finished: Finished) -> Finished {
        finished.executed = self.executed;
        finished.unedited = self.unedited;
        if let How::Parts { reason, .. } = self.how {
            finished.parts = Some((reason, self.nodes));
        }
        finished
    }
}

fn cannot(error: &Error) -> How {
    How::Parts { reason: error.to_string(), tried: true }
}

/// Why it would take long to execute a model.
fn too_large(check: &Check<'_>, model: &Model) -> Option<String> {
    let nodes = model.all_nodes().len();
    if nodes > MOST_NODES {
        return Some(format!("it has {nodes} nodes, the limit is {MOST_NODES}"));
    }
    let assume = assume(check.inputs.first().map_or(&[], Vec::as_slice));
    let cost = Cost::of(model, &Shapes::infer(model, &assume));
    if cost.weight_bytes > WHOLE_BYTES {
        let (found, limit) = (cost.weight_bytes >> 20, WHOLE_BYTES >> 20);
        return Some(format!("it has {found} MB of weights, the limit is {limit} MB"));
    }
    (cost.macs > WHOLE_MACS).then(|| {
        let (found, limit) = (cost.macs / 1_000_000, WHOLE_MACS / 1_000_000);
        format!("it multiplies {found} million times, the limit is {limit} million")
    })
}
