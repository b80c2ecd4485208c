//! Runs passes over and over until none of them finds anything to do.

use std::time::{Duration, Instant};

use crate::analysis::{Assume, Shapes};
use crate::error::{Error, Result, err};
use crate::ir::Model;
use crate::passes::{Context, Pass, Promise, Report};
use crate::pipeline::check::{Outputs, ran};
use crate::pipeline::resume::resume;
use crate::pipeline::run::{Finished, Step, same_interface, verdict};
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
/// with `check`, executed; a pass that breaks its promise is rolled back, and the others go on
/// without it. A model that cannot be executed is changed only by passes whose promise is exact, until
/// it can.
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
    let before = check.outputs(&model);
    let executed = match &before {
        Ok(outputs) => ran(outputs),
        Err(error) => {
            let exact = unexecuted(model, passes, cx, error)?;
            return resume(exact, passes, cx, check, when);
        }
    };
    if when == When::AtEnd {
        let mut finished = Rounds::new(passes, cx).run(model.clone())?;
        let changed = || finished.steps.iter().filter(|step| step.report.changed());
        let promise = changed().map(|step| step.promise).max();
        finished.executed = executed;
        let Some(promise) = promise else { return Ok(finished) };
        let known = before.clone();
        let (outcome, _) = verdict(check, promise, known, &finished.model);
        if !matches!(outcome, Outcome::Broken(_)) {
            finished.outcome = Some(outcome);
            return Ok(finished);
        }
    }
    let mut rounds = Rounds::new(passes, cx);
    rounds.each = Some((check, before));
    Ok(Finished { executed, ..rounds.run(model)? })
}

/// Runs the exact passes only, and says why the others did not run.
fn unexecuted(
    model: Model,
    passes: &[Box<dyn Pass + '_>],
    cx: &Context<'_>,
    error: &Error,
) -> Result<Finished> {
    let mut rounds = Rounds::new(passes, cx);
    rounds.exact_only = true;
    let mut finished = rounds.run(model)?;
    for step in &mut finished.steps {
        if step.promise != Promise::Exact {
            let text =
                format!("its promise ({}) cannot be checked by execution: {error}", step.promise);
            step.report.refuse("model", text);
        } else if step.report.changed() {
            step.outcome = Some(Outcome::NotExecuted(error.to_string()));
        }
    }
    Ok(finished)
}

/// The state of a run.
struct Rounds<'a> {
    passes: &'a [Box<dyn Pass + 'a>],
    cx: &'a Context<'a>,
    /// Checks each pass, with the outputs of the model as it is.
    each: Option<(&'a Check<'a>, Result<Outputs>)>,
    exact_only: bool,
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
        let seen = vec![None; passes.len()];
        Self { passes, cx, each: None, exact_only: false, steps, first_broken: None, seen }
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
                return Ok(Finished { model, steps, executed: 0, outcome: None, first_broken });
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
        let broken = matches!(self.steps[index].outcome, Some(Outcome::Broken(_)));
        if broken || (self.exact_only && pass.promise() != Promise::Exact) {
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
        let (Some((check, known)), Some(kept), true) = (&mut self.each, kept, report.changed())
        else {
            step.report.extend(report);
            return Ok(edited);
        };
        edited
            .verify()
            .map_err(|v| Error::from(v).at(format_args!("after pass {}", pass.name())))?;
        let (outcome, next) = verdict(check, pass.promise(), known.clone(), &edited);
        *known = next;
        let broken = matches!(outcome, Outcome::Broken(_));
        step.outcome = Some(outcome);
        if broken {
            self.first_broken.get_or_insert(pass.name());
            return Ok(kept);
        }
        step.report.extend(report);
        Ok(edited)
    }
}
