//! Brings a model to its budget: at once, in steps, or until it is quick enough.

use onnxpress::compress;
use onnxpress::compress::{PruneOptions, Pruned, Spread, TryGroups};
use onnxpress::data::Samples;
use onnxpress::exec::Engine;
use onnxpress::ir::Model;
use onnxpress::passes::{Amount, Budget, Context, Pass, PruneWeights, Resource};
use onnxpress::pipeline::{self, Check, When};
use onnxpress::read::Loaded;
use onnxpress::report::{BudgetReport, ComparisonReport, percent};
use onnxpress::{Result, validate};

use super::budget::{BudgetArgs, How, room_for_weights};
use super::compare::{Bounds, execute, latency, sizes};
use super::io;

/// Everything that pruning needs.
pub struct Pruning<'a> {
    pub args: &'a BudgetArgs,
    pub bounds: Bounds,
    pub options: PruneOptions,
    pub engine: &'a dyn Engine,
    pub cx: Context<'a>,
    pub check: Option<&'a Check<'a>>,
    pub samples: Option<&'a Samples>,
    /// What results are judged on.
    pub judged: Option<&'a Samples>,
    pub original: &'a Loaded,
    pub output: &'a io::Output,
    /// Sets weights to zero instead of cutting.
    pub zeros: Option<PruneWeights>,
}

/// A pruned model, what was found on the way, and what the user must know of it.
#[derive(Default)]
pub struct Outcome {
    pub spread: Spread,
    pub trail: Vec<ComparisonReport>,
    pub warnings: Vec<String>,
    /// The budget, and how near it was come.
    pub budget: Option<BudgetReport>,
    /// What was asked for and missed, in words.
    pub missed: Vec<String>,
}

impl Pruning<'_> {
    /// Prepares the original and prunes it.
    pub fn run(&self) -> Result<Outcome> {
        let passes = compress::prepare_prune(&self.options);
        let model = self.original.model.clone();
        let prepared = pipeline::settle(model, &passes, &self.cx, self.check, When::AtEnd)?;
        let mut found = match (self.args.latency, self.args.steps) {
            _ if self.zeros.is_some() => self.zeroed(prepared.model)?,
            (Some(share), _) => self.until_quick(&prepared.model, share)?,
            (None, Some(steps)) => self.in_steps(prepared.model, steps as usize)?,
            (None, None) => {
                let budget = self.budget(&prepared.model)?;
                let spread = self.once(prepared.model, budget, (self.check, None))?;
                Outcome { spread, ..Outcome::default() }
            }
        };
        found.spread.pruned.finished.steps.splice(0..0, prepared.steps);
        self.weigh(&mut found);
        Ok(found)
    }

    /// Says whether the budget is kept, or what binds.
    fn weigh(&self, found: &mut Outcome) {
        let given = self.args.budget(self.samples.is_some());
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
                let of = |model: &Model| resource.of(model, &self.options.pruning.at).unwrap_or(0);
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
    fn zeroed(&self, model: Model) -> Result<Outcome> {
        let passes = self.zeros.iter().map(|pass| Box::new(pass.clone()) as Box<dyn Pass>);
        let finished = pipeline::run(model, &passes.collect::<Vec<_>>(), &self.cx, None)?;
        let pruned = Pruned { finished, cut: None };
        Ok(Outcome { spread: Spread { pruned, ..Spread::default() }, ..Outcome::default() })
    }

    fn once(
        &self,
        model: Model,
        budget: Option<Budget>,
        (check, reference): (Option<&Check<'_>>, Option<&Model>),
    ) -> Result<Spread> {
        let cx = Context { reference, ..self.cx };
        let mut options = self.options.clone();
        options.pruning.budget = budget;
        let measured = self.args.how(self.samples.is_some()) == How::Sensitivity;
        let samples = self.samples.filter(|_| measured);
        let trying = samples.map(|samples| TryGroups { engine: self.engine, samples });
        compress::pruned_to_budget(model, &options, &cx, check, trying)
    }

    /// The budget in numbers, of what the original has.
    fn budget(&self, prepared: &Model) -> Result<Option<Budget>> {
        let given = self.args.budget(self.samples.is_some());
        let Some(Budget { resource, most }) = given else { return Ok(None) };
        let most = match resource {
            Resource::Channels => most,
            Resource::WeightBytes => room_for_weights(most, self.original, prepared, self.output)?,
            _ => {
                let whole = resource.of(&self.original.model, &self.options.pruning.at);
                Amount::Number(most.of(whole.unwrap_or(0)))
            }
        };
        Ok(Some(Budget { resource, most }))
    }

    fn in_steps(&self, model: Model, steps: usize) -> Result<Outcome> {
        let Some(budget) = self.budget(&model)? else {
            let spread = self.once(model, None, (self.check, None))?;
            return Ok(Outcome { spread, ..Outcome::default() });
        };
        let original = model.clone();
        self.options.pruning.survivors.clear();
        let prune = |model: Model, budget: Budget| {
            self.once(model, Some(budget), (self.check, Some(&original)))
        };
        let judge = |model: &Model| {
            let report = self.judge(model)?;
            let holds = report.passed;
            Ok((report, holds))
        };
        let stepped =
            compress::stepwise(model, &self.options.pruning, steps, budget, &prune, &judge)?;
        let mut stopped = Vec::new();
        if !stepped.completed {
            let (done, missed) = (stepped.judged.len() - 1, stepped.judged.last());
            let missed = missed.map_or(String::new(), |report| report.missed.join("; "));
            stopped.push(format!("stopped after {done} of {steps} steps: {missed}"));
        }
        Ok(Outcome {
            spread: stepped.last,
            trail: stepped.judged,
            missed: stopped,
            ..Outcome::default()
        })
    }

    /// Bytes of the files that a model becomes.
    fn bytes(&self, model: &Model) -> Result<u64> {
        Ok(self.output.encode(model, self.original.external)?.len() as u64)
    }

    /// A pruned model beside the original.
    pub fn judge(&self, model: &Model) -> Result<ComparisonReport> {
        let at = &self.options.pruning.at;
        let mut report = sizes(self.original, model, self.bytes(model)?, at);
        if let Some(samples) = self.judged {
            let top = validate::Options { top: vec![1], ..Default::default() };
            let progress = self.cx.progress();
            execute(
                self.engine,
                &mut report,
                [&self.original.model, model],
                samples,
                &top,
                progress,
            )?;
        }
        report.judge(self.bounds.min_sqnr, self.bounds.max_drop);
        Ok(report)
    }

    fn until_quick(&self, prepared: &Model, most: f64) -> Result<Outcome> {
        let Some(samples) = self.samples else { return Ok(Outcome::default()) };
        let budget = |share: f64| {
            let whole = Resource::Macs.of(prepared, &self.options.pruning.at).unwrap_or(0);
            let most = Amount::Number(Amount::Share(share).of(whole));
            Some(Budget { resource: Resource::Macs, most })
        };
        let at = |share: f64, check| self.once(prepared.clone(), budget(share), (check, None));
        let try_share = |share: f64| Ok(at(share, None)?.pruned.finished.model);
        let time = |model: &Model| {
            let models = [&self.original.model, model];
            latency(self.engine, models, samples).map(|measured| measured.ratio)
        };
        let found = compress::share_for_time(most, &try_share, &time)?;
        let slow = "no pruning was quick enough: time does not fall as work does".to_owned();
        let missed = if found.is_none() { vec![slow] } else { Vec::new() };
        let spread = match found {
            Some(share) => at(share, self.check)?,
            None => self.once(prepared.clone(), None, (self.check, None))?,
        };
        Ok(Outcome { spread, missed, ..Outcome::default() })
    }
}

/// That a budget is missed, and what binds, in words.
pub fn missed(budget: &BudgetReport, binds: Option<&str>) -> String {
    let BudgetReport { counts, original, most, left } = budget;
    let share = |part: u64| percent(part as f64 / (*original).max(1) as f64);
    let binds = binds.map_or(String::new(), |binds| format!(": {binds}"));
    format!(
        "{} of the {counts} are left ({left}), {} may be ({most}){binds}",
        share(*left),
        share(*most)
    )
}
