//! Tries on held-out samples how good a quantized model is, before anybody sees it.

use std::sync::{Arc, OnceLock};

use crate::analysis::{Assume, Cost, Shapes};
use crate::calibrate::held_out;
use crate::data::Samples;
use crate::error::Result;
use crate::exec::{Engine, Runner};
use crate::ir::Model;
use crate::passes::{Context, Pass};
use crate::pipeline::check::Inputs;
use crate::pipeline::downstream::Known;
use crate::tensor::Tensor;
use crate::validate::{Comparison, drift};

/// Runs that are looked at for one that is held out.
const LOOKED_AT: usize = 4;
/// Most held-out samples that a trial runs: their mean error says enough, and there are many trials.
const MOST: usize = 16;
/// Fewest of them that say anything about the next sample.
const FEWEST: usize = 4;
/// Most multiply-accumulates of trials of all layers together: about 5 s on two cores, as only what
/// follows a layer is run.
const WORK: u64 = 100_000_000_000;
/// Multiply-accumulates of one trial of a whole model: 0.3 s on two cores.
const WHOLE_WORK: u64 = 10_000_000_000;
/// So many are spent in any case; more only for the fewest samples.
const CHEAP_WORK: u64 = 10_000_000_000;

/// Layers that compute with floats, by name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FloatLayers {
    /// These stay as they are.
    pub kept: Vec<String>,
    /// The weights of these are stored as integers all the same.
    pub stored: Vec<String>,
}

/// Makes the passes that quantize a prepared model but for some layers.
pub type Quantizer<'a> = &'a (dyn Fn(&FloatLayers) -> Vec<Box<dyn Pass>> + Sync);

/// What trials are made with.
pub struct Trials<'a> {
    engine: &'a dyn Engine,
    prepared: &'a Model,
    quantizer: Quantizer<'a>,
    cx: &'a Context<'a>,
    held_out: Arc<HeldOut<'a>>,
    affordable: Affordable,
    /// All layers quantized, once that was tried.
    whole: OnceLock<Trial>,
}

/// What nothing is fitted to.
struct HeldOut<'a> {
    inputs: Vec<Inputs>,
    known: Known<'a>,
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
    /// Smallest signal-to-noise ratio of its outputs, in decibel.
    pub sqnr_db: f64,
    /// Share of held-out samples in which no output of at least two elements names another class.
    pub agreement: f64,
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
        let affordable = Affordable::of(prepared);
        let inputs = held_out_inputs(samples, affordable.whole)?;
        let known = Known::of(engine, prepared, &inputs)?;
        let held_out = Arc::new(HeldOut { inputs, known });
        let whole = OnceLock::new();
        Ok(Self { engine, prepared, quantizer, cx, held_out, affordable, whole })
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
        let Self { engine, prepared, quantizer, cx, affordable, .. } = *self;
        let (held_out, whole) = (self.held_out.clone(), OnceLock::new());
        Self { engine, prepared, quantizer, cx, held_out, affordable, whole }
    }

    /// Quantizes all layers, and runs the result; remembered.
    ///
    /// # Errors
    /// When a pass fails or the result cannot be run.
    pub fn whole(&self) -> Result<&Trial> {
        if let Some(known) = self.whole.get() {
            return Ok(known);
        }
        let trial = self.judged(self.quantized(&FloatLayers::default())?)?;
        Ok(self.whole.get_or_init(|| trial))
    }

    /// Quantizes all layers but some, and runs the result.
    ///
    /// # Errors
    /// When a pass fails or the result cannot be run.
    pub fn without(&self, layers: &FloatLayers) -> Result<Trial> {
        match *layers == FloatLayers::default() {
            true => self.whole().cloned(),
            false => self.judged(self.quantized(layers)?),
        }
    }

    /// Runs a model that was made of the prepared one, in whatever way.
    ///
    /// # Errors
    /// When it cannot be run.
    pub fn judged(&self, model: Model) -> Result<Trial> {
        let (sqnr_db, agreement) = self.judge(&model, &self.held_out.inputs)?;
        Ok(Trial { model, sqnr_db, agreement })
    }

    /// Smallest signal-to-noise ratio of the outputs in decibel, with these layers in float, on as
    /// many held-out samples as the size of the model allows. For when little is quantized: only what
    /// follows is run.
    ///
    /// # Errors
    /// When a pass fails or the result cannot be run.
    pub fn sqnr_without(&self, layers: &FloatLayers) -> Result<f64> {
        let HeldOut { inputs, known } = &*self.held_out;
        let inputs = &inputs[..inputs.len().min(self.affordable.alone)];
        let (part, inputs) = known.changed(&self.quantized(layers)?, inputs)?;
        Ok(self.judge(&part, &inputs)?.0)
    }

    /// Smallest signal-to-noise ratio of the outputs of another model that computes the same, with all
    /// layers quantized, in decibel.
    ///
    /// # Errors
    /// When a pass fails or the result cannot be run.
    pub(super) fn sqnr_of(&self, model: &Model) -> Result<f64> {
        let passes = (self.quantizer)(&FloatLayers::default());
        let quantized = applied(model, passes, self.cx)?;
        Ok(self.judge(&quantized, &self.held_out.inputs)?.0)
    }

    /// The same without quantizing it.
    ///
    /// # Errors
    /// When it cannot be run.
    pub(super) fn ratio_of(&self, model: &Model) -> Result<f64> {
        Ok(self.judge(model, &self.held_out.inputs)?.0)
    }

    /// Quantizes all layers but some.
    fn quantized(&self, layers: &FloatLayers) -> Result<Model> {
        applied(self.prepared, (self.quantizer)(layers), self.cx)
    }

    /// The ratio and the agreement of a model, or of a part of it with all outputs, with what the
    /// prepared model computed in the same runs.
    fn judge(&self, model: &Model, inputs: &[Inputs]) -> Result<(f64, f64)> {
        let runner = Runner::new(self.engine, model, Vec::new());
        let mut whole: Option<Comparison> = None;
        let mut agreeing = 0usize;
        for (inputs, expected) in inputs.iter().zip(&self.held_out.known.outputs) {
            let found = runner.run(inputs)?.outputs;
            // Parts have other names for them.
            let names = expected.iter().map(|(name, _)| name.clone());
            let found: Vec<_> = names.zip(found.into_iter().map(|(_, tensor)| tensor)).collect();
            let part = drift(expected, &found, Tensor::len)?;
            whole = Some(match whole {
                Some(whole) => whole.merge(part),
                None => part,
            });
            agreeing += usize::from(same_classes(expected, &found));
        }
        let sqnr_db = whole.map_or(f64::INFINITY, |whole| whole.worst_sqnr_db());
        Ok((sqnr_db, agreeing as f64 / inputs.len().max(1) as f64))
    }

    /// Whether trying each layer by itself takes seconds rather than minutes.
    pub fn affordable(&self) -> bool {
        self.affordable.at_all
    }

    /// Whether so many trials of whole models take seconds rather than minutes.
    pub(super) fn is_quick(&self, trials: usize) -> bool {
        let runs = (trials as u64).saturating_mul(self.held_out.inputs.len() as u64);
        self.affordable.macs.saturating_mul(runs) <= WORK / 2
    }

    /// The model before it is quantized.
    pub fn prepared(&self) -> &Model {
        self.prepared
    }

    /// What the samples are run with.
    pub(super) fn engine(&self) -> &'a dyn Engine {
        self.engine
    }

    /// What passes are run with.
    pub(super) fn context(&self) -> &Context<'a> {
        self.cx
    }

    /// The inputs of the runs.
    pub(super) fn inputs(&self) -> &[Inputs] {
        &self.held_out.inputs
    }
}

/// Up to `most` inputs that nothing is fitted to, spread over all samples.
pub(super) fn held_out_inputs(samples: &Samples, most: usize) -> Result<Vec<Inputs>> {
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
    fn of(model: &Model) -> Self {
        let cost = Cost::of(model, &Shapes::infer(model, &Assume::one_sample()));
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

/// Whether the largest element of each output stands where it stood.
fn same_classes(expected: &[(String, Tensor)], found: &[(String, Tensor)]) -> bool {
    let largest = |tensor: &Tensor| -> Option<usize> {
        let elements = tensor.to_f32().ok()?;
        let place = (0..elements.len()).max_by(|&a, &b| elements[a].total_cmp(&elements[b]));
        place.filter(|_| elements.len() > 1)
    };
    expected.iter().zip(found).all(|((_, a), (_, b))| largest(a) == largest(b))
}
