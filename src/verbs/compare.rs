//! `compare`: two models on the same samples.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::analysis::{Assume, Cost, Progress, Shapes};
use crate::compress::{self, Counted, QuantizePasses};
use crate::data::Samples;
use crate::error::{ErrorKind, Result};
use crate::exec::{Engine, Tract};
use crate::ir::Model;
use crate::passes::Context;
use crate::pipeline::{self, When};
use crate::read::Loaded;
use crate::report::{
    ComparisonReport, Latency, LayersReport, Pair, Parallel, ProfileReport, SampleReport,
};
use crate::validate::{self, LayerDrifts, compare_telling, timing};
use crate::verbs::{Bounds, Data, Host};

/// Options of [`compare`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CompareOptions {
    /// What inputs and outputs of the original are called in the candidate, where that differs.
    pub map: Vec<(String, String)>,
    /// A hit is counted when the label is among the first of so many classes; several are counted side by side.
    pub top: Vec<usize>,
    /// The output with the class scores; by default the first one that can be.
    pub scores: Option<String>,
    /// What the candidate is asked to keep.
    pub bounds: Bounds,
    /// So many samples that differ most are named.
    pub worst: usize,
    /// Values inside that both models have, by name, are compared, too.
    pub layers: bool,
    /// Runs are timed, one at a time and on all threads at once.
    pub latency: bool,
    /// Operators are timed.
    pub profile: bool,
}

impl Default for CompareOptions {
    fn default() -> Self {
        Self {
            map: Vec::new(),
            top: vec![1],
            scores: None,
            bounds: Bounds::default(),
            worst: 0,
            layers: false,
            latency: false,
            profile: false,
        }
    }
}

/// Both models side by side: sizes, and with samples how far their outputs are apart. Inputs and outputs that go by
/// other names in the candidate are matched as `options` say, or where only one match is possible.
///
/// # Errors
/// When the interfaces do not match, labels are no classes of the model, or samples cannot be read. A model that
/// cannot be run is no error: [`ComparisonReport::not_validated`] says why.
pub fn compare(
    original: &Loaded,
    candidate: &Loaded,
    options: &CompareOptions,
    data: &Data<'_>,
) -> Result<ComparisonReport> {
    let samples = data.judging();
    let aligned;
    let judged = match !options.map.is_empty() || samples.is_some() {
        true => {
            aligned = pipeline::aligned(&original.model, &candidate.model, &options.map)?;
            &aligned
        }
        false => &candidate.model,
    };
    if let Some(samples) = samples {
        pipeline::check_fed(&original.model, judged, &samples.dims())?;
    }
    // Either model may leave more open than the other.
    let open = [&original.model, judged].map(|model| compress::counted_at(model, samples));
    let at = open.into_iter().max_by_key(|at| at.inputs.len()).unwrap_or_default();
    let mut report = sizes(original, judged, candidate.byte_size, &at);
    report.verbose = true;
    if let Some(samples) = samples {
        options.bounds.check(samples)?;
        validate::check_labels(&original.model, samples, options.scores.as_deref())?;
        let models = [&original.model, judged];
        side_by_side(&mut report, models, samples, options, &data.host)?;
    }
    options.bounds.judge(&mut report);
    if let (true, Some(reason)) = (report.passed, &report.not_validated) {
        report.miss([format!("the models were not compared: {reason}")]);
    }
    Ok(report)
}

/// Fills in what running both models says.
fn side_by_side(
    report: &mut ComparisonReport,
    models: [&Model; 2],
    samples: &Samples,
    options: &CompareOptions,
    host: &Host<'_>,
) -> Result<()> {
    let mut top = options.top.clone();
    if options.bounds.max_drop.is_some() && !top.contains(&1) {
        top.push(1);
    }
    let output = options.scores.clone();
    let how = validate::Options { top, output, runs: None, worst: options.worst };
    let engine = host.engine;
    execute(engine, report, models, samples, &how, host.progress)?;
    if report.not_validated.is_some() {
        return Ok(());
    }
    if options.layers {
        let found = layers(engine, models[0], models[1], samples)?;
        let numbers = report.outputs.iter().filter(|output| output.is_measured());
        let lowest = numbers.map(|output| output.sqnr_db).fold(f64::INFINITY, f64::min);
        report.layers = Some(LayersReport::new(&found, lowest));
    }
    if options.latency {
        report.latency_ms = Some(both_latencies(engine, models, samples)?);
    }
    if options.profile {
        let inputs = samples.run(0)?.inputs;
        let profiles = validate::profile(engine, models, &inputs)?;
        report.profile = Some(ProfileReport::new(&profiles, engine.name()));
    }
    Ok(())
}

/// Sizes of both models, without execution; work is counted with inputs as `at` says.
pub(super) fn sizes(
    original: &Loaded,
    candidate: &Model,
    candidate_bytes: u64,
    at: &Assume,
) -> ComparisonReport {
    let cost = |model: &Model| Cost::of(model, &Shapes::infer(model, at));
    let (a, b) = (cost(&original.model), cost(candidate));
    let counted = [(&original.model, &a), (candidate, &b)].into_iter();
    let mut uncounted = counted.filter_map(|(model, cost)| Counted::of(model, at, cost).in_words());
    ComparisonReport {
        samples: 0,
        random: false,
        inputs: Vec::new(),
        warnings: Vec::new(),
        figures: None,
        outputs: Vec::new(),
        accuracy: BTreeMap::new(),
        size_bytes: Pair { original: original.byte_size, candidate: candidate_bytes },
        parameters: Pair { original: a.parameters, candidate: b.parameters },
        macs: Pair { original: a.macs, candidate: b.macs },
        macs_at: at.inputs.clone(),
        macs_uncounted: uncounted.next(),
        latency_ms: None,
        profile: None,
        worst: Vec::new(),
        layers: None,
        not_validated: None,
        missed: Vec::new(),
        passed: true,
        verbose: false,
    }
}

/// What to do when the built-in engine does not run a model.
const OTHER_ENGINE: &str = " (`--engine ort` may run it)";

/// Runs both models on the samples; a model that the engine cannot run is "not validated".
pub(super) fn execute(
    engine: &dyn Engine,
    report: &mut ComparisonReport,
    models: [&Model; 2],
    samples: &Samples,
    options: &validate::Options,
    progress: &dyn Progress,
) -> Result<()> {
    report.random = samples.is_random();
    report.fed(samples.fed()?);
    match compare_telling(engine, models, samples, options, progress) {
        Ok(comparison) => {
            report.measured(&comparison);
            report.worst = SampleReport::all(&comparison, samples);
        }
        Err(error) if error.kind == ErrorKind::Engine => {
            let hint = if engine.name() == Tract.name() { OTHER_ENGINE } else { "" };
            report.not_validated = Some(format!("{error}{hint}"));
        }
        Err(error) => return Err(error),
    }
    Ok(())
}

/// Median times of one run of two models, one at a time.
pub(super) fn latency(
    engine: &dyn Engine,
    models: [&Model; 2],
    samples: &Samples,
) -> Result<Latency> {
    let inputs = samples.run(0)?.inputs;
    let plain = engine.as_written();
    let engine = plain.as_deref().unwrap_or(engine);
    Ok(Latency::new(timing::one_at_a_time(engine, models, &inputs)?, engine.name()))
}

/// The same, and as many runs at a time as there are threads.
fn both_latencies(engine: &dyn Engine, models: [&Model; 2], samples: &Samples) -> Result<Latency> {
    let mut latency = latency(engine, models, samples)?;
    let threads = rayon::current_num_threads();
    if threads > 1 {
        let inputs = samples.run(0)?.inputs;
        let plain = engine.as_written();
        let engine = plain.as_deref().unwrap_or(engine);
        let timings = timing::side_by_side(engine, models, &inputs, threads)?;
        latency.parallel = Some(Parallel::new(timings, threads));
    }
    Ok(latency)
}

/// Runs on which values inside are compared.
const LAYER_RUNS: usize = 8;

/// The values inside both models. Passes that fold one layer into another change what a name stands
/// for, so the original is also looked at as these passes leave it.
fn layers(
    engine: &dyn Engine,
    original: &Model,
    candidate: &Model,
    samples: &Samples,
) -> Result<LayerDrifts> {
    let cx = Context { evaluate: Some(&engine), ..Context::default() };
    let passes = compress::prepare(&QuantizePasses::default());
    let prepared = pipeline::settle(original.clone(), &passes, &cx, None, When::AtEnd)?.model;
    validate::layers(engine, &[original, &prepared], candidate, samples, LAYER_RUNS)
}
