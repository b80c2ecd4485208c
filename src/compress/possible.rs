//! What could be done to a model, and what is in the way: passes are tried on a copy, without samples.

use crate::analysis::{Asked, Assume, Cost, Measure, Range, Shapes};
use crate::compress::{
    FactorizePasses, PrunePasses, QuantizePasses, prepare, prepare_factorize, prepare_prune,
};
use crate::error::Result;
use crate::ir::Model;
use crate::passes::{Context, Factorize, Method, Pass, PruneChannels, QuantizeStatic, Report};
use crate::pipeline::{When, settle};

/// What one command could do.
#[derive(Debug, Clone)]
pub struct Possible {
    /// The command, with the option that makes the difference.
    pub command: &'static str,
    /// What it would do and decline, node by node.
    pub report: Report,
}

/// Samples are not needed to say where integers can be: every value is taken to lie between -1 and 1.
struct AnyRange;

impl Measure for AnyRange {
    fn ranges(&self, _: &Model, asked: &[Asked]) -> Result<Vec<Option<Range>>> {
        Ok(vec![Some(Range { min: -1.0, max: 1.0 }); asked.len()])
    }
}

/// Weights of a model whose layers are decomposed to say how far they could be split: some seconds of work.
const MOST_DECOMPOSED: u64 = 20_000_000;
/// Half of the channels of each group: which, does not matter here.
const RATIO: f64 = 0.5;

/// What `quantize`, `prune` and `factorize` could do to `model` with their usual options. Nothing is
/// executed, so what depends on samples is left open.
///
/// # Errors
/// When a pass fails or leaves an invalid model (a bug in onnxpress).
pub fn possible(model: &Model) -> Result<Vec<Possible>> {
    let cx = Context::default();
    let prepared = |passes: &[Box<dyn Pass>]| {
        settle(model.clone(), passes, &cx, None, When::AtEnd).map(|finished| finished.model)
    };
    let tried = |command, mut model: Model, pass: &dyn Pass| {
        let measure: &dyn Measure = &AnyRange;
        let measured = command == STATIC;
        let cx = Context { measure: measured.then_some(measure), ..Context::default() };
        pass.run(&mut model, &cx).map(|report| Possible { command, report })
    };
    let quantized = prepared(&prepare(&QuantizePasses::default()))?;
    let weights = QuantizeStatic { weights_only: true, ..QuantizeStatic::default() };
    let mut found = vec![
        tried(STATIC, quantized.clone(), &QuantizeStatic::default())?,
        tried("quantize --mode weights", quantized, &weights)?,
    ];
    let pruned = prepared(&prepare_prune(&PrunePasses::default()))?;
    let pruning = PruneChannels { ratio: RATIO, ..PruneChannels::default() };
    found.push(tried("prune", pruned, &pruning)?);
    let split = prepared(&prepare_factorize(&FactorizePasses::default()))?;
    let cost = Cost::of(&split, &Shapes::infer(&split, &Assume::one_sample()));
    if cost.parameters <= MOST_DECOMPOSED {
        let pass = Factorize { method: Method::Svd, ..Factorize::default() };
        found.push(tried("factorize", split, &pass)?);
    }
    Ok(found)
}

/// The command that needs ranges.
const STATIC: &str = "quantize";
