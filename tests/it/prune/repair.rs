//! What is left of a model makes up for what was cut.

use onnxpress::calibrate::Calibration;
use onnxpress::compress::{PrunePasses, Repair, pruned};
use onnxpress::data::{Options, Samples};
use onnxpress::exec::Tract;
use onnxpress::ir::Model;
use onnxpress::passes::{Context, Importance, PruneChannels};
use onnxpress::pipeline;
use onnxpress::tensor::{DType, Tensor};
use onnxpress::validate::drift;
use rayon::ThreadPoolBuilder;

use super::model;
use crate::support::{encode, fixture, load, models, pixels, run, samples};

fn options(ratio: f64, importance: Importance, repair: Repair) -> PrunePasses {
    let pruning = PruneChannels { ratio, importance, ..PruneChannels::default() };
    PrunePasses { pruning, repair, ..PrunePasses::default() }
}

fn prune(model: &Model, samples: &Samples, options: &PrunePasses) -> Model {
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
        let drift = drift(&outputs[0], &outputs[1], Tensor::len);
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

/// Six channels between two layers; the last three are made by `scale` times what makes the first, and are
/// read by other weights.
fn proportional(layer: &str, scale: f32) -> Model {
    // Rows of a Hadamard matrix: no channel is like another one, and all weigh the same.
    let made = [[1.0, 1.0, 1.0, 1.0], [1.0, -1.0, 1.0, -1.0], [1.0, 1.0, -1.0, -1.0]];
    let read: [[f32; 2]; 6] =
        [[1.0, -1.0], [-1.0, 1.0], [1.0, 1.0], [0.5, 0.5], [0.5, -0.5], [-0.5, 0.5]];
    let channels: Vec<Vec<f32>> = [1.0, scale]
        .iter()
        .flat_map(|scale| made.iter().map(move |row| row.iter().map(|x| x * scale).collect()))
        .collect();
    let list =
        |numbers: Vec<f32>| numbers.iter().map(|x| format!("{x:?}")).collect::<Vec<_>>().join(", ");
    let offset = [0.5, 0.25, -0.5];
    let offsets = list(offset.into_iter().chain(offset.map(|x| x * scale)).collect());
    let by_channel = list(channels.concat());
    let by_input = list((0..4).flat_map(|i| channels.iter().map(move |row| row[i])).collect());
    let rows = list(read.concat());
    let columns = list((0..2).flat_map(|o| read.iter().map(move |row| row[o])).collect());
    let (x, weights, nodes) = match layer {
        "Conv" => (
            "float[1,4,3,3] x",
            format!("float[6,4,1,1] w = {{{by_channel}}}, float[2,6,1,1] v = {{{columns}}}"),
            "h = Conv (x, w, b)\n r = Relu (h)\n y = Conv (r, v)",
        ),
        _ => (
            "float[3,4] x",
            format!("float[4,6] w = {{{by_input}}}, float[6,2] v = {{{rows}}}"),
            "h = Gemm (x, w, b)\n r = Relu (h)\n y = MatMul (r, v)",
        ),
    };
    let text = format!(
        "<ir_version: 8, opset_import: [\"\" : 17]>\n\
         g ({x}) => (y) <{weights}, float[6] b = {{{offsets}}}> {{\n {nodes}\n}}\n"
    );
    onnxpress::read::text(&text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

#[test]
fn proportional_channels_behind_a_relu_merge_without_loss() {
    for layer in ["Conv", "Gemm"] {
        let sqnr = |model: &Model, repair| {
            let options = options(0.5, Importance::L1, repair);
            let pruned = pruned(model.clone(), &options, &Context::default(), None);
            let result = pruned.unwrap_or_else(|e| panic!("{e}")).finished.model;
            assert!(encode(&result).len() < encode(model).len(), "{layer}: something is cut");
            let specs = pipeline::inputs(model).expect("tensors");
            let noise = Samples::open("random:16".as_ref(), &specs, &Options::default());
            sqnr(model, &result, &noise.expect("random samples"), 4)
        };
        let model = proportional(layer, 0.5);
        let (plain, merged) = (sqnr(&model, Repair::Off), sqnr(&model, Repair::Merge));
        assert!(plain < 30.0 && merged > 120.0, "{layer}: {plain} dB cut, {merged} dB merged");
        // A negative multiple is zero where the other one is not: nothing stands in for it.
        let model = proportional(layer, -0.5);
        assert_eq!(sqnr(&model, Repair::Off), sqnr(&model, Repair::Merge), "{layer}");
    }
}

#[test]
fn merging_needs_no_samples_and_changes_no_shape() {
    let mut merged = 0;
    for name in models() {
        let model = load(&name);
        let made = |repair| {
            let options = options(0.5, Importance::L1, repair);
            let pruned = pruned(model.clone(), &options, &Context::default(), None);
            let result = pruned.unwrap_or_else(|error| panic!("{name}: {error}")).finished.model;
            assert!(result.verify().is_ok(), "{name}");
            result
        };
        let (plain, with) = (made(Repair::Off), made(Repair::Merge));
        let shapes = |model: &Model| -> Vec<_> {
            let tensors = model.values().filter_map(|(_, value)| value.initializer());
            tensors.map(|tensor| tensor.dims().to_vec()).collect()
        };
        assert_eq!(shapes(&plain), shapes(&with), "{name}");
        merged += usize::from(encode(&plain) != encode(&with));
    }
    assert!(merged > 3, "only {merged} models have channels that stand in for others");
}

#[test]
fn halves_are_fitted_in_double_precision_and_stay_halves() {
    let weights: [(&str, &[usize]); 4] =
        [("a", &[3, 4, 1, 1]), ("two", &[1]), ("b", &[2, 6, 1, 1]), ("c", &[2])];
    let nodes = " s = Abs (two)\n a2 = Mul (a, s)\n wf = Concat <axis = 0> (a, a2)
 w = Cast <to = 10> (wf)\n v = Cast <to = 10> (b)\n d = Cast <to = 10> (c)
 xh = Cast <to = 10> (x)\n h = Conv (xh, w)\n r = Abs (h)
 o = Conv (r, v, d)\n y = Cast <to = 1> (o)";
    let model = model(17, "(float[1,4,3,3] x) => (y)", &weights, nodes);
    let specs = pipeline::inputs(&model).expect("tensors");
    let samples = Samples::open("random:64".as_ref(), &specs, &Options::default());
    let samples = samples.expect("random samples");
    let made = |repair| prune(&model, &samples, &options(0.5, Importance::Obs, repair));
    let (plain, repaired) = (made(Repair::Off), made(Repair::LeastSquares));
    let stored: Vec<DType> =
        repaired.values().filter_map(|(_, value)| value.initializer()).map(Tensor::dtype).collect();
    assert_eq!(stored, [DType::Float16; 3]);
    let (before, after) = (sqnr(&model, &plain, &samples, 8), sqnr(&model, &repaired, &samples, 8));
    // Halves have 11 bits: 60 dB and some more.
    assert!(before < 40.0 && after > 50.0, "{before} dB before, {after} dB after");
}
