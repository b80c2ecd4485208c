//! Tries on held-out samples how good a quantized model is, before anybody sees it.

use crate::analysis::{Assume, Cost, Shapes, is_layer};
use crate::data::Samples;
use crate::error::{Error, Result};
use crate::exec::{Engine, Runner};
use crate::ir::{Model, NodeId};
use crate::passes::{Context, Pass};
use crate::pipeline::check::Inputs;
use crate::tensor::Tensor;
use crate::validate::{Comparison, drift};

/// Of so many samples one is held out, as in calibration.
const HELD_OUT: usize = 4;
/// Most held-out samples that a trial runs: their mean error says enough, and there are many trials.
const MOST: usize = 16;
/// Fewest of them that say anything about the next sample.
const FEWEST: usize = 4;
/// Multiply-accumulates of all trials of all layers together: about 10 s on two cores.
const WORK: u64 = 100_000_000_000;

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
    inputs: Vec<Inputs>,
    expected: Vec<Vec<(String, Tensor)>>,
    affordable: bool,
}

/// A quantized model and its outputs on held-out samples beside those of the original.
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
    /// up to 16, fewer for large models. [`Self::affordable`] says when even four would take long.
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
        let affordable = affordable(prepared);
        let number = affordable.clamp(FEWEST, MOST);
        let mut chosen: Vec<usize> =
            (0..samples.runs()).filter(|i| i % HELD_OUT == HELD_OUT - 1).take(number).collect();
        if chosen.is_empty() {
            chosen = (0..samples.runs().min(number)).collect();
        }
        let inputs: Vec<Inputs> =
            chosen.iter().map(|&i| Ok(samples.run(i)?.inputs)).collect::<Result<_>>()?;
        let runner = Runner::new(engine, prepared, Vec::new());
        let run = |inputs: &Inputs| Ok(runner.run(inputs)?.outputs);
        let expected = inputs.iter().map(run).collect::<Result<_>>()?;
        Ok(Self {
            engine,
            prepared,
            quantizer,
            cx,
            inputs,
            expected,
            affordable: affordable >= FEWEST,
        })
    }

    /// Quantizes all layers but some, and runs the result.
    ///
    /// # Errors
    /// When a pass fails or the result cannot be run.
    pub fn without(&self, layers: &FloatLayers) -> Result<Trial> {
        self.quantized_by(self.quantizer, layers)
    }

    /// The same with other passes.
    ///
    /// # Errors
    /// When a pass fails or the result cannot be run.
    pub fn quantized_by(&self, quantizer: Quantizer<'_>, layers: &FloatLayers) -> Result<Trial> {
        let mut model = self.prepared.clone();
        let cx = Context { reference: Some(self.prepared), ..*self.cx };
        for pass in quantizer(layers) {
            pass.run(&mut model, &cx)?;
        }
        model.verify().map_err(Error::from)?;
        self.judge(model)
    }

    /// Runs `model` on the held-out samples.
    ///
    /// # Errors
    /// When it cannot be run.
    pub fn judge(&self, model: Model) -> Result<Trial> {
        let runner = Runner::new(self.engine, &model, Vec::new());
        let mut whole: Option<Comparison> = None;
        let mut agreeing = 0usize;
        for (inputs, expected) in self.inputs.iter().zip(&self.expected) {
            let found = runner.run(inputs)?.outputs;
            let part = drift(expected, &found, Tensor::len)?;
            whole = Some(match whole {
                Some(whole) => whole.merge(part),
                None => part,
            });
            agreeing += usize::from(same_classes(expected, &found));
        }
        drop(runner);
        let sqnr_db = whole.map_or(f64::INFINITY, |whole| whole.worst_sqnr_db());
        Ok(Trial { model, sqnr_db, agreement: agreeing as f64 / self.inputs.len().max(1) as f64 })
    }

    /// The layers that `quantized` has quantized, in the order of the model.
    pub fn layers(&self, quantized: &Model) -> Vec<NodeId> {
        let reads_quantized = |model: &Model, node: NodeId| {
            let inputs = model.node(node).inputs().iter().flatten();
            inputs.into_iter().any(|&value| {
                let producer = model.value(value).producer();
                producer.is_some_and(|producer| model.node(producer).is("DequantizeLinear"))
            })
        };
        let nodes = self.prepared.nodes_of(self.prepared.main());
        nodes
            .filter(|(id, node)| {
                is_layer(node)
                    && quantized.is_live(*id)
                    && reads_quantized(quantized, *id)
                    && !reads_quantized(self.prepared, *id)
            })
            .map(|(id, _)| id)
            .collect()
    }

    /// Whether trying each layer by itself takes seconds rather than minutes.
    pub fn affordable(&self) -> bool {
        self.affordable
    }

    /// The model before it is quantized.
    pub fn prepared(&self) -> &Model {
        self.prepared
    }

    /// What a layer is called: the name of the node, or of its first output.
    pub fn name(&self, node: NodeId) -> String {
        let entry = self.prepared.node(node);
        match (entry.name(), entry.output(0)) {
            ("", Some(output)) => self.prepared.value(output).name().to_owned(),
            (name, _) => name.to_owned(),
        }
    }
}

/// How many samples can be run for each layer.
fn affordable(model: &Model) -> usize {
    let cost = Cost::of(model, &Shapes::infer(model, &Assume::one_sample()));
    let all = cost.macs.saturating_mul(cost.layers.len() as u64).max(1);
    usize::try_from(WORK / all).unwrap_or(usize::MAX)
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
