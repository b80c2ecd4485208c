//! Weights as halves, codebooks, ternary and binary numbers: what is written, and that it computes.

use onnxpress::calibrate::Calibration;
use onnxpress::compress;
use onnxpress::compress::QuantizePasses;
use onnxpress::data::Options;
use onnxpress::exec::Tract;
use onnxpress::ir::{Model, NewNode};
use onnxpress::passes::{Context, Granularity, Pass, QuantizeStatic, QuantizeWeights, Storage};
use onnxpress::tensor::{DType, Tensor};
use onnxpress::validate;

use crate::support::{
    add, add_input, add_output, encode, fixture, floats, load, pixels, run, samples,
};

/// Stored so; its signal-to-noise ratio, without samples or with weights chosen on them.
fn quantized(name: &str, storage: Storage, granularity: Granularity, fitted: bool) -> (Model, f64) {
    let model = load(name);
    let calib = samples(&model, fixture("digits_calib.npz"), &Options { batch: 32, ..pixels() });
    let calibration = Calibration { engine: &Tract, samples: &calib, progress: &() };
    let cx = Context { evaluate: Some(&Tract), ..Context::default() };
    let cx = if fitted { Context { measure: Some(&calibration), ..cx } } else { cx };
    let quantization =
        QuantizeStatic { weights_only: true, granularity, ..QuantizeStatic::default() };
    let options = QuantizePasses { quantization, storage, ..QuantizePasses::default() };
    let found = compress::quantized(model.clone(), &options, &cx, None).expect("it runs").model;
    let compared = validate::Options::default();
    let drift = validate::compare(&Tract, &model, &found, &calib, &compared).expect("both run");
    (found, drift.worst_sqnr_db())
}

fn ratio(name: &str, found: &Model) -> f64 {
    encode(found).len() as f64 / encode(&load(name)).len() as f64
}

#[test]
fn halves_take_half_and_lose_next_to_nothing() {
    let name = "digits_mlp.onnx";
    for (dtype, least) in [(DType::Float16, 60.0), (DType::Bfloat16, 40.0)] {
        let (found, db) = quantized(name, Storage::Half(dtype), Granularity::Channel, false);
        assert!(db > least, "{dtype} {db}");
        let size = ratio(name, &found);
        assert!((0.5..0.55).contains(&size), "{dtype} {size}");
        let stored = |dtype: DType| {
            let tensors = found.values().filter_map(|(_, value)| value.initializer());
            tensors.filter(|t| t.dtype() == dtype).map(Tensor::len).sum::<usize>()
        };
        assert!(stored(DType::Float) < stored(dtype) / 50, "{}", stored(DType::Float));
    }
}

/// A product with a matrix of these elements.
fn product(dims: [usize; 2], elements: &[f32]) -> Model {
    let mut model = Model::new(10, 17);
    let x = add_input(&mut model, "x", &[dims[0], dims[0]]);
    let main = model.main();
    let w = model.add_initializer(main, "w", Tensor::from_f32(&dims, elements));
    let y = add(&mut model, NewNode::new("MatMul", &[x, w], "y"));
    add_output(&mut model, y);
    model
}

fn stored(model: &Model, storage: Storage, granularity: Granularity) -> (Model, Vec<String>) {
    let options = QuantizeStatic { granularity, ..QuantizeStatic::default() };
    let mut found = model.clone();
    let report = QuantizeWeights::new(options, storage).run(&mut found, &Context::default());
    let report = report.expect("a valid request");
    found.verify().unwrap_or_else(|violations| panic!("{violations:#?}"));
    let again = QuantizeWeights::new(QuantizeStatic::default(), storage);
    let again = again.run(&mut found.clone(), &Context::default()).expect("it runs again");
    assert!(again.done.is_empty(), "{again:?}");
    (
        found,
        report.refused.into_iter().map(|note| format!("{}: {}", note.place, note.text)).collect(),
    )
}

/// What a model gives for the unit matrix: all weights.
fn weights(model: &Model, rows: usize) -> Vec<f32> {
    let one = |i: usize| if i % rows == i / rows { 1.0 } else { 0.0 };
    let unit: Vec<f32> = (0..rows * rows).map(one).collect();
    let unit = Tensor::from_f32(&[rows, rows], &unit);
    let outputs = run(model, &[("x".into(), unit)]).expect("it runs");
    floats(&outputs[0].1)
}

#[test]
fn numbers_that_a_form_holds_are_exact() {
    // Odd extents: bytes are not filled, and the last block is short.
    let dims = [37, 29];
    let made = |number: &dyn Fn(usize) -> f32| {
        product(dims, &(0..37 * 29).map(number).collect::<Vec<f32>>())
    };
    let steps = made(&|i| (i * i % 13) as f32 / 8.0 - 0.75);
    let three = made(&|i| ((i * i % 7) % 3) as f32 * 0.3 - 0.3);
    let signs = made(&|i| if i * i % 5 > 1 { 0.7 } else { -0.7 });
    // For each column its own scale.
    let columns =
        made(&|i| ((i % 29 + 1) as f32) * if (i / 29 * 3 + i) % 7 > 2 { 0.5 } else { -0.5 });
    let blocks = made(&|i| ((i / 29 / 8 + 1) as f32) * if i % 11 > 4 { 0.25 } else { -0.25 });
    let (tensor, channel) = (Granularity::Tensor, Granularity::Channel);
    for (model, storage, granularity) in [
        (&steps, Storage::Half(DType::Float16), channel),
        (&steps, Storage::Half(DType::Bfloat16), channel),
        (&steps, Storage::Codebook(13), tensor),
        (&steps, Storage::Codebook(200), tensor),
        (&signs, Storage::Codebook(2), tensor),
        (&three, Storage::Ternary, tensor),
        (&signs, Storage::Binary, tensor),
        (&columns, Storage::Binary, channel),
        (&columns, Storage::Ternary, channel),
        (&blocks, Storage::Binary, Granularity::Block(8)),
        (&blocks, Storage::Codebook(2), Granularity::Block(8)),
        (&blocks, Storage::Codebook(100), Granularity::Block(8)),
    ] {
        let (found, refused) = stored(model, storage, granularity);
        assert!(refused.is_empty(), "{refused:?}");
        // The digits of all bytes take 2 KB.
        let (size, before) = (encode(&found).len(), encode(model).len());
        assert!(size < before / 2 + 1300, "{storage} {size} {before}");
        let (before, after) = (weights(model, 37), weights(&found, 37));
        let worst = before.iter().zip(&after).map(|(a, b)| (a - b).abs() / a.abs().max(0.1));
        assert!(worst.fold(0f32, f32::max) < 1e-6, "{storage} {granularity:?}");
    }
}

#[test]
fn weights_beyond_a_half_stay_and_are_named() {
    let mut elements = vec![1.0f32; 24 * 24];
    elements[5] = 7e4;
    let model = product([24, 24], &elements);
    let (_, refused) = stored(&model, Storage::Half(DType::Float16), Granularity::Channel);
    assert_eq!(refused, ["weight `w`: stays in float: it holds 70000, which is beyond float16"]);
    let (_, refused) = stored(&model, Storage::Half(DType::Bfloat16), Granularity::Channel);
    assert!(refused.is_empty(), "{refused:?}");
}

#[test]
fn nothing_is_written_that_would_be_larger() {
    // A weight of 2 KB, and as much for the digits of all bytes.
    let model = product([32, 16], &(0..512).map(|i| (i as f32).cos()).collect::<Vec<f32>>());
    let (found, refused) = stored(&model, Storage::Binary, Granularity::Channel);
    assert_eq!(encode(&found), encode(&model));
    let reason = "stays in float: what stores it would take what is saved";
    assert_eq!(refused, [format!("node `y` (MatMul): {reason}")]);
}

#[test]
fn bytes_are_filled_as_far_as_they_go() {
    let elements: Vec<f32> = (0..600 * 600).map(|i| (i as f32 * 0.37).sin()).collect();
    let model = product([600, 600], &elements);
    for (storage, bits) in [
        (Storage::Binary, 1.0),
        (Storage::Ternary, 1.6),
        (Storage::Codebook(4), 2.0),
        (Storage::Codebook(16), 4.0),
        (Storage::Codebook(256), 8.0),
    ] {
        let (found, _) = stored(&model, storage, Granularity::Channel);
        let expected = 360_000.0 * bits / 8.0 + 600.0 * 4.0;
        let size = encode(&found).len() as f64;
        assert!((size - expected) / expected < 0.06, "{storage} {size} {expected}");
    }
}

#[test]
fn more_numbers_are_closer_and_samples_help() {
    let name = "digits_resnet_bn.onnx";
    let alone = |storage, granularity| quantized(name, storage, granularity, false).1;
    let fitted = |storage, granularity| quantized(name, storage, granularity, true).1;
    let (tensor, channel) = (Granularity::Tensor, Granularity::Channel);
    let errors = [4, 16, 64, 256].map(|entries| alone(Storage::Codebook(entries), tensor));
    assert!(errors.windows(2).all(|pair| pair[0] + 3.0 < pair[1]), "{errors:?}");
    assert!(errors[3] > 35.0, "{errors:?}");
    for (storage, granularity, least) in [
        (Storage::Codebook(16), tensor, 20.0),
        (Storage::Codebook(16), channel, 20.0),
        (Storage::Codebook(4), tensor, 8.0),
        (Storage::Ternary, channel, 5.0),
        (Storage::Ternary, Granularity::Block(16), 5.0),
        (Storage::Binary, channel, 2.0),
    ] {
        let found = [alone(storage, granularity), fitted(storage, granularity)];
        assert!(
            found[1] > found[0] + 0.5 && found[1] > least,
            "{storage} {granularity:?} {found:?}"
        );
    }
}
