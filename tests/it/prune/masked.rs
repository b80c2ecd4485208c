//! A cut computes what zeros compute, for every group, at random.

use onnxpress::analysis::channels::Options;
use onnxpress::compress;
use onnxpress::data::{Options as DataOptions, Samples};
use onnxpress::ir::Model;
use onnxpress::passes::{Context, Importance, Pass, PruneChannels};
use onnxpress::pipeline;
use onnxpress::tensor::Tensor;

use crate::support::{encode, floats, load, models, run};

/// Shares that stay.
const RATIOS: [f64; 2] = [0.7, 0.3];
const SEEDS: std::ops::Range<u64> = 0..2;
/// Largest difference beside the largest element, in float; engines add in another order.
const CLOSE: f32 = 1e-5;
/// The same for half precision, which rounds every sum.
const CLOSE_HALF: f32 = 1e-2;

fn pruned(model: &Model, pass: &PruneChannels) -> Model {
    let mut model = model.clone();
    let report = pass.run(&mut model, &Context::default());
    report.unwrap_or_else(|error| panic!("{error}"));
    // What is written can be read.
    crate::support::decode(encode(&model))
}

fn inputs(model: &Model) -> Option<Vec<(String, Tensor)>> {
    let specs = pipeline::inputs(model).ok()?;
    let options = DataOptions { batch: 2, ..DataOptions::default() };
    let samples = Samples::open("random:2".as_ref(), &specs, &options).ok()?;
    samples.run(0).ok().map(|run| run.inputs)
}

/// Cuts and masks `model` with several shares and seeds, and compares what they compute. Returns how
/// many cuts were executed; a model that the engine cannot run is only cut.
#[track_caller]
pub fn holds(name: &str, model: &Model, channels: Options) -> usize {
    let half = model.values().any(|(_, value)| {
        value
            .initializer()
            .is_some_and(|tensor| tensor.dtype().bits() == 16 && tensor.dtype().is_float())
    });
    let close = if half { CLOSE_HALF } else { CLOSE };
    let mut executed = 0;
    for (ratio, seed) in RATIOS.into_iter().flat_map(|ratio| SEEDS.map(move |seed| (ratio, seed))) {
        let importance = Importance::Random;
        let pass = PruneChannels { ratio, seed, importance, channels, ..PruneChannels::default() };
        let cut = pruned(model, &pass);
        let masked = pruned(model, &PruneChannels { mask: true, ..pass });
        if encode(&cut) == encode(model) {
            continue;
        }
        let Some(inputs) = inputs(model) else { continue };
        let Ok(expected) = run(&masked, &inputs) else { continue };
        let found = run(&cut, &inputs).unwrap_or_else(|error| panic!("{name}: {error}"));
        for ((output, a), (_, b)) in expected.iter().zip(&found) {
            assert_eq!(a.dims(), b.dims(), "{name}, `{output}`");
            let (a, b) = (floats(a), floats(b));
            let largest = a.iter().fold(1.0f32, |most, x| most.max(x.abs()));
            let far = a.iter().zip(&b).find(|(a, b)| (**a - **b).abs() > close * largest);
            assert!(far.is_none(), "{name}, `{output}`, {ratio} of seed {seed}: {far:?}");
        }
        executed += 1;
    }
    executed
}

#[test]
fn cuts_of_all_fixtures_compute_what_zeros_compute() {
    let mut executed = 0;
    for name in models() {
        let passes = compress::prepare_prune(&compress::PrunePasses::default());
        let cx = Context::default();
        let finished = pipeline::settle(load(&name), &passes, &cx, None, pipeline::When::AtEnd);
        let model = finished.unwrap_or_else(|error| panic!("{name}: {error}")).model;
        for heads in [true, false] {
            executed += holds(&name, &model, Options { heads, normalized: false });
        }
    }
    assert!(executed > 60, "only {executed} cuts were executed");
}
