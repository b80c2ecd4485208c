//! Ranges do not depend on how the samples are cut up, ordered, or spread over threads.

use std::path::Path;

use onnxpress::analysis::{Asked, Measure, Range};
use onnxpress::calibrate::Calibration;
use onnxpress::data::{Limits, Npz, Options, Samples};
use onnxpress::exec::Tract;
use onnxpress::ir::{Dim, DimSize, Model, NewNode, TensorType, ValueId};
use onnxpress::tensor::{DType, Tensor};
use rayon::ThreadPoolBuilder;
use tempfile::tempdir;

use crate::support::{
    add, add_output, fixture, load, npy, npy_f32, pixels, samples, shell, value, write_npz,
};

/// Both ends of a range, bit for bit.
type Bits = Option<(u32, u32)>;

fn bits(ranges: &[Option<Range>]) -> Vec<Bits> {
    ranges.iter().map(|range| range.map(|r| (r.min.to_bits(), r.max.to_bits()))).collect()
}

fn ranges(model: &Model, values: &[ValueId], samples: &Samples) -> Vec<Option<Range>> {
    let calibration = Calibration { engine: &Tract, samples, progress: &() };
    let asked = |&value: &ValueId| Asked { value, levels: 256, symmetric: false };
    let asked: Vec<Asked> = values.iter().map(asked).collect();
    calibration.ranges(model, &asked).expect("the model runs")
}

/// Every value that a run computes.
fn computed(model: &Model) -> Vec<ValueId> {
    let wanted = model.values().filter(|(_, v)| v.producer().is_some() || v.is_input());
    wanted.map(|(id, _)| id).collect()
}

/// The pixels of the calibration samples.
fn digits() -> Vec<Vec<u8>> {
    let mut file = Npz::open(&fixture("digits_calib.npz"), Limits::default()).expect("a fixture");
    let pixels = file.read("x").expect("the pixels");
    assert_eq!(pixels.dims(), [128, 1, 8, 8]);
    pixels.bytes().chunks(64).map(<[u8]>::to_vec).collect()
}

#[test]
fn the_order_of_the_samples_does_not_matter() {
    let model = load("digits_resnet_opset11.onnx");
    let values = computed(&model);
    let folder = tempdir().unwrap();
    let mut orders = [digits(), digits()];
    orders[0].reverse();
    // 37 and 128 have no common divisor: every sample comes once, far from its neighbours.
    orders[1] = (0..128).map(|i| orders[1][i * 37 % 128].clone()).collect();
    let batch = Options { batch: 16, ..pixels() };
    for options in [pixels(), batch] {
        let measure = |path: &Path| ranges(&model, &values, &samples(&model, path, &options));
        let expected = measure(&fixture("digits_calib.npz"));
        let seen = expected.iter().flatten().count();
        assert!(seen > values.len() / 2, "{seen} of {} values were seen", values.len());
        for (i, order) in orders.iter().enumerate() {
            let path = folder.path().join(format!("{i}.npz"));
            write_npz(&path, &[("x", npy("|u1", &[128, 1, 8, 8], &order.concat()))]);
            let batch = options.batch;
            assert_eq!(bits(&measure(&path)), bits(&expected), "order {i}, batches of {batch}");
        }
    }
}

#[test]
fn threads_do_not_matter_and_batches_only_in_the_last_bits() {
    for name in ["digits_resnet_bn.onnx", "digits_transformer.onnx"] {
        let model = load(name);
        let values = computed(&model);
        let measure = |batch: usize, threads: usize| {
            let samples =
                samples(&model, fixture("digits_calib.npz"), &Options { batch, ..pixels() });
            let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| ranges(&model, &values, &samples))
        };
        let expected = measure(1, 1);
        for batch in [1, 7, 128] {
            let single = measure(batch, 1);
            assert_eq!(bits(&measure(batch, 2)), bits(&single), "{name} in batches of {batch}");
            for ((&value, found), expected) in values.iter().zip(&single).zip(&expected) {
                let value = model.value(value).name();
                let close = match (found, expected) {
                    (Some(a), Some(b)) => {
                        // The engine adds up a batch in another order than a sample.
                        let slack = (b.max - b.min).max(b.max.abs()) * 1e-5;
                        (a.min - b.min).abs() <= slack && (a.max - b.max).abs() <= slack
                    }
                    (found, expected) => found == expected,
                };
                assert!(close, "{name}, `{value}`: {found:?}, alone {expected:?}");
            }
        }
    }
}

/// `x` `[batch, 2]` times 2, plus 1; without a batch it is free.
fn affine(batch: Option<usize>) -> Model {
    let mut model = Model::new(8, 17);
    let main = model.main();
    let mut ty = TensorType::with_dims(DType::Float, &[batch.unwrap_or(1), 2]);
    if batch.is_none() {
        ty.dims =
            Some(vec![Dim { size: DimSize::Symbol("n".into()), denotation: None }, Dim::known(2)]);
    }
    let x = model.add_input(main, "x", ty);
    let two = model.add_initializer(main, "two", Tensor::from_f32(&[], &[2.0]));
    let one = model.add_initializer(main, "one", Tensor::from_f32(&[], &[1.0]));
    let scaled = add(&mut model, NewNode::new("Mul", &[x, two], "scaled"));
    let shifted = add(&mut model, NewNode::new("Add", &[scaled, one], "y"));
    add_output(&mut model, shifted);
    model
}

#[test]
fn known_samples_give_known_ranges() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("x.npz");
    write_npz(&path, &[("x", npy_f32(&[3, 2], &[-1.0, 4.0, 0.5, 0.25, 3.0, -2.0]))]);
    let range = |min, max| Some(Range { min, max });
    for model in [affine(None), affine(Some(1)), affine(Some(2)), affine(Some(3)), affine(Some(5))]
    {
        let values = ["x", "scaled", "y", "one"].map(|name| value(&model, name));
        let found = ranges(&model, &values, &samples(&model, &path, &Options::default()));
        let expected = [range(-2.0, 4.0), range(-4.0, 8.0), range(-3.0, 9.0)];
        assert_eq!(found[..3], expected, "{:?}", model.value(values[0]).tensor_type());
        // A constant is no activation; whether an engine shows it or not, it is never wrong.
        assert!(found[3].is_none() || found[3] == range(1.0, 1.0));
    }
}

#[test]
fn padding_of_a_fixed_batch_is_not_measured_as_zeros() {
    // All samples lie far from 0, and the last batch is filled up with a sample, not with zeros.
    let folder = tempdir().unwrap();
    let path = folder.path().join("x.npz");
    write_npz(
        &path,
        &[("x", npy_f32(&[5, 2], &[5.0, 6.0, 7.0, 8.0, 9.0, 5.5, 6.5, 7.5, 8.5, 9.5]))],
    );
    let found = |model: &Model| {
        let values = ["x", "scaled", "y"].map(|name| value(model, name));
        bits(&ranges(model, &values, &samples(model, &path, &Options::default())))
    };
    let expected = found(&affine(None));
    assert_eq!(expected[0], Some((5f32.to_bits(), 9.5f32.to_bits())));
    for batch in [2, 3, 4, 64] {
        assert_eq!(found(&affine(Some(batch))), expected, "a fixed batch of {batch}");
    }
}

#[test]
fn a_single_nan_stays_wherever_it_comes() {
    let mut model = affine(None);
    let x = value(&model, "x");
    let log = add(&mut model, NewNode::new("Log", &[x], "log"));
    add_output(&mut model, log);
    let folder = tempdir().unwrap();
    for (i, at) in [0, 3, 9].into_iter().enumerate() {
        let mut pixels = [2.0; 10];
        pixels[at] = -1.0;
        let path = folder.path().join(format!("{i}.npz"));
        write_npz(&path, &[("x", npy_f32(&[5, 2], &pixels))]);
        for batch in [1, 2, 5] {
            let samples = samples(&model, &path, &Options { batch, ..Options::default() });
            let found = ranges(&model, &[log, x], &samples);
            let log = found[0].expect("it was seen");
            assert!(log.min.is_nan() && log.max.is_nan(), "element {at}: {log:?}");
            assert_eq!(found[1], Some(Range { min: -1.0, max: 2.0 }), "other values are measured");
        }
    }
}

#[test]
fn values_of_bodies_are_measured_in_the_branches_that_run() {
    let model = load("graphs/if_captures.onnx");
    let samples = samples(&model, "random:3", &Options::default());
    let values: Vec<ValueId> = model.values().map(|(id, _)| id).collect();
    let found = ranges(&model, &values, &samples);
    let inner = values.iter().zip(found).filter(|(id, _)| {
        let value = model.value(**id);
        value.graph() != model.main() && value.producer().is_some()
    });
    let (seen, unseen): (Vec<_>, Vec<_>) = inner.partition(|(_, range)| range.is_some());
    assert!(!seen.is_empty(), "{unseen:?}");
    assert!(seen.iter().all(|(_, range)| range.is_some_and(|range| range.min < range.max)));
}

#[test]
fn the_result_is_the_same_file_for_any_number_of_threads() {
    let folder = tempdir().unwrap();
    let names = ["digits_resnet_opset11", "digits_transformer"];
    for name in names {
        let files: Vec<Vec<u8>> = ["1", "2", "3"]
            .iter()
            .map(|threads| {
                let line = format!(
                    "quantize fixtures/{name}.onnx --data fixtures/digits_calib.npz --scale 1/16 \
                     --threads {threads} -o TMP/{name}-{threads}.onnx"
                );
                let ran = shell(&line, folder.path());
                assert_eq!(ran.code, 0, "{}", ran.err);
                let out = folder.path().join(format!("{name}-{threads}.onnx"));
                std::fs::read(out).unwrap()
            })
            .collect();
        assert!(files.iter().all(|file| *file == files[0]), "{name}");
    }
}
