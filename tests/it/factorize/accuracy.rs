//! What samples are worth: outputs stay nearer, budgets are kept, and threads leave no trace.

use onnxpress::analysis::Assume;
use onnxpress::calibrate::Calibration;
use onnxpress::compress;
use onnxpress::compress::{FactorizePasses, Factorized, factorized};
use onnxpress::data::{Options, Samples};
use onnxpress::exec::Tract;
use onnxpress::ir::Model;
use onnxpress::passes::{Aim, Amount, Budget, Context, Factorize, Layers, Method, Resource};
use onnxpress::pipeline;
use onnxpress::tensor::Tensor;
use onnxpress::validate::drift;
use rayon::ThreadPoolBuilder;

use crate::support::{encode, fixture, load, models, pixels, run, samples};

fn options(method: Method, aim: Aim, refit: bool) -> FactorizePasses {
    let factorize = Factorize { method, aim, multiple: 2, ..Factorize::default() };
    FactorizePasses { factorize, refit, ..FactorizePasses::default() }
}

fn half(resource: Resource, share: f64) -> Aim {
    Aim::Budget(Budget { resource, most: Amount::Share(share) })
}

fn made(model: &Model, samples: &Samples, options: &FactorizePasses) -> Factorized {
    let calibration = Calibration { engine: &Tract, samples, progress: &() };
    let cx = Context { measure: Some(&calibration), ..Context::default() };
    factorized(model.clone(), options, &cx, Some((&Tract, samples)))
        .unwrap_or_else(|e| panic!("{e}"))
}

fn prepared(name: &str) -> Model {
    let passes = compress::prepare_factorize(&FactorizePasses::default());
    let settled =
        pipeline::settle(load(name), &passes, &Context::default(), None, pipeline::When::AtEnd);
    settled.unwrap_or_else(|error| panic!("{name}: {error}")).model
}

/// Mean signal-to-noise ratio of the outputs, in decibel.
fn sqnr(original: &Model, result: &Model, samples: &Samples) -> f64 {
    let ratio = |i: usize| {
        let inputs = samples.run(i).expect("a sample").inputs;
        let outputs = [original, result].map(|model| run(model, &inputs).expect("it runs"));
        drift(&outputs[0], &outputs[1], Tensor::len).expect("outputs").outputs[0].distance.sqnr_db()
    };
    (0..40).map(ratio).sum::<f64>() / 40.0
}

#[test]
fn samples_bring_outputs_nearer_than_weights_alone_at_the_same_ranks() {
    let model = prepared("digits_resnet_bn.onnx");
    let calibration = samples(&model, fixture("digits_calib.npz"), &pixels());
    let mut labelled = pixels();
    labelled.labels = Some("y".to_owned());
    let test = samples(&model, fixture("digits_test.npz"), &labelled);
    let first =
        made(&model, &calibration, &options(Method::Whitened, half(Resource::Macs, 0.5), true));
    let ranks = first.layers.iter().filter_map(|layer| {
        Some((layer.layer.name.clone(), layer.layer.candidates[layer.chosen?].0.clone()))
    });
    let ranks = Aim::Ranks(ranks.collect());
    let again = |method, refit| {
        let result = made(&model, &calibration, &options(method, ranks.clone(), refit));
        sqnr(&model, &result.finished.model, &test)
    };
    let fitted = sqnr(&model, &first.finished.model, &test);
    let plain = again(Method::Svd, false);
    let whitened = again(Method::Whitened, false);
    let pca = again(Method::Pca, false);
    assert!(fitted > plain + 3.0, "{plain} dB plain, {fitted} dB");
    assert!(whitened > plain && pca > plain, "{plain} dB plain, {whitened} dB, {pca} dB");
    // The ranks of a report make the model again.
    assert!((again(Method::Whitened, true) - fitted).abs() < 1e-9);
}

#[test]
fn threads_leave_no_trace() {
    let model = prepared("digits_resnet_bn.onnx");
    let calibration = samples(&model, fixture("digits_calib.npz"), &pixels());
    let made = |threads| {
        let pool = ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
        let options = options(Method::Whitened, half(Resource::Macs, 0.6), true);
        encode(&pool.install(|| made(&model, &calibration, &options)).finished.model)
    };
    assert_eq!(made(1), made(3));
}

#[test]
fn budgets_are_kept_where_ranks_allow() {
    let mut kept = 0;
    for name in models() {
        let model = prepared(&name);
        for resource in [Resource::Macs, Resource::Parameters, Resource::WeightBytes] {
            let options = options(Method::Svd, half(resource, 0.7), false);
            let result = factorized(model.clone(), &options, &Context::default(), None);
            let result = result.unwrap_or_else(|error| panic!("{name}: {error}")).finished.model;
            let (before, after) = (
                resource.of(&model, &Assume::one_sample()).unwrap(),
                resource.of(&result, &Assume::one_sample()).unwrap(),
            );
            assert!(after <= before, "{name}: {before} -> {after}");
            kept += usize::from(before > 0 && after as f64 <= 0.7 * before as f64);
        }
    }
    assert!(kept >= 10, "only {kept} budgets were kept");
}

#[test]
fn a_budget_counts_the_layers_that_were_chosen() {
    let model = prepared("digits_transformer.onnx");
    let layers = Layers { ops: vec!["MatMul".into(), "Gemm".into()], ..Layers::default() };
    let mut options = options(Method::Svd, half(Resource::Parameters, 0.7), false);
    options.factorize.layers = layers;
    let scope = options.factorize.scope(&model, Resource::Parameters);
    let whole = Resource::Parameters.of(&model, &Assume::one_sample()).unwrap();
    assert!(scope < whole);
    let result = factorized(model, &options, &Context::default(), None).unwrap().finished.model;
    let saved = whole - Resource::Parameters.of(&result, &Assume::one_sample()).unwrap();
    let least = scope - (0.7 * scope as f64) as u64;
    assert!(saved >= least && saved < least + scope / 10, "{saved} of {scope}");
}

#[test]
fn what_no_sample_shows_is_split_by_the_weights() {
    // An input that is always the same has moments of rank 1, and one that is zero has none.
    let model = prepared("digits_mlp.onnx");
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("x.npy");
    let input = &pipeline::inputs(&model).unwrap()[0];
    let dims: Vec<usize> = input.dims.as_ref().unwrap()[1..].iter().map(|d| d.unwrap()).collect();
    let dims = [vec![8], dims].concat();
    let count: usize = dims.iter().product();
    std::fs::write(&path, crate::support::npy("<f4", &dims, &vec![0; 4 * count])).unwrap();
    let zeros = samples(&model, &path, &Options::default());
    let result = made(&model, &zeros, &options(Method::Whitened, half(Resource::Macs, 0.6), true));
    encode(&result.finished.model);
    assert!(result.layers.iter().any(|layer| layer.chosen.is_some()));
}
