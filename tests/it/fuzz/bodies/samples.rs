//! Any bytes as a file of samples.

use std::fs;
use std::io::{Cursor, Write};
use std::path::Path;

use onnxpress::data::{
    Channels, InputSpec, Layout, Limits, Npz, Options, Preprocess, Resize, Samples, Size, read_npy,
};
use onnxpress::tensor::DType;
use tempfile::tempdir;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::draw::Choices;

/// Small bounds, so that whatever passes them is seen as a lack of memory.
const LIMITS: Limits = Limits {
    entries: 16,
    array_bytes: 1 << 20,
    expansion: 100,
    resident_bytes: 1 << 12,
    run_bytes: 1 << 20,
    pixels: 1 << 16,
};
/// Runs that are read of one file.
const RUNS: usize = 16;

/// How the bytes come to the reader.
#[derive(Clone, Copy)]
enum Form {
    /// As a file of this name.
    Plain(&'static str),
    /// As the arrays of a sound `.npz` file: its checksums would keep damage from the arrays.
    Archived(CompressionMethod),
}

const FORMS: [Form; 7] = [
    Form::Plain("x.npy"),
    Form::Plain("x.npz"),
    Form::Plain("x.pb"),
    Form::Plain("x.png"),
    Form::Plain("x.jpg"),
    Form::Archived(CompressionMethod::Stored),
    Form::Archived(CompressionMethod::Deflated),
];

/// Bytes at the end that choose the form, the input and the options; the file is what precedes
/// them, so that files themselves are seeds.
const TAIL: usize = 16;

/// A file gives the same runs each time it is read, of the type, size and number that were asked
/// for, or an error.
pub fn check(data: &[u8]) -> bool {
    let (content, tail) = data.split_at(data.len().saturating_sub(TAIL));
    let mut choices = Choices::new(tail);
    let form = *choices.one_of(&FORMS);
    let inputs = inputs(&mut choices);
    let options = options(&mut choices);
    let folder = tempdir().expect("a folder for temporary files");
    let path = match form {
        Form::Plain(name) => {
            let path = folder.path().join(name);
            fs::write(&path, content).expect("room on the disk");
            path
        }
        Form::Archived(method) => {
            let path = folder.path().join("x.npz");
            fs::write(&path, archive(content, &inputs, method)).expect("room on the disk");
            path
        }
    };
    let _ = read_npy(&path);
    if let Ok(mut file) = Npz::open(&path, LIMITS) {
        let mut taken = 0;
        for name in file.names().to_vec() {
            taken += file.read(&name).map_or(0, |tensor| tensor.byte_size() as u64);
        }
        assert!(taken <= LIMITS.array_bytes, "{taken} bytes were read");
    }
    opened(&path, &inputs, &options)
}

/// Each input gets the whole content.
fn archive(content: &[u8], inputs: &[InputSpec], method: CompressionMethod) -> Vec<u8> {
    let mut file = ZipWriter::new(Cursor::new(Vec::new()));
    for input in inputs {
        let options = SimpleFileOptions::default().compression_method(method);
        file.start_file(format!("{}.npy", input.name), options).expect("a new member");
        file.write_all(content).expect("room in memory");
    }
    file.finish().expect("room in memory").into_inner()
}

/// Whether the file could be opened.
fn opened(path: &Path, inputs: &[InputSpec], options: &Options) -> bool {
    let Ok(samples) = Samples::open(path, inputs, options) else { return false };
    assert!(samples.len() <= options.samples.unwrap_or(usize::MAX));
    assert!(samples.runs() <= samples.len());
    if let Some(labels) = samples.labels() {
        assert_eq!(labels.len(), samples.len());
    }
    for index in 0..samples.runs().min(RUNS) {
        let Ok(run) = samples.run(index) else { continue };
        assert!(run.count > 0 && run.count <= run.size);
        assert_eq!(run.inputs.len(), inputs.len());
        for ((name, tensor), input) in run.inputs.iter().zip(inputs) {
            assert_eq!((name, tensor.dtype()), (&input.name, input.dtype));
            assert!(tensor.byte_size() as u64 <= LIMITS.run_bytes, "{:?}", tensor.dims());
            let Some(dims) = &input.dims else { continue };
            assert_eq!(tensor.dims().len(), dims.len());
            for (found, wanted) in tensor.dims().iter().zip(dims) {
                assert!(wanted.is_none_or(|wanted| wanted == *found), "{:?}", tensor.dims());
            }
        }
        let again = samples.run(index).expect("it was read before");
        assert_eq!(again, run, "another answer the second time");
    }
    true
}

fn inputs(choices: &mut Choices<'_>) -> Vec<InputSpec> {
    let shapes: [Option<Vec<Option<usize>>>; 8] = [
        None,
        Some(vec![]),
        Some(vec![None]),
        Some(vec![None, Some(4)]),
        Some(vec![None, Some(3), None, None]),
        Some(vec![Some(2), Some(8), Some(8), Some(3)]),
        Some(vec![None, Some(1), Some(8), Some(8)]),
        Some(vec![Some(1), None, None]),
    ];
    let dtypes = [
        DType::Float,
        DType::Float,
        DType::Double,
        DType::Float16,
        DType::Int64,
        DType::Int32,
        DType::Uint8,
        DType::Int8,
        DType::Bool,
        DType::Bfloat16,
    ];
    let mut input = |name: &str| InputSpec {
        name: name.to_owned(),
        dtype: *choices.one_of(&dtypes),
        dims: choices.one_of(&shapes).clone(),
    };
    let first = input("x");
    let second = input("mask");
    if choices.chance(4) { vec![first, second] } else { vec![first] }
}

fn options(choices: &mut Choices<'_>) -> Options {
    if !choices.chance(2) {
        return Options { limits: LIMITS, ..Options::default() };
    }
    let mut preprocess = Preprocess::default();
    if choices.chance(3) {
        preprocess.scale = Some(1.0 / 255.0);
        preprocess.mean = vec![0.5; *choices.one_of(&[0, 1, 3])];
        preprocess.std = vec![0.25; *choices.one_of(&[0, 1, 3])];
    }
    preprocess.layout = *choices.one_of(&[None, Some(Layout::Nchw), Some(Layout::Nhwc)]);
    preprocess.channels = *choices.one_of(&[Channels::Rgb, Channels::Bgr]);
    let size = Size { height: 8, width: 8 };
    preprocess.resize =
        *choices.one_of(&[None, None, Some(Resize::Shorter(9)), Some(Resize::Exact(size))]);
    preprocess.crop = *choices.one_of(&[None, None, Some(size)]);
    Options {
        labels: choices.one_of(&[None, None, None, Some("x".to_owned())]).clone(),
        samples: *choices.one_of(&[None, Some(1), Some(3)]),
        batch: *choices.one_of(&[1, 2, 5]),
        preprocess,
        limits: LIMITS,
        ..Options::default()
    }
}
