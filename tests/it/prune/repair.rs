//! What is left of a model makes up for what was cut.

use onnxpress::calibrate::Calibration;
use onnxpress::data::{Options, Samples};
use onnxpress::exec::Tract;
use onnxpress::ir::Model;
use onnxpress::passes::{Context, Importance, PruneChannels};
use onnxpress::pipeline::{self, PruneOptions, Repair, pruned};
use onnxpress::validate::drift;
use rayon::ThreadPoolBuilder;

use super::model;
use crate::support::{encode, fixture, load, pixels, run, samples};

fn options(ratio: f64, importance: Importance, repair: Repair) -> PruneOptions {
    let pruning = PruneChannels { ratio, importance, ..PruneChannels::default() };
    PruneOptions { pruning, repair, ..PruneOptions::default() }
}

fn prune(model: &Model, samples: &Samples, options: &PruneOptions) -> Model {
    let calibration = Calibration { engine: &Tract, samples, progress: &() };
    let cx = Context { measure: Some(&calibration), ..Context::default() };
    let pruned = pruned(model.clone(), options, &cx, None).unwrap_or_else(|e| panic!("{e}"));
    pruned.finished.model
}

/// Mean signal-to-noise ratio of the outputs on some runs of samples, in decibel.
fn sqnr(original: &Model, result: &Model, samples: &Samples, runs: usize) -> f64 {
    let ratio = |i: usize| {
        let inputs = samples.run(i).expect("a sample").inputs;
        let outputs = [original, result].map(|model| run(model, &inputs).expect("it runs"));
        let drift = drift(&outputs[0], &outputs[1], onnxpress::tensor::Tensor::len);
        drift.expect("the same outputs").outputs[0].distance.sqnr_db()
    };
    (0..runs).map(ratio).sum::<f64>() / runs as f64
}

/// Channels 3 to 5 are multiples of channels 0 to 2, so half of them can go without loss.
#[test]
fn what_is_linearly_dependent_is_restored() {
    let (rows, windows) =
        ([("a", &[4, 3][..]), ("two", &[1][..])], [("a", &[3, 2, 1, 1][..]), ("two", &[1][..])]);
    let cases = [
        (
            "(float[1,4] x) => (y)",
            rows,
            ("b", &[6, 2][..]),
            "o = MatMul (r, b)\n y = Add (o, c)",
            ("c", &[2][..]),
        ),
        ("(float[1,4] x) => (y)", rows, ("b", &[6, 2][..]), "y = Gemm (r, b)", ("c", &[2][..])),
        (
            "(float[1,2,6,5] x) => (y)",
            windows,
            ("b", &[3, 6, 3, 3][..]),
            "y = Conv <pads = [1,1,1,1], strides = [2,1]> (r, b, c)",
            ("c", &[3][..]),
        ),
        (
            "(float[1,2,6,5] x) => (y)",
            windows,
            ("b", &[6, 3, 3, 2][..]),
            "y = ConvTranspose <strides = [2,1]> (r, b)",
            ("c", &[3][..]),
        ),
    ];
    for (interface, first, second, last, bias) in cases {
        let by_rows = first[0].1.len() == 2;
        let (axis, product) = if by_rows { (1, "MatMul (x, w)") } else { (0, "Conv (x, w)") };
        let nodes = format!(
            " s = Abs (two)\n a2 = Mul (a, s)\n w = Concat <axis = {axis}> (a, a2)\n h = {product}\n r = Abs (h)\n {last}"
        );
        let weights = [first[0], first[1], second, bias];
        let model = model(17, interface, &weights, &nodes);
        let specs = pipeline::inputs(&model).expect("tensors");
        let samples = Samples::open("random:64".as_ref(), &specs, &Options::default());
        let samples = samples.expect("random samples");
        let made = |repair| prune(&model, &samples, &options(0.5, Importance::Obs, repair));
        let (plain, repaired) = (made(Repair::Off), made(Repair::LeastSquares));
        assert_ne!(encode(&plain), encode(&model), "{last}: something is cut");
        let (before, after) =
            (sqnr(&model, &plain, &samples, 8), sqnr(&model, &repaired, &samples, 8));
        assert!(before < 40.0 && after > 60.0, "{last}: {before} dB before, {after} dB after");
    }
}

#[test]
fn the_error_falls_on_samples_that_nothing_was_fitted_to() {
    let model = load("digits_resnet_bn.onnx");
    let calibration = samples(&model, fixture("digits_calib.npz"), &pixels());
    let mut labelled = pixels();
    labelled.labels = Some("y".to_owned());
    let test = samples(&model, fixture("digits_test.npz"), &labelled);
    for importance in [Importance::Obs, Importance::Wanda, Importance::Activation, Importance::L1] {
        let made = |repair| prune(&model, &calibration, &options(0.6, importance, repair));
        let [plain, repaired] = [Repair::Off, Repair::LeastSquares]
            .map(|repair| sqnr(&model, &made(repair), &test, 40));
        assert!(repaired > plain + 3.0, "{importance:?}: {plain} dB without, {repaired} dB with");
    }
}

#[test]
fn threads_leave_no_trace() {
    let model = load("digits_resnet_bn.onnx");
    let calibration = samples(&model, fixture("digits_calib.npz"), &pixels());
    let made = |threads| {
        let pool = ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
        let options = options(0.5, Importance::Obs, Repair::LeastSquares);
        encode(&pool.install(|| prune(&model, &calibration, &options)))
    };
    assert_eq!(made(1), made(3));
}
