//! What several modules need: fixtures, samples made on the spot, and the command itself.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use bytes::Bytes;
use onnxpress::data::{InputSpec, Options, Samples};
use onnxpress::exec::{Runner, Tract};
use onnxpress::ir::{At, Def, Model, NewNode, TensorType, ValueId};
use onnxpress::tensor::{DType, Tensor};
use onnxpress::{emit, read};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

/// The folder of the package.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A file of `fixtures/`.
pub fn fixture(name: &str) -> PathBuf {
    root().join("fixtures").join(name)
}

/// Names of all models below `fixtures/`, sorted.
pub fn models() -> Vec<String> {
    let mut names = Vec::new();
    for folder in ["", "graphs/"] {
        let entries = fixture(folder).read_dir().expect("the folder of fixtures");
        let files = entries.map(|entry| entry.expect("an entry").file_name());
        let files = files.map(|name| name.into_string().expect("a plain name"));
        names.extend(
            files.filter(|name| name.ends_with(".onnx")).map(|name| format!("{folder}{name}")),
        );
    }
    names.sort();
    assert!(names.len() > 35, "only {} models are there", names.len());
    names
}

/// Reads a model of `fixtures/`.
pub fn load(name: &str) -> Model {
    let loaded = read::file(&fixture(name));
    loaded.unwrap_or_else(|error| panic!("{name}: {error}")).model
}

/// Verifies and encodes.
pub fn encode(model: &Model) -> Bytes {
    let verified = model.verify().unwrap_or_else(|violations| panic!("{violations:#?}"));
    emit::onnx(verified).expect("a verified model can be encoded").to_bytes()
}

/// Reads an encoded model.
pub fn decode(encoded: Bytes) -> Model {
    read::bytes(encoded).expect("our bytes can be read").model
}

/// The inputs that callers must give, or the name of one that is no tensor.
pub fn inputs(model: &Model) -> Result<Vec<InputSpec>, String> {
    let inputs = model.graph(model.main()).inputs().iter().map(|&input| model.value(input));
    let given = inputs.filter(|value| matches!(value.def(), Def::Input { default: None }));
    let specs = given.map(|value| {
        let ty = value.tensor_type().ok_or_else(|| value.name().to_owned())?;
        let dims = ty.dims.as_ref().map(|dims| dims.iter().map(|dim| dim.fixed()).collect());
        Ok(InputSpec { name: value.name().to_owned(), dtype: ty.dtype, dims })
    });
    specs.collect()
}

/// Opens samples for a model.
pub fn samples(model: &Model, data: impl AsRef<Path>, options: &Options) -> Samples {
    let specs = inputs(model).expect("inputs are tensors");
    Samples::open(data.as_ref(), &specs, options).unwrap_or_else(|error| panic!("{error}"))
}

/// Options for the raw pixels of the digits.
pub fn pixels() -> Options {
    let mut options = Options::default();
    options.preprocess.scale = Some(1.0 / 16.0);
    options
}

/// Outputs of a model by name, computed by tract.
pub type Named = Vec<(String, Tensor)>;

/// Runs a model once.
pub fn run(model: &Model, inputs: &[(String, Tensor)]) -> onnxpress::Result<Named> {
    Runner::new(&Tract, model, Vec::new()).run(inputs, &mut |_, _| {})
}

/// The elements of a `float` tensor.
pub fn floats(tensor: &Tensor) -> Vec<f32> {
    tensor.to_f32().expect("numbers")
}

/// A value of the main graph.
pub fn value(model: &Model, name: &str) -> ValueId {
    model.find_value(model.main(), name).unwrap_or_else(|| panic!("no value `{name}`"))
}

/// Adds a node at the end and returns its first output.
pub fn add(model: &mut Model, node: NewNode) -> ValueId {
    let node = model.add_node(model.main(), At::End, node);
    model.node(node).output(0).expect("an output")
}

/// Adds a `float` input.
pub fn add_input(model: &mut Model, name: &str, dims: &[usize]) -> ValueId {
    model.add_input(model.main(), name, TensorType::with_dims(DType::Float, dims))
}

/// Makes a `float` value an output.
pub fn add_output(model: &mut Model, value: ValueId) {
    model.add_output(model.main(), value, Some(TensorType::of(DType::Float)));
}

/// An `.npy` file of little-endian elements, laid out as NumPy does.
pub fn npy(descr: &str, dims: &[usize], data: &[u8]) -> Vec<u8> {
    /// The header ends at a multiple of so many bytes.
    const ALIGNMENT: usize = 64;
    let shape: String = dims.iter().map(|dim| format!("{dim}, ")).collect();
    let mut header =
        format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({shape}), }}");
    let used = b"\x93NUMPY\x01\x00".len() + size_of::<u16>() + header.len() + 1;
    header.push_str(&" ".repeat(used.next_multiple_of(ALIGNMENT) - used));
    header.push('\n');
    let length = u16::try_from(header.len()).expect("a short header");
    [b"\x93NUMPY\x01\x00", &length.to_le_bytes()[..], header.as_bytes(), data].concat()
}

/// An `.npy` file of `float`.
pub fn npy_f32(dims: &[usize], data: &[f32]) -> Vec<u8> {
    npy("<f4", dims, &data.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>())
}

/// Writes an `.npz` file.
pub fn write_npz(path: &Path, arrays: &[(&str, Vec<u8>)]) {
    let mut file = ZipWriter::new(File::create(path).expect("a writable folder"));
    for (name, array) in arrays {
        file.start_file(format!("{name}.npy"), SimpleFileOptions::default()).expect("a new member");
        file.write_all(array).expect("room on the disk");
    }
    file.finish().expect("room on the disk");
}

/// How the command ended and what it printed.
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

/// Runs `onnxpress` in the folder of the package, as wide as 100 columns.
pub fn onnxpress<S: AsRef<std::ffi::OsStr>>(args: &[S]) -> Ran {
    let output = Command::new(env!("CARGO_BIN_EXE_onnxpress"))
        .args(args)
        .current_dir(root())
        .env("COLUMNS", "100")
        .stdin(Stdio::null())
        .output()
        .expect("the command starts");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    Ran {
        code: output.status.code().expect("the command is not killed by a signal"),
        out: text(output.stdout),
        err: text(output.stderr),
    }
}

/// Splits at blanks and runs; `TMP` stands for `folder`.
pub fn shell(line: &str, folder: &Path) -> Ran {
    let tmp = folder.to_str().expect("a plain path");
    let args: Vec<String> = line.split_whitespace().map(|arg| arg.replace("TMP", tmp)).collect();
    let ran = onnxpress(&args);
    let strip = |text: String| text.replace(tmp, "TMP");
    Ran { code: ran.code, out: strip(ran.out), err: strip(ran.err) }
}

/// Names of the files in a folder, hidden ones too, sorted.
pub fn listing(folder: &Path) -> Vec<String> {
    let entries = folder.read_dir().expect("the folder exists");
    let names = entries.map(|entry| entry.expect("an entry").file_name());
    let mut names: Vec<String> =
        names.map(|name| name.into_string().expect("a plain name")).collect();
    names.sort();
    names
}
