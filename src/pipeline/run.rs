//! Runs passes one after the other; what breaks its promise is taken back.

use std::time::{Duration, Instant};

use crate::error::{Error, Result, err};
use crate::ir::Model;
use crate::passes::{Context, Pass, Promise, Report};
use crate::pipeline::check::{Outputs, judge_fairly};
use crate::pipeline::{Check, Outcome, parts};

/// One pass as it went.
#[derive(Debug, Clone)]
pub struct Step {
    /// Name of the pass.
    pub name: &'static str,
    /// What it promised.
    pub promise: Promise,
    /// What it did and declined.
    pub report: Report,
    /// What execution said; `None` when nothing was changed.
    pub outcome: Option<Outcome>,
    /// Time it took, without the check.
    pub time: Duration,
}

/// The model after all passes, and how it went.
#[derive(Debug, Clone, Default)]
pub struct Finished {
    /// The edited model.
    pub model: Model,
    /// One step for each pass.
    pub steps: Vec<Step>,
    /// Inputs on which it was executed; 0 when it was not.
    pub executed: usize,
    /// What execution said about all passes together, when it was asked once at the end.
    pub outcome: Option<Outcome>,
    /// Only rewritten parts were executed: why not the whole model, and how many nodes they had.
    pub parts: Option<(String, usize)>,
    /// The pass that was the first to break its promise, of those that were executed by themselves.
    pub first_broken: Option<&'static str>,
}

impl Finished {
    /// Parts were executed, but no node stands in them: values only took the place of others.
    pub fn looked_at_nothing(&self) -> bool {
        matches!(self.parts, Some((_, 0)))
    }

    /// The weakest promise of the passes that changed something; `None` when nothing was changed.
    pub fn promise(&self) -> Option<Promise> {
        self.steps.iter().filter(|step| step.report.changed()).map(|step| step.promise).max()
    }
}

/// Runs `passes` on `model`. After each pass that changed something the model is verified and, when
/// `check` is given, executed; a pass that breaks its promise is rolled back and the run goes on. One that is
/// followed by passes that mend what it does ([`Pass::mends`]) is judged with these: they bring the outputs
/// back to what they were before it.
///
/// # Errors
/// When a pass fails, or leaves an invalid model or another interface (a bug in onnxpress).
pub fn run(
    mut model: Model,
    passes: &[Box<dyn Pass + '_>],
    cx: &Context<'_>,
    check: Option<&Check<'_>>,
) -> Result<Finished> {
    let mut before: Option<Result<Outputs>> = None;
    let mut steps: Vec<Step> = Vec::with_capacity(passes.len());
    let mut open: Option<Unmended> = None;
    // The outputs that passes which mend are to come back to.
    let mut aim: Option<Outputs> = None;
    let mut executed = 0;
    for (place, pass) in passes.iter().enumerate() {
        let mended = passes.get(place + 1).is_some_and(|next| next.mends());
        if !pass.mends() {
            aim = None;
        }
        let start = Instant::now();
        let mut edited = model.clone();
        let report =
            pass.run(&mut edited, cx).map_err(|e| e.at(format_args!("pass {}", pass.name())))?;
        let time = start.elapsed();
        let mut outcome = None;
        if report.changed() {
            edited
                .verify()
                .map_err(|v| Error::from(v).at(format_args!("after pass {}", pass.name())))?;
            same_interface(&model, &edited, pass.name())?;
            if let Some(check) = check {
                let known = before.take().unwrap_or_else(|| check.outputs(&model));
                executed = known.as_ref().map_or(executed, |known| check.ran(known));
                if mended && !pass.mends() {
                    aim = known.as_ref().ok().cloned();
                }
                let aimed = aim.clone().filter(|_| pass.mends()).map_or(known, Ok);
                let models = [&model, &edited];
                let (verdict, next) = verdict(check, pass.promise(), aimed, models);
                // Of what is taken back the outputs are asked again: these may be older.
                let ahead = matches!(verdict, Outcome::Kept(_)) || !pass.mends();
                before = ahead.then_some(next);
                outcome = Some(verdict);
            }
            match outcome.take() {
                Some(Outcome::Broken(reason)) if mended => {
                    let before = std::mem::replace(&mut model, edited);
                    open.get_or_insert(Unmended { before, place, reason });
                }
                Some(Outcome::Broken(reason)) => outcome = Some(Outcome::Broken(reason)),
                kept => {
                    (model, outcome) = (edited, kept);
                    open = None;
                }
            }
        }
        if let Some(Unmended { before: before_it, place, reason }) = open.take_if(|_| !mended) {
            model = before_it;
            before = None;
            let first = steps.get_mut(place).map(|step| &mut step.outcome);
            *first.unwrap_or(&mut outcome) = Some(Outcome::Broken(reason));
        }
        steps.push(Step { name: pass.name(), promise: pass.promise(), report, outcome, time });
    }
    let mut broken = steps.iter().filter(|step| matches!(step.outcome, Some(Outcome::Broken(_))));
    let first_broken = broken.next().map(|step| step.name);
    Ok(Finished { model, steps, executed, first_broken, ..Finished::default() })
}

/// A pass that broke its promise, which those behind it may mend.
struct Unmended {
    /// The model before it.
    before: Model,
    /// Its place in the list.
    place: usize,
    reason: String,
}

/// The verdict on an edited model, and the outputs that the next pass starts from.
pub(super) fn verdict(
    check: &Check<'_>,
    promise: Promise,
    before: Result<Outputs>,
    [model, edited]: [&Model; 2],
) -> (Outcome, Result<Outputs>) {
    let known = match before {
        Ok(known) => known,
        // Execution is a witness, not a wall: what is exact needs none.
        Err(error) if promise == Promise::Exact => {
            return (Outcome::NotExecuted(error.to_string()), Err(error));
        }
        // What the engine does not run as a whole it may run in parts. Of what is lossy, more or less would be
        // lost elsewhere, too: nobody says more about it without samples.
        Err(error) => {
            let outcome = match parts::check(check, promise, model, edited).outcome {
                Outcome::NotExecuted(_) if promise == Promise::Lossy => {
                    Outcome::NotExecuted(error.to_string())
                }
                Outcome::NotExecuted(_) => Outcome::Broken(unchecked(promise, &error.to_string())),
                outcome => outcome,
            };
            return (outcome, Err(error));
        }
    };
    let after = check.outputs_like(edited, &known);
    match judge_fairly(check, promise, model, &known, &after) {
        Outcome::Kept(ratio) => (Outcome::Kept(ratio), Ok(after)),
        outcome => (outcome, Ok(known)),
    }
}

/// Why an edit is taken back that nothing can check.
pub(super) fn unchecked(promise: Promise, reason: &str) -> String {
    format!("its promise ({promise}) cannot be checked by execution: {reason}")
}

/// Names, types and order of inputs and outputs are the public contract of a model. Only inputs
/// with a default may leave: no caller has to give them.
pub(super) fn same_interface(before: &Model, after: &Model, pass: &str) -> Result<()> {
    let outputs = |model: &Model| -> Vec<_> {
        let outputs = model.graph(model.main()).outputs().iter();
        outputs.map(|o| (model.value(o.value).name().to_owned(), o.info.ty.clone())).collect()
    };
    let inputs = |model: &Model| -> Vec<_> {
        let inputs = model.graph(model.main()).inputs().iter().map(|&input| model.value(input));
        inputs
            .filter(|input| matches!(input.def(), crate::ir::Def::Input { default: None }))
            .map(|input| (input.name().to_owned(), input.info().ty.clone()))
            .collect()
    };
    if inputs(before) != inputs(after) || outputs(before) != outputs(after) {
        return Err(err!(
            Invalid,
            "pass {pass} changed the inputs or outputs of the model (a bug)"
        ));
    }
    Ok(())
}
