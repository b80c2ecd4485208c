//! What cuts do to the outputs of a model, on samples that nothing is fitted to.

use crate::error::Result;
use crate::exec::{Engine, Runner};
use crate::ir::{Model, ValueId};
use crate::pipeline::check::Inputs;
use crate::pipeline::downstream::Known;
use crate::tensor::Tensor;
use crate::validate::{Comparison, drift};

/// Samples, and what a model makes of them.
pub(super) struct CutTrials<'a> {
    engine: &'a dyn Engine,
    inputs: Vec<Inputs>,
    judged: Vec<ValueId>,
    known: Known<'a>,
}

impl<'a> CutTrials<'a> {
    /// Trials of cuts of a model, of which `judging` is the part that makes `judged`.
    ///
    /// # Errors
    /// When it cannot be run.
    pub fn of(
        engine: &'a dyn Engine,
        (judging, judged): (&'a Model, Vec<ValueId>),
        inputs: Vec<Inputs>,
    ) -> Result<Self> {
        let known = Known::of(engine, judging, &inputs)?;
        Ok(Self { engine, inputs, judged, known })
    }

    /// Smallest signal-to-noise ratio of what is judged, in decibel. Only what follows the cut is run.
    ///
    /// # Errors
    /// When it cannot be run.
    pub fn sqnr_db(&self, cut: &Model) -> Result<f64> {
        let (part, inputs) = self.known.changed(&cut.part(&[], &self.judged), &self.inputs)?;
        let runner = Runner::new(self.engine, &part, Vec::new());
        let mut whole: Option<Comparison> = None;
        let mut kl = 0.0;
        let mut ctr = (0.0, 0.0);
        for (inputs, expected) in inputs.iter().zip(&self.known.outputs) {
            let found = runner.run(inputs)?.outputs;
            // Parts have other names for them.
            let names = expected.iter().map(|(name, _)| name.clone());
            let found: Vec<_> = names.zip(found.into_iter().map(|(_, tensor)| tensor)).collect();
            let c = centred(&expected[0].1, &found[0].1);
            ctr = (ctr.0 + c.0, ctr.1 + c.1);
            kl += divergence(&expected[0].1, &found[0].1);
            let part = drift(expected, &found, Tensor::len)?;
            whole = Some(match whole {
                Some(whole) => whole.merge(part),
                None => part,
            });
        }
        if std::env::var("JUDGE").as_deref() == Ok("ctr") {
            return Ok(-10.0 * (ctr.0 / ctr.1).log10());
        }
        if std::env::var("JUDGE").as_deref() == Ok("kl") {
            return Ok(-10.0 * (kl / self.inputs.len() as f64).log10());
        }
        Ok(whole.map_or(f64::INFINITY, |whole| whole.worst_sqnr_db()))
    }
}

fn centred(a: &Tensor, b: &Tensor) -> (f64, f64) {
    let (Ok(a), Ok(b)) = (a.to_f32(), b.to_f32()) else { return (0.0, 0.0) };
    let var = |x: &[f64]| -> f64 {
        let mean = x.iter().sum::<f64>() / x.len() as f64;
        x.iter().map(|x| (x - mean) * (x - mean)).sum()
    };
    let noise: Vec<f64> = a.iter().zip(&b).map(|(a, b)| f64::from(a - b)).collect();
    let signal: Vec<f64> = a.iter().map(|&a| f64::from(a)).collect();
    (var(&noise), var(&signal))
}

fn divergence(a: &Tensor, b: &Tensor) -> f64 {
    let (Ok(a), Ok(b)) = (a.to_f32(), b.to_f32()) else { return 0.0 };
    let log = |x: &[f32]| -> Vec<f64> {
        let most = x.iter().copied().fold(f32::NEG_INFINITY, f32::max) as f64;
        let sum: f64 = x.iter().map(|&x| (f64::from(x) - most).exp()).sum();
        x.iter().map(|&x| f64::from(x) - most - sum.ln()).collect()
    };
    log(&a).iter().zip(&log(&b)).map(|(p, q)| p.exp() * (p - q)).sum()
}

/// Operators that only rename or reorder what a final activation gives.
const PASSING: &[&str] =
    &["Identity", "Cast", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Dropout"];
/// Activations that saturate: behind them a large error looks like a small one.
const SATURATING: &[&str] = &["Softmax", "LogSoftmax", "Sigmoid"];

/// The values by which a model is judged: its outputs, but what a final Softmax, LogSoftmax or Sigmoid
/// reads instead of what it gives.
pub(super) fn judged(model: &Model) -> Vec<ValueId> {
    let outputs = model.graph(model.main()).outputs().iter().map(|output| output.value);
    outputs.map(|output| before_activation(model, output).unwrap_or(output)).collect()
}

fn before_activation(model: &Model, output: ValueId) -> Option<ValueId> {
    let mut value = output;
    for _ in 0..model.node_count() {
        let entry = model.node(model.value(value).producer()?);
        value = entry.input(0)?;
        if SATURATING.iter().any(|op| entry.is(op)) {
            return Some(value);
        }
        if !PASSING.iter().any(|op| entry.is(op)) {
            return None;
        }
    }
    None
}
