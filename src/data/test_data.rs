//! ONNX test data: folders `test_data_set_*` that hold one file `input_*.pb` for each input.

use std::path::{Path, PathBuf};

use crate::data::convert::is_fed;
use crate::data::folder::{self, ends_in};
use crate::data::npz::list;
use crate::data::shape::show;
use crate::data::tensor_proto::read_pb;
use crate::data::{InputSpec, Limits};
use crate::error::{Result, err};
use crate::tensor::{Tensor, element_count};

/// How the folders of data sets begin.
const SET: &str = "test_data_set_";
/// How the files of inputs begin.
const INPUT: &str = "input_";

/// The files of one input, one for each data set. Each holds a complete input, batch included.
#[derive(Debug)]
pub(super) struct TensorFiles {
    paths: Vec<PathBuf>,
    spec: InputSpec,
    most_bytes: u64,
    /// Extents of the largest one.
    pub largest: Vec<usize>,
}

/// The files of each data set in `folder`, in the order of their numbers; empty if there are none.
pub(super) fn find(folder: &Path) -> Result<Vec<Vec<PathBuf>>> {
    let listing = folder::list(folder)?;
    let sets = numbered(&listing.folders, SET);
    let own = inputs_of(&listing.files);
    if !own.is_empty() {
        return Ok(vec![own]);
    }
    sets.into_iter()
        .map(|set| {
            let files = inputs_of(&folder::list(&set)?.files);
            if files.is_empty() {
                return Err(err!(Data, "the data set holds no input_*.pb").in_file(&set));
            }
            Ok(files)
        })
        .collect()
}

fn inputs_of(files: &[PathBuf]) -> Vec<PathBuf> {
    let protos: Vec<PathBuf> = files.iter().filter(|path| is_named_pb(path)).cloned().collect();
    numbered(&protos, INPUT)
}

/// Does the name say that this is an encoded tensor?
pub(super) fn is_named_pb(path: &Path) -> bool {
    ends_in(path, &["pb"])
}

/// The paths whose names are `start` and a number, in the order of the numbers.
fn numbered(paths: &[PathBuf], start: &str) -> Vec<PathBuf> {
    let number = |path: &PathBuf| {
        let stem = if path.is_dir() { path.file_name() } else { path.file_stem() };
        stem?.to_str()?.strip_prefix(start)?.parse::<u64>().ok()
    };
    let mut found: Vec<(u64, &PathBuf)> =
        paths.iter().filter_map(|path| Some((number(path)?, path))).collect();
    found.sort();
    found.into_iter().map(|(_, path)| path.clone()).collect()
}

/// Finds the file of each input in each data set, and checks that every tensor fits. Tensors go by
/// their names if all of them name an input, otherwise by the order of the files.
pub(super) fn assign(
    sets: &[Vec<PathBuf>],
    inputs: &[InputSpec],
    limits: &Limits,
) -> Result<Vec<TensorFiles>> {
    let mut feeds: Vec<TensorFiles> = inputs
        .iter()
        .map(|spec| TensorFiles {
            paths: Vec::new(),
            spec: spec.clone(),
            most_bytes: limits.run_bytes,
            largest: Vec::new(),
        })
        .collect();
    for set in sets {
        let mut tensors = Vec::new();
        for path in set {
            let (name, tensor) = read_pb(path, limits.run_bytes)?;
            tensors.push((path, name, tensor.dtype(), tensor.dims().to_vec()));
        }
        let slot = |name: &Option<String>| {
            inputs.iter().position(|input| Some(&input.name) == name.as_ref())
        };
        let by_name = tensors.iter().all(|(_, name, ..)| slot(name).is_some());
        if tensors.len() != inputs.len() {
            let names: Vec<String> = inputs.iter().map(|input| input.name.clone()).collect();
            let place = set.first().and_then(|path| path.parent()).unwrap_or(Path::new(""));
            return Err(err!(
                Data,
                "{} input_*.pb for {} inputs: {}",
                tensors.len(),
                inputs.len(),
                list(&names)
            )
            .in_file(place));
        }
        for (at, (path, name, dtype, dims)) in tensors.into_iter().enumerate() {
            let feed = &mut feeds[if by_name { slot(&name).unwrap_or(at) } else { at }];
            if !is_fed(dtype) {
                return Err(err!(Unsupported, "{dtype} tensors cannot be fed").in_file(path));
            }
            feed.check(&dims).map_err(|error| error.in_file(path))?;
            if feed.paths.is_empty() || element_count(&dims) > element_count(&feed.largest) {
                feed.largest = dims;
            }
            feed.paths.push(path.clone());
        }
        if let Some(feed) = feeds.iter().find(|feed| feed.paths.len() != feeds[0].paths.len()) {
            let place = set.first().and_then(|path| path.parent()).unwrap_or(Path::new(""));
            return Err(
                err!(Data, "two tensors, or none, for input `{}`", feed.spec.name).in_file(place)
            );
        }
    }
    Ok(feeds)
}

impl TensorFiles {
    /// Number of data sets.
    pub fn len(&self) -> usize {
        self.paths.len()
    }

    /// The file of data set `at`.
    pub fn path(&self, at: usize) -> Option<&Path> {
        self.paths.get(at).map(PathBuf::as_path)
    }

    /// Reads the tensor of data set `at`.
    pub fn load(&self, at: usize) -> Result<Tensor> {
        let Some(path) = self.paths.get(at) else {
            return Err(err!(Usage, "data set {at} of {}", self.paths.len()));
        };
        let (_, tensor) = read_pb(path, self.most_bytes)?;
        self.check(tensor.dims()).map_err(|error| error.in_file(path))?;
        Ok(tensor)
    }

    fn check(&self, found: &[usize]) -> Result<()> {
        let Some(dims) = &self.spec.dims else { return Ok(()) };
        let fits = dims.len() == found.len()
            && dims.iter().zip(found).all(|(dim, found)| dim.is_none_or(|dim| dim == *found));
        if fits {
            return Ok(());
        }
        let (name, shown) = (&self.spec.name, show(dims));
        Err(err!(Data, "input `{name}` takes {shown}, found a tensor of shape {found:?}"))
    }
}
