//! Finds what feeds each input, and the labels, in a file or a folder.

use std::io::Read;
use std::path::{Path, PathBuf};

use crate::data::array::Array;
use crate::data::images::{self, ImageFiles, Images};
use crate::data::npz::list;
use crate::data::picture::is_picture;
use crate::data::test_data::{self, TensorFiles};
use crate::data::{InputSpec, Npz, Options, npy};
use crate::disk::open_regular;
use crate::error::{Error, Result, err};
use crate::tensor::Tensor;

/// What holds the samples of one input.
#[derive(Debug)]
pub(super) enum Source {
    Array(Array),
    Images(Images),
    Tensors(TensorFiles),
}

/// The labels of all samples.
#[derive(Debug)]
pub(super) enum Labels {
    Array(Array),
    /// From the names of sub-folders.
    Known(Vec<i64>),
}

impl Labels {
    /// The labels of the first `keep` of `samples` samples.
    pub fn first(self, samples: usize, keep: usize) -> Result<Vec<i64>> {
        match self {
            Self::Array(array) => labels_of(&array, samples, keep),
            Self::Known(mut labels) => {
                labels.truncate(keep);
                Ok(labels)
            }
        }
    }
}

/// Whether samples are drawn rather than read: `random:N`.
pub fn is_random(data: &Path) -> bool {
    random_count(data).is_some()
}

/// The number in `random:N`; `None` when `data` names a file.
pub(super) fn random_count(data: &Path) -> Option<Result<usize>> {
    let count = data.to_str()?.strip_prefix("random:")?;
    Some(match count.parse() {
        Ok(count) if count > 0 => Ok(count),
        _ => Err(err!(Usage, "`random:{count}`: expected the number of samples, e.g. random:16")),
    })
}

/// What feeds each input, in the order of `inputs`, and the labels when there are some.
pub(super) fn load(
    path: &Path,
    inputs: &[InputSpec],
    options: &Options,
) -> Result<(Vec<Source>, Option<Labels>)> {
    if path.is_dir() {
        let sets = test_data::find(path)?;
        if sets.is_empty() {
            return load_images(images::find(path)?, inputs, options);
        }
        if images::find(path).is_ok() {
            return Err(err!(Data, "the folder holds both images and ONNX test data"));
        }
        return load_tensors(sets, inputs, options);
    }
    let mut start = Vec::new();
    let (file, _) = open_regular(path)?;
    file.take(6).read_to_end(&mut start).map_err(|error| Error::io(path, &error))?;
    let single = || vec![path.to_owned()];
    match start.as_slice() {
        b"\x93NUMPY" => load_npy(path, inputs, options),
        [b'P', b'K', ..] => load_npz(Npz::open(path, options.limits)?, inputs, options),
        start if is_picture(start) || images::is_named_image(path) => {
            load_images(ImageFiles { paths: single(), labels: None }, inputs, options)
        }
        _ if test_data::is_named_pb(path) => load_tensors(vec![single()], inputs, options),
        [] => Err(err!(Format, "the file is empty; expected {EXPECTED}")),
        _ => Err(err!(Format, "expected {EXPECTED}")),
    }
}

const EXPECTED: &str = "an .npz or .npy file, a png or jpeg image, or an ONNX tensor named .pb";

fn load_npy(
    path: &Path,
    inputs: &[InputSpec],
    options: &Options,
) -> Result<(Vec<Source>, Option<Labels>)> {
    if let Some(labels) = &options.labels {
        return Err(err!(Usage, "an .npy file has no array of labels `{labels}`")
            .help("save samples and labels in one .npz file"));
    }
    one_input(inputs, "array", "save one array for each input in one .npz file")?;
    let keep = options.samples.unwrap_or(usize::MAX);
    Ok((vec![Source::Array(npy::open(path, keep, &options.limits)?)], None))
}

/// Refuses a single source for several inputs.
fn one_input<'a>(inputs: &'a [InputSpec], what: &str, help: &str) -> Result<&'a InputSpec> {
    match inputs {
        [input] => Ok(input),
        _ => {
            let names: Vec<String> = inputs.iter().map(|input| input.name.clone()).collect();
            Err(err!(Usage, "one {what} for {} inputs: {}", inputs.len(), list(&names)).help(help))
        }
    }
}

fn load_npz(
    mut file: Npz,
    inputs: &[InputSpec],
    options: &Options,
) -> Result<(Vec<Source>, Option<Labels>)> {
    let names = file.names().to_vec();
    let chosen = choose(&names, inputs, options)?;
    let keep = options.samples.unwrap_or(usize::MAX);
    let mut open = |name: &String| file.open_array(name, keep);
    let arrays =
        chosen.into_iter().map(|name| open(name).map(Source::Array)).collect::<Result<_>>()?;
    let labels = options.labels.as_ref().map(|name| open(name).map(Labels::Array)).transpose()?;
    Ok((arrays, labels))
}

/// What feeds each input among arrays in memory, in the order of `inputs`, and the labels when there are some.
pub(super) fn of_arrays(
    arrays: Vec<(String, Tensor)>,
    inputs: &[InputSpec],
    options: &Options,
) -> Result<(Vec<Source>, Option<Labels>)> {
    let names: Vec<String> = arrays.iter().map(|(name, _)| name.clone()).collect();
    let array = |wanted: &String| -> Result<Array> {
        let found = arrays.iter().find(|(name, _)| name == wanted);
        let (name, tensor) = found.ok_or_else(|| err!(Data, "no array `{wanted}`"))?;
        Ok(Array::of_tensor(name, tensor))
    };
    let chosen = choose(&names, inputs, options)?;
    let sources = chosen.into_iter().map(|name| array(name).map(Source::Array));
    let sources = sources.collect::<Result<_>>()?;
    let labels = options.labels.as_ref().map(|name| array(name).map(Labels::Array)).transpose()?;
    Ok((sources, labels))
}

/// The arrays among `names` that feed the inputs.
fn choose<'a>(
    names: &'a [String],
    inputs: &[InputSpec],
    options: &Options,
) -> Result<Vec<&'a String>> {
    let known = |name: &String| names.iter().find(|found| *found == name);
    if let Some(labels) = options.labels.as_ref().filter(|&name| known(name).is_none()) {
        return Err(err!(Data, "no array of labels `{labels}`; there are {}", list(names)));
    }
    let mut chosen = Vec::new();
    for input in inputs {
        let mut others = names.iter().filter(|&name| Some(name) != options.labels.as_ref());
        let name = match (known(&input.name), inputs) {
            (Some(name), _) => Some(name),
            (None, [_]) => others.next(),
            (None, _) => None,
        };
        chosen.push(name.ok_or_else(|| {
            err!(Data, "no array for input `{}`; there are {}", input.name, list(names))
        })?);
    }
    Ok(chosen)
}

fn load_images(
    found: ImageFiles,
    inputs: &[InputSpec],
    options: &Options,
) -> Result<(Vec<Source>, Option<Labels>)> {
    let input = one_input(inputs, "image", "save one array for each input in one .npz file")?;
    let ImageFiles { mut paths, labels } = found;
    if let (Some(name), None) = (&options.labels, &labels) {
        return Err(err!(Usage, "the images have no labels `{name}`")
            .help("labels are the names of sub-folders, one for each class"));
    }
    paths.truncate(options.samples.unwrap_or(usize::MAX));
    let images = Images::open(paths, input, &options.preprocess, options)?;
    Ok((vec![Source::Images(images)], labels.map(Labels::Known)))
}

fn load_tensors(
    mut sets: Vec<Vec<PathBuf>>,
    inputs: &[InputSpec],
    options: &Options,
) -> Result<(Vec<Source>, Option<Labels>)> {
    if let Some(labels) = &options.labels {
        return Err(err!(Usage, "ONNX test data have no labels `{labels}`"));
    }
    sets.truncate(options.samples.unwrap_or(usize::MAX));
    let files = test_data::assign(&sets, inputs, &options.limits)?;
    Ok((files.into_iter().map(Source::Tensors).collect(), None))
}

/// The labels of the first `keep` of `samples` samples.
fn labels_of(array: &Array, samples: usize, keep: usize) -> Result<Vec<i64>> {
    let expected = format!("expected one integer for each of the {samples} samples");
    let error = match *array.dims {
        _ if array.dtype.is_float() => {
            err!(Data, "{expected}, found {}", array.dtype)
        }
        [len] if len == samples => return array.tensor(keep)?.to_i64(),
        [len] => err!(Data, "{expected}, found {len}"),
        [len, classes] if len == samples && classes > 1 => {
            err!(Data, "{expected}, found shape {:?}", array.dims)
                .help("if the labels are one-hot, save their argmax over the last axis")
        }
        _ => err!(Data, "{expected}, found shape {:?}", array.dims),
    };
    Err(error.at(array.place()))
}
