//! Runs passes over and over until none of them finds anything to do.

use std::time::{Duration, Instant};

use crate::analysis::{Assume, Shapes};
use crate::error::{Error, Result, err};
use crate::ir::Model;
use crate::passes::{Context, Pass, Promise, Report};
use crate::pipeline::run::{Finished, Step, same_interface, unchecked};
use crate::pipeline::salvage::salvage;
use crate::pipeline::witness::Witness;
use crate::pipeline::{Check, Outcome};

/// Rounds after which passes must have settled. Each round carries facts through a whole model;
/// models from exporters settle in two to five.
const ROUNDS: usize = 64;

/// Rounds that look everywhere. The second does, too, because what is known of extents when it starts
/// includes what the first one folded, far from its edits.
const FULL_ROUNDS: usize = 2;

/// When promises are checked by execution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum When {
    /// Once, after all passes; if that fails, the passes run again and each is checked by itself.
    #[default]
    AtEnd,
    /// After every run of a pass that changed something.
    EachPass,
}

/// Runs `passes` in order, round after round, until a round changes nothing. From the third round
/// on a pass looks only where something was edited since it last ran. The result is verified and,
/// with `check`, executed: as a whole, or, where that is not possible or would take long, the parts
/// that were rewritten. A pass that breaks its promise is rolled back, and the others go on without
/// it; where single edits of it do, only these are. What cannot be executed is changed only by passes whose
/// promise is exact.
///
/// # Errors
/// When a pass fails, or leaves an invalid model or another interface, or when passes undo each
/// other's edits (bugs in onnxpress).
pub fn settle(
    model: Model,
    passes: &[Box<dyn Pass + '_>],
    cx: &Context<'_>,
    check: Option<&Check<'_>>,
    when: When,
) -> Result<Finished> {
    let Some(check) = check else { return Rounds::new(passes, cx).run(model) };
    let at_end = match when {
        When::AtEnd => Some(Rounds::new(passes, cx).run(model.clone())?),
        When::EachPass => None,
    };
    let mut witness = Witness::new(check, &model);
    if let Some(mut finished) = at_end {
        let Some(promise) = finished.promise() else { return Ok(finished) };
        let outcome = witness.judge(promise, &model, &finished.model);
        let outcome = match outcome {
            // Random numbers may not be what stands there: the whole model knows better.
            Outcome::Broken(_) | Outcome::NotExecuted(_) if witness.widen() => {
                witness.judge(promise, &model, &finished.model)
            }
            outcome => outcome,
        };
        if let Outcome::Kept(_) = outcome {
            finished.outcome = Some(outcome);
            return Ok(witness.sign(finished));
        }
        let unseen = matches!(outcome, Outcome::NotExecuted(_)) && witness.is_hopeless();
        if unseen && promise == Promise::Exact {
            return Ok(witness.sign(finished));
        }
    }
    let mut rounds = Rounds::new(passes, cx);
    rounds.each = Some(witness);
    rounds.run(model)
}

/// The state of a run.
struct Rounds<'a> {
    passes: &'a [Box<dyn Pass + 'a>],
    cx: &'a Context<'a>,
    /// Checks each pass.
    each: Option<Witness<'a>>,
    /// Passes that do not run any more.
    off: Vec<bool>,
    steps: Vec<Step>,
    first_broken: Option<&'static str>,
    /// For each pass, the mark in the journal of edits up to which it has seen the model.
    seen: Vec<Option<usize>>,
}

impl<'a> Rounds<'a> {
    fn new(passes: &'a [Box<dyn Pass + 'a>], cx: &'a Context<'a>) -> Self {
        let step = |pass: &(dyn Pass + 'a)| Step {
            name: pass.name(),
            promise: pass.promise(),
            report: Report::default(),
            outcome: None,
            time: Duration::ZERO,
        };
        let steps = passes.iter().map(|pass| step(&**pass)).collect();
        Self {
            passes,
            cx,
            each: None,
            off: vec![false; passes.len()],
            steps,
            first_broken: None,
            seen: vec![None; passes.len()],
        }
    }

    fn run(mut self, mut model: Model) -> Result<Finished> {
        let original = model.clone();
        for round in 0..ROUNDS {
            let mark = model.edits();
            let shapes = Shapes::infer(&model, &Assume::default());
            for index in 0..self.passes.len() {
                model = self.step(model, index, &shapes, round < FULL_ROUNDS)?;
            }
            if model.edits() == mark {
                model.verify().map_err(Error::from)?;
                same_interface(&original, &model, "the passes")?;
                let (steps, first_broken) = (self.steps, self.first_broken);
                let finished = Finished { model, steps, first_broken, ..Finished::default() };
                return Ok(match self.each {
                    Some(witness) => witness.sign(finished),
                    None => finished,
                });
            }
        }
        let last = self.steps.iter().filter(|step| step.report.changed()).map(|step| step.name);
        let names: Vec<&str> = last.collect();
        Err(err!(
            Invalid,
            "the passes do not settle in {ROUNDS} rounds: some of {} undo each other (a bug)",
            names.join(", ")
        ))
    }

    /// One pass, where something changed since it last ran.
    fn step(
        &mut self,
        model: Model,
        index: usize,
        shapes: &Shapes,
        everywhere: bool,
    ) -> Result<Model> {
        let pass = &self.passes[index];
        if self.off[index] {
            return Ok(model);
        }
        let mark = self.seen[index].filter(|_| !everywhere);
        let near = mark.map(|mark| model.edited_since(mark, pass.reach()));
        if near.as_ref().is_some_and(Vec::is_empty) {
            return Ok(model);
        }
        let kept = self.each.as_ref().map(|_| model.clone());
        let mut edited = model;
        let start = Instant::now();
        let cx = Context { shapes: Some(shapes), near: near.as_deref(), ..*self.cx };
        let report =
            pass.run(&mut edited, &cx).map_err(|e| e.at(format_args!("pass {}", pass.name())))?;
        self.seen[index] = Some(edited.edits());
        let step = &mut self.steps[index];
        step.time += start.elapsed();
        let (Some(witness), Some(kept), true) = (&mut self.each, kept, report.changed()) else {
            step.report.extend(report);
            return Ok(edited);
        };
        edited
            .verify()
            .map_err(|v| Error::from(v).at(format_args!("after pass {}", pass.name())))?;
        let outcome = witness.judge(pass.promise(), &kept, &edited);
        match &outcome {
            // Execution is a witness, not a wall: what is exact needs none.
            Outcome::NotExecuted(reason) if pass.promise() != Promise::Exact => {
                step.report.refuse("model", unchecked(pass.promise(), reason));
                self.off[index] = true;
                return Ok(kept);
            }
            Outcome::Broken(reason) => {
                // Perhaps single edits are to blame. Later rounds would make them again.
                self.off[index] = true;
                let places = near.unwrap_or_else(|| kept.all_nodes());
                let cx = Context { shapes: Some(shapes), near: None, ..*self.cx };
                let several = report.done.len() > 1;
                if several
                    && let Some(saved) = salvage(&**pass, &cx, witness, &kept, &places, reason)?
                {
                    step.outcome = Some(Outcome::Kept(saved.ratio));
                    step.report.extend(saved.report);
                    return Ok(saved.model);
                }
                self.first_broken.get_or_insert(pass.name());
                step.outcome = Some(outcome);
                return Ok(kept);
            }
            _ => {}
        }
        step.outcome = Some(outcome);
        step.report.extend(report);
        Ok(edited)
    }
}
