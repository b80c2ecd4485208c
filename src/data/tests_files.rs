//! Folders of images and of ONNX test data through [`Samples`].

use std::path::{Path, PathBuf};

use image::{GrayImage, Luma, Rgb, RgbImage};
use prost::Message;

use super::testing::npy_f32;
use super::*;
use crate::error::{ErrorKind, Result};
use crate::proto::TensorProto;
use crate::tensor::{DType, Tensor};

fn spec(name: &str, dtype: DType, dims: &[i64]) -> InputSpec {
    let dims = dims.iter().map(|&dim| usize::try_from(dim).ok()).collect();
    InputSpec { name: name.into(), dtype, dims: Some(dims) }
}

fn open(path: &Path, input: &InputSpec, preprocess: Preprocess) -> Result<Samples> {
    let options = Options { preprocess, ..Options::default() };
    Samples::open(path, std::slice::from_ref(input), &options)
}

fn only(samples: &Samples, run: usize) -> Tensor {
    samples.run(run).unwrap().inputs.remove(0).1
}

/// Writes an image of this height and width: red is `red`, green the column, blue the row.
fn png(path: PathBuf, red: u8, height: u32, width: u32) {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).unwrap();
    }
    RgbImage::from_fn(width, height, |x, y| Rgb([red, x as u8, y as u8])).save(path).unwrap();
}

/// Writes a tensor of `f32`.
fn pb(path: PathBuf, name: Option<&str>, dims: &[i64], values: &[f32]) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let proto = TensorProto {
        name: name.map(Into::into),
        data_type: Some(1),
        dims: dims.to_vec(),
        float_data: values.to_vec(),
        ..TensorProto::default()
    };
    std::fs::write(path, proto.encode_to_vec()).unwrap();
}

#[test]
fn a_flat_folder_is_read_in_the_order_of_names() {
    let folder = tempfile::tempdir().unwrap();
    for (name, red) in [("b.png", 2), ("a.PNG", 1), ("c.jpg", 3)] {
        png(folder.path().join(name), red, 1, 2);
    }
    std::fs::write(folder.path().join("README.txt"), "not an image").unwrap();
    let input = spec("x", DType::Float, &[-1, 3, 1, 2]);
    let samples = open(folder.path(), &input, Preprocess::default()).unwrap();
    assert_eq!((samples.len(), samples.labels()), (3, None));
    let expected = Tensor::from_f32(&[1, 3, 1, 2], &[1.0, 1.0, 0.0, 1.0, 0.0, 0.0]);
    assert_eq!(only(&samples, 0), expected);
    assert_eq!(only(&samples, 1).to_f32().unwrap()[0], 2.0);
    let preprocess = Preprocess {
        scale: Some(0.5),
        mean: vec![0.0, 0.5, 1.0],
        channels: Channels::Bgr,
        ..Preprocess::default()
    };
    let turned = open(folder.path(), &input, preprocess).unwrap();
    assert_eq!(only(&turned, 1).to_f32().unwrap(), [0.0, 0.0, -0.5, 0.0, 0.0, 0.0]);
    let last = spec("x", DType::Uint8, &[2, -1, -1, 3]);
    let samples = open(folder.path(), &last, Preprocess::default()).unwrap();
    assert_eq!((samples.runs(), samples.batch()), (2, 2));
    let both = only(&samples, 0);
    assert_eq!(both.dims(), [2, 1, 2, 3]);
    assert_eq!(both.bytes().as_ref(), [1, 0, 0, 1, 1, 0, 2, 0, 0, 2, 1, 0]);
}

#[test]
fn sub_folders_are_the_labels() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    for (class, red) in [("cat/0.png", 1), ("cat/1.png", 2), ("dog/0.png", 3), ("ape/7.png", 4)] {
        png(root.join(class), red, 1, 1);
    }
    std::fs::create_dir(root.join("bat")).unwrap();
    let input = spec("x", DType::Float, &[-1, 3, 1, 1]);
    let samples = open(root, &input, Preprocess::default()).unwrap();
    // The first of each class first; `bat` has a number, but no image.
    assert_eq!(samples.labels().unwrap(), [0, 2, 3, 2]);
    let red: Vec<f32> = (0..4).map(|run| only(&samples, run).to_f32().unwrap()[0]).collect();
    assert_eq!(red, [4.0, 1.0, 3.0, 2.0]);
    let options = Options { samples: Some(2), labels: Some("class".into()), ..Options::default() };
    let two = Samples::open(root, std::slice::from_ref(&input), &options).unwrap();
    assert_eq!((two.len(), two.labels().unwrap()), (2, &[0, 2][..]));
    let flat = Samples::open(&root.join("cat"), std::slice::from_ref(&input), &options);
    assert_eq!(flat.unwrap_err().kind, ErrorKind::Usage);
    png(root.join("stray.png"), 0, 1, 1);
    assert!(open(root, &input, Preprocess::default()).is_err());

    let numbers = tempfile::tempdir().unwrap();
    for (class, red) in [("3/a.png", 1), ("12/a.png", 2)] {
        png(numbers.path().join(class), red, 1, 1);
    }
    let samples = open(numbers.path(), &input, Preprocess::default()).unwrap();
    assert_eq!(samples.labels().unwrap(), [3, 12]);
}

#[test]
fn images_are_brought_to_the_size_of_the_input_only_when_asked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.png");
    png(path.clone(), 9, 4, 8);
    let input = spec("x", DType::Float, &[1, 3, 2, 2]);
    let message = open(&path, &input, Preprocess::default()).unwrap_err().to_string();
    assert!(
        message.ends_with(
            "a.png: image of 4x8 pixels (height x width), input `x` takes [1, 3, 2, 2]; \
             give --resize 2x2, which may change proportions, or --resize 2 --crop 2x2, \
             which keeps the middle"
        ),
        "{message}"
    );
    let crop = Some(Size { height: 2, width: 2 });
    let middle = open(&path, &input, Preprocess { crop, ..Preprocess::default() }).unwrap();
    let green = &only(&middle, 0).to_f32().unwrap()[4..8];
    assert_eq!(green, [3.0, 4.0, 3.0, 4.0]);
    let resize = Some(Resize::Exact(Size { height: 2, width: 2 }));
    let whole = open(&path, &input, Preprocess { resize, ..Preprocess::default() }).unwrap();
    assert_eq!(only(&whole, 0).dims(), [1, 3, 2, 2]);
    let preset = Some(Preset::Imagenet);
    let known = Preprocess { preset, ..Preprocess::default() };
    let large = spec("x", DType::Float, &[-1, 3, -1, -1]);
    assert_eq!(only(&open(&path, &large, known.clone()).unwrap(), 0).dims(), [1, 3, 224, 224]);
    let refused = open(&path, &input, known.clone()).unwrap_err().to_string();
    assert!(refused.contains("224x224 pixels (height x width) after resize and crop"), "{refused}");
    // Arrays have their size already: a preset's is left out, one that was asked for is refused.
    let array = folder.path().join("x.npy");
    std::fs::write(&array, npy_f32(&[1, 3, 2, 2], &[0.0; 12])).unwrap();
    assert!(open(&array, &input, known).is_ok());
    let refused = open(&array, &input, Preprocess { crop, ..Preprocess::default() });
    assert_eq!(refused.unwrap_err().kind, ErrorKind::Usage);
    // A model of any size takes images of different sizes, one for each run.
    png(folder.path().join("b.png"), 1, 2, 2);
    std::fs::remove_file(&array).unwrap();
    let ragged = open(folder.path(), &large, Preprocess::default()).unwrap();
    assert_eq!(only(&ragged, 0).dims(), [1, 3, 4, 8]);
    assert_eq!(only(&ragged, 1).dims(), [1, 3, 2, 2]);
    let pairs = spec("x", DType::Float, &[2, 3, -1, -1]);
    let pairs = open(folder.path(), &pairs, Preprocess::default()).unwrap();
    assert!(pairs.run(0).unwrap_err().to_string().contains("different shapes in one batch"));
}

#[test]
fn grey_inputs_take_one_channel_in_any_shape() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.png");
    GrayImage::from_fn(3, 2, |x, y| Luma([(3 * y + x) as u8])).save(&path).unwrap();
    for dims in [&[-1, 1, 2, 3][..], &[-1, 2, 3, 1], &[-1, 2, 3], &[1, 6]] {
        let samples = open(&path, &spec("x", DType::Float, dims), Preprocess::default()).unwrap();
        let tensor = only(&samples, 0);
        assert_eq!(tensor.to_f32().unwrap(), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
        assert_eq!(tensor.dims().len(), dims.len());
    }
    let four = spec("x", DType::Float, &[1, 4, 2, 5]);
    let message = open(&path, &four, Preprocess::default()).unwrap_err().to_string();
    assert!(message.contains("so 4 channels; images give 1 or 3"), "{message}");
    std::fs::write(folder.path().join("b.webp"), "RIFF").unwrap();
    let other = open(folder.path(), &four, Preprocess::default()).unwrap_err();
    assert_eq!(other.kind, ErrorKind::Unsupported);
}

#[test]
fn test_data_sets_are_complete_inputs_in_the_order_of_their_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    for (set, first) in [(0, 0.0), (2, 2.0), (10, 10.0)] {
        let set = root.join(format!("test_data_set_{set}"));
        pb(set.join("input_0.pb"), Some("b"), &[2, 1], &[first, 1.0]);
        pb(set.join("input_1.pb"), Some("a"), &[1], &[first]);
        pb(set.join("output_0.pb"), None, &[1], &[0.0]);
    }
    let inputs = [spec("a", DType::Double, &[1]), spec("b", DType::Float, &[-1, 1])];
    let samples = Samples::open(root, &inputs, &Options::default()).unwrap();
    assert_eq!((samples.len(), samples.runs()), (3, 3));
    let last = samples.run(2).unwrap();
    assert_eq!(last.inputs[0], ("a".into(), Tensor::from_f64(&[1], &[10.0])));
    assert_eq!(last.inputs[1], ("b".into(), Tensor::from_f32(&[2, 1], &[10.0, 1.0])));
    assert_eq!((last.count, last.size), (1, 1));

    let one = root.join("test_data_set_2");
    // Names that the model does not know: the order of the files decides.
    let order = [spec("p", DType::Float, &[2, 1]), spec("q", DType::Float, &[1])];
    let samples = Samples::open(&one, &order, &Options::default()).unwrap();
    assert_eq!(samples.run(0).unwrap().inputs[1].1, Tensor::from_f32(&[1], &[2.0]));
    let message = Samples::open(&one, &order[..1], &Options::default()).unwrap_err().to_string();
    assert!(message.ends_with("2 input_*.pb for 1 inputs: `p`"), "{message}");
    let single = open(&one.join("input_1.pb"), &order[1], Preprocess::default()).unwrap();
    assert_eq!(only(&single, 0), Tensor::from_f32(&[1], &[2.0]));
    let misfit = open(&one.join("input_1.pb"), &order[0], Preprocess::default()).unwrap_err();
    assert!(
        misfit.to_string().ends_with("input `p` takes [2, 1], found a tensor of shape [1]"),
        "{misfit}"
    );
    let nan = one.join("input_1.pb");
    pb(nan.clone(), None, &[1], &[f32::NAN]);
    let samples = open(&nan, &order[1], Preprocess::default()).unwrap();
    assert!(samples.run(0).unwrap_err().to_string().contains("input_1.pb: NaN"));
}

#[test]
fn folders_without_samples_and_other_files_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let input = spec("x", DType::Float, &[1]);
    let message = || open(folder.path(), &input, Preprocess::default()).unwrap_err().to_string();
    assert!(message().contains("the folder holds no samples"));
    let text = folder.path().join("data.csv");
    std::fs::write(&text, "1,2,3").unwrap();
    let message = open(&text, &input, Preprocess::default()).unwrap_err().to_string();
    assert!(message.contains("expected an .npz or .npy file, a png or jpeg image"), "{message}");
}
