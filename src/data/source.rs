//! Finds the array of each input, and the labels, in a file.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::data::npz::list;
use crate::data::{InputSpec, Npz, Options, read_npy};
use crate::error::{Error, Result, err};
use crate::tensor::Tensor;

/// An array of a file; an `.npy` file does not name its only one.
#[derive(Debug)]
pub(super) struct Array {
    pub name: Option<String>,
    pub tensor: Tensor,
}

impl Array {
    /// The array in words, for messages.
    pub fn place(&self) -> String {
        self.name.as_ref().map_or("the array".to_owned(), |name| format!("array `{name}`"))
    }
}

/// The number in `random:N`; `None` when `data` names a file.
pub(super) fn random_count(data: &Path) -> Option<Result<usize>> {
    let count = data.to_str()?.strip_prefix("random:")?;
    Some(match count.parse() {
        Ok(count) if count > 0 => Ok(count),
        _ => Err(err!(Usage, "`random:{count}`: expected the number of samples, e.g. random:16")),
    })
}

/// The array of each input, in the order of `inputs`, and the labels when they are asked for.
pub(super) fn load(
    path: &Path,
    inputs: &[InputSpec],
    options: &Options,
) -> Result<(Vec<Array>, Option<Array>)> {
    if path.is_dir() {
        return Err(err!(Unsupported, "folders of samples cannot be read")
            .help("give an .npz or .npy file")
            .in_file(path));
    }
    let mut start = Vec::new();
    File::open(path)
        .and_then(|file| file.take(6).read_to_end(&mut start))
        .map_err(|error| Error::io(path, &error))?;
    match start.as_slice() {
        b"\x93NUMPY" => load_npy(path, inputs, options).map_err(|error| error.in_file(path)),
        [b'P', b'K', ..] => {
            let file = Npz::open(path, options.limits)?;
            load_npz(file, inputs, options).map_err(|error| error.in_file(path))
        }
        _ => Err(err!(Format, "neither an .npz nor an .npy file").in_file(path)),
    }
}

fn load_npy(
    path: &Path,
    inputs: &[InputSpec],
    options: &Options,
) -> Result<(Vec<Array>, Option<Array>)> {
    if let Some(labels) = &options.labels {
        return Err(err!(Usage, "an .npy file has no array of labels `{labels}`")
            .help("save samples and labels in one .npz file"));
    }
    if inputs.len() != 1 {
        let names: Vec<String> = inputs.iter().map(|input| input.name.clone()).collect();
        return Err(err!(Usage, "one array for {} inputs: {}", inputs.len(), list(&names))
            .help("save one array for each input in one .npz file"));
    }
    Ok((vec![Array { name: None, tensor: read_npy(path)? }], None))
}

fn load_npz(
    mut file: Npz,
    inputs: &[InputSpec],
    options: &Options,
) -> Result<(Vec<Array>, Option<Array>)> {
    let names = file.names().to_vec();
    let known = |name: &String| names.contains(name);
    if let Some(labels) = options.labels.as_ref().filter(|&name| !known(name)) {
        return Err(err!(Data, "no array of labels `{labels}`; the file holds {}", list(&names)));
    }
    let mut chosen = Vec::new();
    for input in inputs {
        let mut others = names.iter().filter(|&name| Some(name) != options.labels.as_ref());
        let name = match inputs {
            _ if known(&input.name) => Some(&input.name),
            [_] => others.next(),
            _ => None,
        };
        chosen.push(name.ok_or_else(|| {
            err!(Data, "no array for input `{}`; the file holds {}", input.name, list(&names))
        })?);
    }
    let mut read =
        |name: &String| file.read(name).map(|tensor| Array { name: Some(name.clone()), tensor });
    let arrays = chosen.into_iter().map(&mut read).collect::<Result<_>>()?;
    let labels = options.labels.as_ref().map(read).transpose()?;
    Ok((arrays, labels))
}

/// The labels of `samples` samples.
pub(super) fn labels(array: &Array, samples: usize) -> Result<Vec<i64>> {
    let tensor = &array.tensor;
    let expected = format!("expected one integer for each of the {samples} samples");
    let error = match *tensor.dims() {
        _ if tensor.dtype().is_float() => {
            err!(Data, "{expected}, found {}", tensor.dtype())
        }
        [len] if len == samples => return tensor.to_i64(),
        [len] => err!(Data, "{expected}, found {len}"),
        [len, classes] if len == samples && classes > 1 => {
            err!(Data, "{expected}, found shape {:?}", tensor.dims())
                .help("if the labels are one-hot, save their argmax over the last axis")
        }
        _ => err!(Data, "{expected}, found shape {:?}", tensor.dims()),
    };
    Err(error.at(array.place()))
}
