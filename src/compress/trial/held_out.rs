//! Tries on held-out samples how good a quantized model is, before anybody sees it.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use crate::analysis::{Assume, Cost, OutputKind, Shapes};
use crate::calibrate::{held_out, held_out_runs};
use crate::compress::trial::counted::counted_at;
use crate::compress::trial::downstream::Known;
use crate::compress::trial::score_trials::Scores;
use crate::data::Samples;
use crate::error::Result;
use crate::exec::{Engine, Runner};
use crate::ir::Model;
use crate::passes::{Context, Pass};
use crate::pipeline::Inputs;
use crate::tensor::Tensor;
use crate::validate::{Comparison, Layout, OutputDrift, Slices, drift_of, fed_at, layouts};

/// Runs that are looked at for one that is held out.
const LOOKED_AT: usize = 4;
/// Most held-out samples that a trial runs: their mean error says enough, and there are many trials.
const MOST: usize = 16;
/// Runs up to which all are looked at, so that some are held out for certain.
const FEW: usize = 256;
/// Fewest of them that say anything about the next sample.
const FEWEST: usize = 4;
/// Most multiply-accumulates of trials of all layers together: about 5 s on two cores, as only what
/// follows a layer is run.
const WORK: u64 = 100_000_000_000;
/// Multiply-accumulates of one trial of a whole model: 0.3 s on two cores.
const WHOLE_WORK: u64 = 10_000_000_000;
/// So many are spent in any case; more only for the fewest samples.
const CHEAP_WORK: u64 = 1_000_000_000;

/// Layers that fall back, by name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FallBackLayers {
    /// These compute with activations of 16 bits.
    pub wide: Vec<String>,
    /// These compute with floats, while their weights are stored as integers.
    pub stored: Vec<String>,
    /// These stay as they are.
    pub kept: Vec<String>,
}

/// Makes the passes that quantize a prepared model, some layers of it less.
pub type Quantizer<'a> = &'a (dyn Fn(&FallBackLayers) -> Vec<Box<dyn Pass>> + Sync);

/// What trials are made with.
pub struct Trials<'a> {
    engine: &'a dyn Engine,
    prepared: &'a Model,
    quantizer: Quantizer<'a>,
    cx: &'a Context<'a>,
    held_out: Arc<HeldOut>,
    /// Dims of inputs at which work is counted.
    at: Assume,
    affordable: Affordable,
    /// Runs of all samples.
    runs: usize,
    /// All layers quantized, once that was tried.
    whole: OnceLock<Trial>,
}

/// What nothing is fitted to.
struct HeldOut {
    inputs: Vec<Inputs>,
    scores: Scores,
    /// How each output is made up, and samples in a run.
    layouts: HashMap<String, Layout>,
    batch: usize,
    /// In each run, of the prepared model with its scores behind its outputs.
    outputs: Vec<Vec<(String, Tensor)>>,
}

/// What the size of the model leaves room for.
#[derive(Debug, Clone, Copy)]
struct Affordable {
    /// Multiply-accumulates of one run.
    macs: u64,
    /// Samples on which whole models are tried.
    whole: usize,
    /// Samples on which each layer is tried alone.
    alone: usize,
    /// Whether that takes seconds rather than minutes.
    at_all: bool,
}

/// A quantized model and its outputs on held-out samples beside those of the original.
#[derive(Clone)]
pub struct Trial {
    /// The model.
    pub model: Model,
    /// Smallest signal-to-noise ratio of its outputs, and of their parts that are lost, in decibel.
    pub sqnr_db: f64,
    /// The same of its scores: of what a final Softmax, LogSoftmax or Sigmoid reads instead of what it gives.
    /// It says more about samples that are not held out: behind these a few of them make all of the error.
    pub score_db: f64,
    /// Share of held-out samples in which no output of at least two elements names another class, and no index
    /// is another.
    pub agreement: f64,
}

/// What a run on held-out samples says about a model; see [`Trial`].
struct Judged {
    sqnr_db: f64,
    score_db: f64,
    agreement: f64,
}

impl<'a> Trials<'a> {
    /// Trials of what `quantizer` makes of `prepared`, on the samples that calibration holds out:
    /// up to 16. [`Self::affordable`] says when trying layer by layer would take long.
    ///
    /// # Errors
    /// When the model cannot be run on the samples.
    pub fn new(
        engine: &'a dyn Engine,
        prepared: &'a Model,
        samples: &Samples,
        quantizer: Quantizer<'a>,
        cx: &'a Context<'a>,
    ) -> Result<Self> {
        let at = counted_at(prepared, Some(samples));
        let affordable = Affordable::of(prepared, &at);
        let inputs = held_out_inputs(samples, affordable.whole)?;
        let scores = Scores::of(prepared, &fed_at(samples));
        let watched = scores.behind_outputs(prepared);
        let runner = Runner::new(engine, &watched, Vec::new());
        let outputs = runner.each(&inputs, |_, executed| Ok(executed.outputs));
        let outputs = outputs.into_iter().collect::<Result<_>>()?;
        let (layouts, batch) = (layouts(prepared), samples.batch());
        let held_out = Arc::new(HeldOut { inputs, scores, layouts, batch, outputs });
        let (runs, whole) = (samples.runs(), OnceLock::new());
        Ok(Self { engine, prepared, quantizer, cx, held_out, at, affordable, runs, whole })
    }

    /// Trials on the same samples of what another quantizer makes.
    pub fn by<'b>(&'b self, quantizer: Quantizer<'b>) -> Trials<'b>
    where
        'a: 'b,
    {
        Trials { quantizer, ..self.again() }
    }

    /// Trials on the same samples with what `cx` measures.
    pub fn measured_by<'b>(&'b self, cx: &'b Context<'b>) -> Trials<'b>
    where
        'a: 'b,
    {
        Trials { cx, ..self.again() }
    }

    fn again(&self) -> Self {
        let Self { engine, prepared, quantizer, cx, affordable, runs, .. } = *self;
        let (held_out, at, whole) = (self.held_out.clone(), self.at.clone(), OnceLock::new());
        Self { engine, prepared, quantizer, cx, held_out, at, affordable, runs, whole }
    }

    /// Quantizes all layers, and runs the result; remembered.
    ///
    /// # Errors
    /// When a pass fails or the result cannot be run.
    pub fn whole(&self) -> Result<&Trial> {
        if let Some(known) = self.whole.get() {
            return Ok(known);
        }
        let trial = self.judged(self.quantized(&FallBackLayers::default())?)?;
        Ok(self.whole.get_or_init(|| trial))
    }

    /// Quantizes the layers, some of them less, and runs the result.
    ///
    /// # Errors
    /// When a pass fails or the result cannot be run.
    pub fn without(&self, layers: &FallBackLayers) -> Result<Trial> {
        match *layers == FallBackLayers::default() {
            true => self.whole().cloned(),
            false => self.judged(self.quantized(layers)?),
        }
    }

    /// Runs a model that was made of the prepared one, in whatever way.
    ///
    /// # Errors
    /// When it cannot be run.
    pub fn judged(&self, model: Model) -> Result<Trial> {
        let HeldOut { inputs, scores, .. } = &*self.held_out;
        let Judged { sqnr_db, score_db, agreement } =
            self.judge(&scores.behind_outputs(&model), inputs)?;
        Ok(Trial { model, sqnr_db, score_db, agreement })
    }

    /// Trials of little that is quantized.
    ///
    /// # Errors
    /// When the model cannot be run on the samples.
    pub fn of_little(&self) -> Result<OfLittle<'_>> {
        let HeldOut { inputs, scores, .. } = &*self.held_out;
        let inputs = &inputs[..inputs.len().min(self.affordable.alone)];
        let known = Known::of(self.engine, scores.behind_outputs(self.prepared), inputs)?;
        Ok(OfLittle { trials: self, known, inputs })
    }

    /// [`Trial::score_db`] of another model that computes the same, with all layers quantized.
    ///
    /// # Errors
    /// When a pass fails or the result cannot be run.
    pub(in crate::compress) fn score_db_of(&self, model: &Model) -> Result<f64> {
        let passes = (self.quantizer)(&FallBackLayers::default());
        Ok(self.judged(applied(model, passes, self.cx)?)?.score_db)
    }

    /// Quantizes the layers, some of them less.
    fn quantized(&self, layers: &FallBackLayers) -> Result<Model> {
        applied(self.prepared, (self.quantizer)(layers), self.cx)
    }

    /// A model that gives its scores behind its outputs, or a part of it that does, beside what the prepared
    /// model computed in the same runs.
    fn judge(&self, model: &Model, inputs: &[Inputs]) -> Result<Judged> {
        let HeldOut { scores, layouts, batch, outputs, .. } = &*self.held_out;
        let runner = Runner::new(self.engine, model, Vec::new());
        let judged = runner.each(inputs, |run, executed| {
            let ((expected, scored), (found, found_scores)) =
                (scores.split(outputs[run].clone()), scores.split(executed.outputs));
            // Parts have other names for them.
            let names = expected.iter().map(|(name, _)| name.clone());
            let found: Vec<_> = names.zip(found.into_iter().map(|(_, tensor)| tensor)).collect();
            let kinds = scores.kinds();
            let mut drifts = [
                drift_of(&expected, &found, Tensor::len, kinds)?,
                scores.drift(&scored, &found_scores)?,
            ];
            for (i, output) in drifts[0].outputs.iter_mut().enumerate() {
                let (name, a) = &expected[i];
                let layout = layouts.get(name).cloned().unwrap_or_default();
                output.slices = Slices::between(layout, [a, &found[i].1], a.len(), *batch)?;
            }
            Ok((drifts, same_classes(&expected, &found, kinds)))
        });
        let judged = judged.into_iter().collect::<Result<Vec<_>>>()?;
        let agreeing = judged.iter().filter(|(_, same)| *same).count();
        let agreement = agreeing as f64 / inputs.len().max(1) as f64;
        let drifts = judged.into_iter().map(|(drifts, _)| drifts);
        let whole = drifts.reduce(|[a, b], [c, d]| [a.merge(c), b.merge(d)]);
        let ratio = |drift: &Comparison| drift.worst_sqnr_db();
        let [mut sqnr_db, score_db] =
            whole.as_ref().map_or([f64::INFINITY; 2], |whole| whole.each_ref().map(ratio));
        // A part that is lost counts as if it were an output of its own.
        let lost = whole.iter().flat_map(|[whole, _]| whole.outputs.iter().flat_map(|o| o.lost()));
        sqnr_db = lost.map(|lost| lost.sqnr_db).fold(sqnr_db, f64::min);
        // What the outputs were chosen from says how good they are where they cannot be compared themselves.
        if whole.is_some_and(|[outputs, _]| outputs.outputs.iter().any(OutputDrift::is_unknown)) {
            sqnr_db = if sqnr_db == 0.0 { score_db } else { sqnr_db.min(score_db) };
        }
        Ok(Judged { sqnr_db, score_db, agreement })
    }

    /// Whether trying each layer by itself takes seconds rather than minutes.
    pub fn affordable(&self) -> bool {
        self.affordable.at_all
    }

    /// Whether so many trials of whole models take seconds rather than minutes.
    pub(in crate::compress) fn is_quick(&self, trials: usize) -> bool {
        self.is_within(trials, self.held_out.inputs.len())
    }

    /// The same of trials that need ranges of their own, for which all samples are run.
    pub(in crate::compress) fn is_quick_anew(&self, trials: usize) -> bool {
        self.is_within(trials, self.held_out.inputs.len() + self.runs)
    }

    fn is_within(&self, trials: usize, runs: usize) -> bool {
        let runs = (trials as u64).saturating_mul(runs as u64);
        self.affordable.macs.saturating_mul(runs) <= WORK / 2
    }

    /// The model before it is quantized.
    pub fn prepared(&self) -> &Model {
        self.prepared
    }

    /// Dims of inputs at which work is counted.
    pub fn at(&self) -> &Assume {
        &self.at
    }

    /// What the samples are run with.
    pub(in crate::compress) fn engine(&self) -> &'a dyn Engine {
        self.engine
    }

    /// What passes are run with.
    pub(in crate::compress) fn context(&self) -> &Context<'a> {
        self.cx
    }

    /// The inputs of the runs.
    pub(in crate::compress) fn inputs(&self) -> &[Inputs] {
        &self.held_out.inputs
    }
}

/// Trials in which little is quantized: only what follows is run, on as many held-out samples as the size of
/// the model allows.
pub struct OfLittle<'a> {
    trials: &'a Trials<'a>,
    known: Known,
    inputs: &'a [Inputs],
}

impl OfLittle<'_> {
    /// [`Trial::score_db`] with these layers quantized less.
    ///
    /// # Errors
    /// When a pass fails or the result cannot be run.
    pub fn score_db_without(&self, layers: &FallBackLayers) -> Result<f64> {
        let trials = self.trials;
        let quantized = trials.held_out.scores.behind_outputs(&trials.quantized(layers)?);
        let (part, inputs) = self.known.changed(&quantized, self.inputs)?;
        Ok(trials.judge(&part, &inputs)?.score_db)
    }
}

/// Up to `most` inputs that nothing is fitted to, spread over all samples.
pub(in crate::compress) fn held_out_inputs(samples: &Samples, most: usize) -> Result<Vec<Inputs>> {
    if samples.runs() <= FEW {
        let held = held_out_runs(samples)?;
        let held: Vec<usize> = (0..held.len()).filter(|&run| held[run]).collect();
        if !held.is_empty() {
            let spread =
                (0..held.len().min(most)).map(|i| held[i * held.len() / held.len().min(most)]);
            return spread.map(|run| Ok(samples.run(run)?.inputs)).collect();
        }
    }
    let looked_at = samples.runs().min(LOOKED_AT * most);
    let mut found = Vec::new();
    let mut others = Vec::new();
    for i in 0..looked_at {
        let run = samples.run(i * samples.runs() / looked_at)?;
        match held_out(&run) {
            true => found.push(run.inputs),
            false if others.len() < FEWEST => others.push(run.inputs),
            false => {}
        }
    }
    // Better judged on what was fitted than on next to nothing.
    if found.len() < FEWEST {
        found.extend(others.into_iter().take(FEWEST - found.len()));
    }
    let spread = found.len().min(most);
    let all = found.len();
    let mut found = found.into_iter().map(Some).collect::<Vec<_>>();
    Ok((0..spread).filter_map(|i| found[i * all / spread].take()).collect())
}

/// What passes make of a prepared model.
fn applied(prepared: &Model, passes: Vec<Box<dyn Pass>>, cx: &Context<'_>) -> Result<Model> {
    let mut model = prepared.clone();
    // Trials are steps themselves.
    let cx = Context { reference: Some(prepared), progress: None, ..*cx };
    for pass in passes {
        pass.run(&mut model, &cx)?;
    }
    Ok(model)
}

impl Affordable {
    fn of(model: &Model, at: &Assume) -> Self {
        let cost = Cost::of(model, &Shapes::infer(model, at));
        let all = cost.macs.saturating_mul(cost.layers.len() as u64).max(1);
        let samples = |work: u64| usize::try_from(work / all).unwrap_or(usize::MAX);
        let whole = usize::try_from(WHOLE_WORK / cost.macs.max(1)).unwrap_or(usize::MAX);
        Self {
            macs: cost.macs,
            whole: whole.clamp(FEWEST, MOST),
            alone: samples(CHEAP_WORK).clamp(FEWEST, MOST),
            at_all: samples(WORK) >= FEWEST,
        }
    }
}

/// Whether the largest element of each output stands where it stood, and indices are what they were.
fn same_classes(
    expected: &[(String, Tensor)],
    found: &[(String, Tensor)],
    kinds: &[OutputKind],
) -> bool {
    let largest = |tensor: &Tensor| -> Option<usize> {
        let elements = tensor.to_f32().ok()?;
        let place = (0..elements.len()).max_by(|&a, &b| elements[a].total_cmp(&elements[b]));
        place.filter(|_| elements.len() > 1)
    };
    let outputs = expected.iter().zip(found).enumerate();
    let mut same = outputs.map(|(at, ((_, a), (_, b)))| match kinds.get(at) {
        Some(kind) if kind.is_indices || kind.is_open => a == b,
        _ => largest(a) == largest(b),
    });
    same.all(|same| same)
}
