//! Prunes a model to what it may cost.

use crate::analysis::{Assume, Shapes};
use crate::compress::prune::sensitivity::{GroupSensitivity, SHARES, spread};
use crate::compress::recipe::{PrunePasses, Repair, prune};
use crate::compress::trial::held_out::held_out_inputs;
use crate::compress::trial::score_trials::{ScoreTrials, Scores};
use crate::compress::{Pruned, prepared_pruned, trial::score_trials};
use crate::data::Samples;
use crate::error::Result;
use crate::exec::Engine;
use crate::ir::Model;
use crate::passes::{
    Allocation, Amount, Budget, Context, Fitted, InputMoments, Measured, Part, PruneChannels,
    Resource, Survivors,
};
use crate::pipeline::Check;
use crate::validate::fed_at;

/// What groups are tried on when a budget is spread by what cutting each does to the outputs.
#[derive(Clone, Copy)]
pub struct TryGroups<'a> {
    /// Runs the models.
    pub engine: &'a dyn Engine,
    /// Samples; labels are not looked at.
    pub samples: &'a Samples,
}

/// A pruned model, and what its groups cost the outputs.
#[derive(Debug, Clone, Default)]
pub struct Spread {
    /// The model, and how it went.
    pub pruned: Pruned,
    /// All groups in their order; empty when they were not tried.
    pub groups: Vec<GroupSensitivity>,
    /// How near a budget was come, where there was one.
    pub fitted: Option<Fitted>,
}

/// `model`, which is prepared, pruned as `options` say; with `trying`, their budget is spread by what
/// cutting each group alone does to the outputs.
///
/// # Errors
/// As [`prepared_pruned`], and when a trial fails.
pub fn pruned_to_budget(
    model: Model,
    options: &PrunePasses,
    cx: &Context<'_>,
    check: Option<&Check<'_>>,
    trying: Option<TryGroups<'_>>,
) -> Result<Spread> {
    let Some(budget) = options.pruning.budget else {
        let pruned = prepared_pruned(model, options, cx, check)?;
        return Ok(Spread { pruned, ..Spread::default() });
    };
    // Of few samples, what is tried has not seen those that it is judged on.
    let few = cx.measure.is_some_and(|measure| measure.runs() < FEW);
    let (measured, part) = match few {
        true => (Measured::default(), Part::Fitting),
        false => (options.pruning.measured.clone(), Part::All),
    };
    let tried = PruneChannels { measured, ..options.pruning.clone() };
    if let Some(measure) = cx.measure {
        tried.learn(&model, measure, part)?;
    }
    let Some(trying) = trying else {
        let fitted = tried.fit(&model, budget, None)?;
        let options = counted(options, &fitted);
        let pruned = prepared_pruned(model, &options, cx, check)?;
        return Ok(Spread { pruned, fitted: Some(fitted), ..Spread::default() });
    };
    let cutting = Cutting::of(&model, options, cx)?;
    let cutter = |model: &Model, pruning: &PruneChannels| cutting.cut(model, pruning);
    let scores = Scores::of(&model, &fed_at(trying.samples));
    let most = affordable(&model, &tried);
    let inputs = held_out_inputs(trying.samples, most)?;
    let trials = ScoreTrials::of(trying.engine, &scores, inputs)?;
    let trials = (&trials, cx.progress());
    let (fitted, groups) = spread(trials, &model, &tried, budget, &cutter)?;
    let options = counted(options, &fitted);
    let pruned = prepared_pruned(model, &options, cx, check)?;
    Ok(Spread { pruned, groups, fitted: Some(fitted) })
}

/// The options with so many of each group as keep the budget.
fn counted(options: &PrunePasses, fitted: &Fitted) -> PrunePasses {
    let allocation = Allocation::Counts(fitted.counts.clone());
    let pruning = PruneChannels { allocation, ..options.pruning.clone() };
    PrunePasses { pruning, ..options.clone() }
}

/// Multiply-accumulates of all trials of groups together, if each ran the whole model: about 20 s on two
/// cores, as only what follows a cut is run.
const WORK: u64 = 800_000_000_000;
/// Fewest samples that say anything about the next one, and most that are run.
const SAMPLES: (usize, usize) = (4, 64);

/// Runs from which on those held out change little about which channels matter.
const FEW: usize = 256;

/// Samples on which all groups can be tried in seconds rather than minutes.
fn affordable(model: &Model, pruning: &PruneChannels) -> usize {
    let groups = pruning.survey(model, &SHARES);
    let trials: usize = groups.iter().map(|group| group.counts.len()).sum();
    let macs = Resource::Macs.of(model, &pruning.at).unwrap_or(0);
    score_trials::affordable(macs, trials, WORK, SAMPLES)
}

/// How models are cut for a trial.
struct Cutting<'a> {
    options: &'a PrunePasses,
    shapes: Shapes,
    /// What layers read: those that lose inputs are fitted to what is left, when the result will be.
    inputs: Option<InputMoments>,
}

impl<'a> Cutting<'a> {
    fn of(model: &Model, options: &'a PrunePasses, cx: &Context<'_>) -> Result<Self> {
        let repaired = options.repair == Repair::LeastSquares;
        let measure = cx.measure.filter(|_| repaired);
        let inputs = measure.map(|measure| InputMoments::learn(model, measure)).transpose()?;
        Ok(Self { options, shapes: Shapes::infer(model, &Assume::default()), inputs })
    }

    fn cut(&self, model: &Model, pruning: &PruneChannels) -> Result<Model> {
        let survivors = Survivors::default();
        let pruning = PruneChannels { survivors: survivors.clone(), ..pruning.clone() };
        let options = PrunePasses { pruning, ..self.options.clone() };
        let mut cut = model.clone();
        for pass in prune(&options) {
            pass.run(&mut cut, &Context::default())?;
        }
        if let Some(inputs) = &self.inputs {
            inputs.refit(&mut cut, (model, &self.shapes), &survivors);
        }
        Ok(cut)
    }
}

/// Prunings that are timed at most: each halves the interval of shares that come into question.
const TIMINGS: usize = 6;
/// Least share of the multiply-accumulates that is tried.
const LEAST: f64 = 0.02;

/// The largest share of the multiply-accumulates with which a pruned model takes at most `most` of the
/// time of the original, as `time` measures it; `None` when none does. `try_share` prunes to a share.
///
/// # Errors
/// When pruning or measuring fails.
pub fn share_for_time(
    most: f64,
    try_share: &dyn Fn(f64) -> Result<Model>,
    time: &dyn Fn(&Model) -> Result<f64>,
) -> Result<Option<f64>> {
    let (mut low, mut high) = (LEAST, 1.0);
    let mut found = None;
    // Time falls more slowly than work: the share that is asked for is a good first guess.
    let mut share = most.clamp(LEAST, 1.0);
    for _ in 0..TIMINGS {
        if time(&try_share(share)?)? <= most {
            found = Some(share);
            low = share;
        } else {
            high = share;
        }
        share = (low * high).sqrt();
    }
    Ok(found)
}

/// Pruning in steps.
#[derive(Debug, Clone)]
pub struct Stepped<T> {
    /// The last model that holds, and how it went; the prepared model when not even the first step does.
    pub last: Spread,
    /// What was said of each step, in order; the last one may not hold.
    pub judged: Vec<T>,
    /// All steps hold.
    pub completed: bool,
}

/// Prunes in `steps`, each of which takes the same share of what the one before left, down to the budget of
/// the last; `pruning` says which channels there are. Stops at the first step of which `judge` says that it does not hold.
///
/// # Errors
/// When a step fails.
pub fn stepwise<T>(
    model: Model,
    pruning: &PruneChannels,
    steps: usize,
    budget: Budget,
    prune: &dyn Fn(Model, Budget) -> Result<Spread>,
    judge: &dyn Fn(&Model) -> Result<(T, bool)>,
) -> Result<Stepped<T>> {
    let channels = || pruning.survey(&model, &[]).iter().map(|group| group.orbits as u64).sum();
    let whole = budget.resource.of(&model, &pruning.at).unwrap_or_else(channels);
    let most = budget.most.of(whole);
    let mut last = Spread::default();
    last.pruned.finished.model = model;
    let mut judged = Vec::new();
    for step in 1..=steps.max(1) {
        let share = (most as f64 / whole.max(1) as f64).powf(step as f64 / steps.max(1) as f64);
        let number = if step == steps { most } else { (share * whole as f64) as u64 };
        let budget = Budget { most: Amount::Number(number), ..budget };
        let mut next = prune(last.pruned.finished.model.clone(), budget)?;
        let (said, holds) = judge(&next.pruned.finished.model)?;
        judged.push(said);
        if !holds {
            return Ok(Stepped { last, judged, completed: false });
        }
        next.pruned.finished.steps.splice(0..0, last.pruned.finished.steps);
        last = next;
    }
    Ok(Stepped { last, judged, completed: true })
}
