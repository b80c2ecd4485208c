//! Whole files through [`Samples`].

use std::path::Path;

use super::testing::{npy, npy_f32, npy_i64, npz};
use super::*;
use crate::error::{ErrorKind, Result};
use crate::tensor::{DType, Tensor};

fn spec(name: &str, dtype: DType, dims: &[i64]) -> InputSpec {
    let dims = dims.iter().map(|&dim| usize::try_from(dim).ok()).collect();
    InputSpec { name: name.into(), dtype, dims: Some(dims) }
}

fn with_labels(name: &str) -> Options {
    Options { labels: Some(name.into()), ..Options::default() }
}

fn only(samples: &Samples, run: usize) -> Tensor {
    samples.run(run).unwrap().inputs.remove(0).1
}

/// Opens these arrays against these inputs.
fn open(arrays: &[(&str, Vec<u8>)], inputs: &[InputSpec], options: &Options) -> Result<Samples> {
    let folder = tempfile::tempdir().unwrap();
    Samples::open(&npz(folder.path(), arrays), inputs, options)
}

#[test]
fn images_are_normalised_and_labels_found() {
    let pixels: Vec<u8> = (0..24).collect();
    let arrays = [
        ("y", npy("|u1", false, &[2], &[3, 250])),
        ("x", npy("|u1", false, &[2, 3, 2, 2], &pixels)),
    ];
    let preprocess = Preprocess {
        scale: Some(1.0 / 255.0),
        mean: vec![0.1, 0.2, 0.3],
        std: vec![0.5, 0.25, 2.0],
        ..Preprocess::default()
    };
    let options = Options { preprocess, batch: 8, ..with_labels("y") };
    let input = spec("image", DType::Float, &[-1, 3, 2, 2]);
    let samples = open(&arrays, &[input], &options).unwrap();
    assert_eq!((samples.len(), samples.runs(), samples.batch()), (2, 1, 2));
    assert_eq!(samples.labels().unwrap(), [3, 250]);
    let values = only(&samples, 0).to_f32().unwrap();
    let expected = |pixel: f32, mean: f32, std: f32| (pixel / 255.0 - mean) / std;
    assert!((values[5] - expected(5.0, 0.2, 0.25)).abs() < 1e-6);
    assert!((values[23] - expected(23.0, 0.3, 2.0)).abs() < 1e-6);
}

#[test]
fn layout_and_colours_are_rearranged() {
    // Two pixels side by side, red green blue each.
    let arrays = [("x", npy("|u1", false, &[1, 1, 2, 3], &[1, 2, 3, 4, 5, 6]))];
    let preprocess = Preprocess {
        mean: vec![0.0, 0.0, 1.0],
        layout: Some(Layout::Nhwc),
        channels: Channels::Bgr,
        ..Preprocess::default()
    };
    let options = Options { preprocess, ..Options::default() };
    let planes = open(&arrays, &[spec("x", DType::Float, &[1, 3, 1, 2])], &options).unwrap();
    assert_eq!(only(&planes, 0), Tensor::from_f32(&[1, 3, 1, 2], &[3.0, 6.0, 2.0, 5.0, 0.0, 3.0]));
    let pixels = open(&arrays, &[spec("x", DType::Float, &[1, 1, 2, 3])], &options).unwrap();
    assert_eq!(only(&pixels, 0), Tensor::from_f32(&[1, 1, 2, 3], &[3.0, 2.0, 0.0, 6.0, 5.0, 3.0]));
}

#[test]
fn a_fixed_batch_is_filled_up_with_its_last_sample() {
    let values: Vec<f32> = (0..10).map(|x| x as f32).collect();
    let arrays = [("x", npy_f32(&[5, 2], &values))];
    let samples = open(&arrays, &[spec("x", DType::Float, &[2, 2])], &Options::default()).unwrap();
    assert_eq!(samples.runs(), 3);
    assert_eq!(only(&samples, 1), Tensor::from_f32(&[2, 2], &[4.0, 5.0, 6.0, 7.0]));
    let last = samples.run(2).unwrap();
    assert_eq!((last.first, last.count), (4, 1));
    assert_eq!(last.inputs[0].1, Tensor::from_f32(&[2, 2], &[8.0, 9.0, 8.0, 9.0]));
    assert!(samples.run(3).is_err());
    let options = Options { batch: 3, samples: Some(4), ..Options::default() };
    let samples = open(&arrays, &[spec("x", DType::Float, &[-1, 2])], &options).unwrap();
    assert_eq!((samples.len(), samples.runs()), (4, 2));
    assert_eq!(only(&samples, 1).dims(), [1, 2]);
}

#[test]
fn several_inputs_are_matched_by_name_and_only_floats_are_scaled() {
    let arrays = [
        ("mask", npy_f32(&[2, 3], &[1.0, 1.0, 0.0, 1.0, 0.0, 0.0])),
        ("state", npy_f32(&[2, 2, 1], &[1.0, 2.0, 3.0, 4.0])),
        ("ids", npy("<u2", false, &[2, 3], &[1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 255, 255])),
        ("rate", npy_i64(&[], &[16000])),
    ];
    let inputs = [
        spec("ids", DType::Int64, &[1, 3]),
        spec("mask", DType::Float16, &[-1, 3]),
        spec("state", DType::Float, &[2, 1]),
        spec("rate", DType::Int64, &[]),
    ];
    let preprocess = Preprocess { scale: Some(2.0), ..Preprocess::default() };
    let options = Options { preprocess, ..Options::default() };
    let samples = open(&arrays, &inputs, &options).unwrap();
    let run = samples.run(1).unwrap();
    assert_eq!(run.inputs[0], ("ids".into(), Tensor::from_i64(&[1, 3], &[4, 5, 65535])));
    assert_eq!(run.inputs[1].1.dtype(), DType::Float16);
    assert_eq!(run.inputs[1].1.to_f32().unwrap(), [2.0, 0.0, 0.0]);
    assert_eq!(run.inputs[2].1, Tensor::from_f32(&[2, 1], &[6.0, 8.0]));
    assert_eq!(run.inputs[3].1, Tensor::from_i64(&[], &[16000]));

    let missing = open(&arrays, &[inputs[0].clone(), spec("b", DType::Float, &[1])], &options);
    let message = missing.unwrap_err().to_string();
    assert!(
        message.contains("no array for input `b`; the file holds `mask`, `state`"),
        "{message}"
    );
    let unscaled = open(&arrays, &inputs[..1], &options).unwrap_err();
    assert_eq!(unscaled.kind, ErrorKind::Usage);
}

#[test]
fn float_data_passes_bit_by_bit_and_nan_is_named() {
    let values = [f32::MIN_POSITIVE / 2.0, -0.0, 1.0, f32::NAN];
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.npy");
    std::fs::write(&path, npy_f32(&[2, 2], &values)).unwrap();
    let input = spec("x", DType::Float, &[-1, 2]);
    let samples = Samples::open(&path, std::slice::from_ref(&input), &Options::default()).unwrap();
    assert_eq!(only(&samples, 0).bytes().as_ref(), [0, 0, 64, 0, 0, 0, 0, 128]);
    let message = samples.run(1).unwrap_err().to_string();
    assert!(
        message.ends_with("x.npy: the array, sample 1: NaN at index [1]; expected finite numbers")
    );
    let labels = Samples::open(&path, std::slice::from_ref(&input), &with_labels("y")).unwrap_err();
    assert_eq!(labels.kind, ErrorKind::Usage);
    let two = Samples::open(&path, &[input.clone(), input], &Options::default()).unwrap_err();
    assert_eq!(two.kind, ErrorKind::Usage);
}

#[test]
fn labels_must_be_one_integer_for_each_sample() {
    let input = [spec("x", DType::Float, &[-1, 2])];
    let message = |labels: Vec<u8>| {
        let arrays = [("x", npy_f32(&[2, 2], &[0.0; 4])), ("y", labels)];
        open(&arrays, &input, &with_labels("y")).unwrap_err().to_string()
    };
    assert!(message(npy_i64(&[2, 3], &[0, 1, 0, 1, 0, 0])).contains("one-hot"));
    assert!(message(npy_i64(&[3], &[0; 3])).ends_with("the 2 samples, found 3"));
    assert!(message(npy_f32(&[2], &[0.0; 2])).ends_with("found float"));
    let arrays = [("x", npy_f32(&[2, 2], &[0.0; 4])), ("y", npy_i64(&[2], &[0; 2]))];
    let missing = open(&arrays, &input, &with_labels("label")).unwrap_err().to_string();
    assert!(missing.ends_with("no array of labels `label`; the file holds `x`, `y`"), "{missing}");
}

#[test]
fn what_does_not_agree_is_refused() {
    let arrays = [("a", npy_f32(&[2, 2], &[0.0; 4])), ("b", npy_f32(&[3, 2], &[0.0; 6]))];
    let inputs =
        |a: i64, b: i64| [spec("a", DType::Float, &[a, 2]), spec("b", DType::Float, &[b, 2])];
    let kind = |inputs: &[InputSpec]| open(&arrays, inputs, &Options::default()).unwrap_err().kind;
    assert_eq!(kind(&inputs(-1, -1)), ErrorKind::Data);
    let same = [arrays[0].clone(), ("b", arrays[0].1.clone())];
    let error = open(&same, &inputs(2, 1), &Options::default()).unwrap_err();
    assert!(error.message.contains("takes 2 samples"), "{error}");
    let huge = open(&same, &inputs(1 << 40, 1 << 40), &Options::default()).unwrap_err();
    assert_eq!(huge.kind, ErrorKind::Limit);
    let empty = [("a", npy_f32(&[0, 2], &[]))];
    assert!(open(&empty, &inputs(-1, -1)[..1], &Options::default()).is_err());
    let strings = [spec("a", DType::String, &[-1, 2])];
    assert_eq!(kind(&strings), ErrorKind::Unsupported);
}

#[test]
fn random_samples_depend_on_the_seed_alone() {
    let inputs = [
        spec("x", DType::Float, &[-1, 3, -1]),
        spec("ids", DType::Int64, &[-1, 4]),
        InputSpec { name: "rate".into(), dtype: DType::Int64, dims: Some(vec![]) },
    ];
    let open = |batch, seed| {
        let options = Options { batch, seed, ..Options::default() };
        Samples::open(Path::new("random:5"), &inputs, &options).unwrap()
    };
    let (one, two) = (open(1, 7), open(2, 7));
    assert!(one.is_random());
    assert_eq!((one.runs(), two.runs()), (5, 3));
    let rows = two.run(1).unwrap();
    assert_eq!(rows.inputs[0].1.dims(), [2, 3, 8]);
    let half = rows.inputs[0].1.bytes().slice(96..);
    assert_eq!(half, one.run(3).unwrap().inputs[0].1.bytes());
    assert!(rows.inputs[1].1.to_i64().unwrap().iter().all(|id| (0..8).contains(id)));
    assert_ne!(only(&one, 0), only(&open(1, 8), 0));
    assert_ne!(only(&one, 0), only(&one, 1));
    // Different first axes cannot all be the batch.
    let state = [spec("x", DType::Float, &[1, 4]), spec("h", DType::Float, &[2, 1, 4])];
    let whole = Samples::open(Path::new("random:2"), &state, &Options::default()).unwrap();
    assert_eq!(whole.run(1).unwrap().inputs[1].1.dims(), [2, 1, 4]);
    let none = Samples::open(Path::new("random:0"), &state, &Options::default()).unwrap_err();
    assert_eq!(none.kind, ErrorKind::Usage);
}

#[test]
fn runs_are_made_by_many_threads_at_once() {
    use rayon::prelude::*;
    let values: Vec<f32> = (0..64).map(|x| x as f32).collect();
    let arrays = [("x", npy_f32(&[64, 1], &values))];
    let samples =
        open(&arrays, &[spec("x", DType::Double, &[-1, 1])], &Options::default()).unwrap();
    let found: Vec<f64> = (0..samples.runs())
        .into_par_iter()
        .flat_map_iter(|run| only(&samples, run).to_f64().unwrap())
        .collect();
    assert_eq!(found, values.iter().map(|&x| f64::from(x)).collect::<Vec<_>>());
}
