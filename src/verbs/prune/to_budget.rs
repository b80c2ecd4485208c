//! Brings a model to its budget: at once, in steps, or until it is quick enough.

use crate::compress::{self, PrunePasses, Pruned, Spread, TryGroups};
use crate::data::Samples;
use crate::error::Result;
use crate::ir::Model;
use crate::passes::{Amount, Budget, Context, Pass, PruneWeights, Resource};
use crate::pipeline::{self, Check, When};
use crate::read::Loaded;
use crate::report::{BudgetReport, ComparisonReport};
use crate::validate;
use crate::verbs::Host;
use crate::verbs::budget::{Remaining, missed, room_for_weights};
use crate::verbs::compare::{execute, latency, sizes};
use crate::verbs::prune::options::{PruneOptions, Spreading};

/// Everything that pruning needs.
pub(super) struct Pruning<'a> {
    pub options: &'a PruneOptions,
    /// What may stay, when that is not as the options say.
    pub remaining: Remaining,
    pub passes: PrunePasses,
    pub host: Host<'a>,
    pub cx: Context<'a>,
    pub check: Option<&'a Check<'a>>,
    pub samples: Option<&'a Samples>,
    /// What results are judged on.
    pub judged: Option<&'a Samples>,
    pub original: &'a Loaded,
    /// Sets weights to zero instead of cutting.
    pub zeros: Option<PruneWeights>,
}

/// A pruned model, what was found on the way, and what the user must know of it.
#[derive(Default)]
pub(super) struct Found {
    pub spread: Spread,
    pub trail: Vec<ComparisonReport>,
    /// The budget, and how near it was come.
    pub budget: Option<BudgetReport>,
    /// What was asked for and missed, in words.
    pub missed: Vec<String>,
}

impl Pruning<'_> {
    /// Prepares the original and prunes it.
    pub fn run(&self) -> Result<Found> {
        let passes = compress::prepare_prune(&self.passes);
        let model = self.original.model.clone();
        let prepared = pipeline::settle(model, &passes, &self.cx, self.check, When::AtEnd)?;
        let mut found = match (self.remaining, self.options.steps) {
            _ if self.zeros.is_some() => self.zeroed(prepared.model)?,
            (Remaining::Latency(share), _) => self.until_quick(&prepared.model, share)?,
            (_, Some(steps)) => self.in_steps(prepared.model, steps as usize)?,
            (_, None) => {
                let budget = self.budget(&prepared.model)?;
                let spread = self.once(prepared.model, budget, (self.check, None))?;
                Found { spread, ..Found::default() }
            }
        };
        found.spread.pruned.finished.steps.splice(0..0, prepared.steps);
        self.weigh(&mut found);
        Ok(found)
    }

    /// Says whether the budget is kept, or what binds.
    fn weigh(&self, found: &mut Found) {
        let given = self.options.budget(self.remaining, self.samples.is_some());
        let Some(Budget { resource, most }) = given else { return };
        let fitted = found.spread.fitted.as_ref();
        let (original, left) = match resource {
            // The file says how large it is.
            Resource::WeightBytes => return,
            Resource::Channels => {
                let Some(fitted) = fitted.filter(|fitted| !fitted.is_reached()) else { return };
                found.missed.push(fitted.in_words(resource));
                return;
            }
            _ => {
                let of = |model: &Model| resource.of(model, &self.passes.pruning.at).unwrap_or(0);
                (of(&self.original.model), of(&found.spread.pruned.finished.model))
            }
        };
        let most = most.of(original);
        let counts = resource.name().to_owned();
        let budget = BudgetReport { counts, original, most, left };
        if left > most {
            let steps = &found.spread.pruned.finished.steps;
            let ran = steps.iter().any(|step| step.name == "prune-channels");
            let binds = fitted.filter(|_| ran).map(|fitted| fitted.binds(resource));
            found.missed.push(missed(&budget, binds.as_deref()));
        }
        found.budget = Some(budget);
    }

    /// Sets weights to zero.
    fn zeroed(&self, model: Model) -> Result<Found> {
        let passes = self.zeros.iter().map(|pass| Box::new(pass.clone()) as Box<dyn Pass>);
        let finished = pipeline::run(model, &passes.collect::<Vec<_>>(), &self.cx, None)?;
        let pruned = Pruned { finished, cut: None };
        Ok(Found { spread: Spread { pruned, ..Spread::default() }, ..Found::default() })
    }

    fn once(
        &self,
        model: Model,
        budget: Option<Budget>,
        (check, reference): (Option<&Check<'_>>, Option<&Model>),
    ) -> Result<Spread> {
        let cx = Context { reference, ..self.cx };
        let mut options = self.passes.clone();
        options.pruning.budget = budget;
        let measured = self.options.spreading(self.remaining, self.samples.is_some())
            == Spreading::Sensitivity;
        let samples = self.samples.filter(|_| measured);
        let trying = samples.map(|samples| TryGroups { engine: self.host.engine, samples });
        compress::pruned_to_budget(model, &options, &cx, check, trying)
    }

    /// The budget in numbers, of what the original has.
    fn budget(&self, prepared: &Model) -> Result<Option<Budget>> {
        let given = self.options.budget(self.remaining, self.samples.is_some());
        let Some(Budget { resource, most }) = given else { return Ok(None) };
        let most = match resource {
            Resource::Channels => most,
            Resource::WeightBytes => {
                room_for_weights(most, self.original, prepared, self.host.encode)?
            }
            _ => {
                let whole = resource.of(&self.original.model, &self.passes.pruning.at);
                Amount::Number(most.of(whole.unwrap_or(0)))
            }
        };
        Ok(Some(Budget { resource, most }))
    }

    fn in_steps(&self, model: Model, steps: usize) -> Result<Found> {
        let Some(budget) = self.budget(&model)? else {
            let spread = self.once(model, None, (self.check, None))?;
            return Ok(Found { spread, ..Found::default() });
        };
        let original = model.clone();
        self.passes.pruning.survivors.clear();
        let prune = |model: Model, budget: Budget| {
            self.once(model, Some(budget), (self.check, Some(&original)))
        };
        let judge = |model: &Model| {
            let report = self.judge(model)?;
            let holds = report.passed;
            Ok((report, holds))
        };
        let stepped =
            compress::stepwise(model, &self.passes.pruning, steps, budget, &prune, &judge)?;
        let mut stopped = Vec::new();
        if !stepped.completed {
            let (done, missed) = (stepped.judged.len() - 1, stepped.judged.last());
            let missed = missed.map_or(String::new(), |report| report.missed.join("; "));
            stopped.push(format!("stopped after {done} of {steps} steps: {missed}"));
        }
        Ok(Found {
            spread: stepped.last,
            trail: stepped.judged,
            missed: stopped,
            ..Found::default()
        })
    }

    /// Bytes of the files that a model becomes.
    fn bytes(&self, model: &Model) -> Result<u64> {
        Ok((self.host.encode)(model, self.original.external)?.len() as u64)
    }

    /// A pruned model beside the original.
    pub fn judge(&self, model: &Model) -> Result<ComparisonReport> {
        let at = &self.passes.pruning.at;
        let mut report = sizes(self.original, model, self.bytes(model)?, at);
        if let Some(samples) = self.judged {
            let top = validate::Options { top: vec![1], ..Default::default() };
            let progress = self.cx.progress();
            execute(
                self.host.engine,
                &mut report,
                [&self.original.model, model],
                samples,
                &top,
                progress,
            )?;
        }
        self.options.bounds.judge(&mut report);
        Ok(report)
    }

    fn until_quick(&self, prepared: &Model, most: f64) -> Result<Found> {
        let Some(samples) = self.samples else { return Ok(Found::default()) };
        let budget = |share: f64| {
            let whole = Resource::Macs.of(prepared, &self.passes.pruning.at).unwrap_or(0);
            let most = Amount::Number(Amount::Share(share).of(whole));
            Some(Budget { resource: Resource::Macs, most })
        };
        let at = |share: f64, check| self.once(prepared.clone(), budget(share), (check, None));
        let try_share = |share: f64| Ok(at(share, None)?.pruned.finished.model);
        let time = |model: &Model| {
            let models = [&self.original.model, model];
            latency(self.host.engine, models, samples).map(|measured| measured.ratio)
        };
        let found = compress::share_for_time(most, &try_share, &time)?;
        let slow = "no pruning was quick enough: time does not fall as work does".to_owned();
        let missed = if found.is_none() { vec![slow] } else { Vec::new() };
        let spread = match found {
            Some(share) => at(share, self.check)?,
            None => self.once(prepared.clone(), None, (self.check, None))?,
        };
        Ok(Found { spread, missed, ..Found::default() })
    }
}
