//! What feeds one input: an array with its conversions, or random numbers.

use std::ops::Range;
use std::path::Path;

use bytes::Bytes;

use crate::data::array::Array;
use crate::data::convert::{check_finite, convert, is_fed};
use crate::data::files::{Files, Sample};
use crate::data::preprocess::{Affine, channel_axis};
use crate::data::random::SplitMix64;
use crate::data::shape::{Mode, fit};
use crate::data::source::Source;
use crate::data::strided::Strided;
use crate::data::{Channels, InputSpec, Layout, Options, Preprocess};
use crate::error::{Error, Result, err};
use crate::tensor::{DType, Tensor, TensorView, element_count};

/// Channels of an RGB image.
const COLOURS: usize = 3;

/// The source of one input's values.
#[derive(Debug)]
pub(super) struct Feed {
    pub name: String,
    pub mode: Mode,
    /// Samples that it has; `None` when one value serves all runs.
    pub len: Option<usize>,
    /// Has the layout, the order of the channels, or the size of images been heeded?
    pub has_layout: bool,
    pub reversed: bool,
    pub sized: bool,
    pub dtype: DType,
    /// Extents of one sample in the input, without the batch; of the largest one if they differ.
    dims: Vec<usize>,
    origin: Origin,
}

#[derive(Debug)]
enum Origin {
    Array { array: Array, sample: Vec<usize>, order: Option<Strided>, affine: Option<Affine> },
    Files(Files),
    Random { seed: u64, input: u64, below: u64 },
}

impl Feed {
    /// Feeds `spec` from what fits it.
    pub fn new(spec: &InputSpec, source: Source, preprocess: &Preprocess) -> Result<Self> {
        check_type(spec)?;
        let files = match source {
            Source::Array(array) => return Self::from_array(spec, array, preprocess),
            Source::Images(images) => Files::images(images, spec, preprocess),
            Source::Tensors(tensors) => Files::tensors(tensors, spec, preprocess),
        };
        Ok(Self {
            name: spec.name.clone(),
            mode: files.mode(),
            len: Some(files.len()),
            has_layout: files.are_images(),
            reversed: files.reversed(),
            sized: files.are_images(),
            dtype: spec.dtype,
            dims: files.largest().to_vec(),
            origin: Origin::Files(files),
        })
    }

    fn from_array(spec: &InputSpec, array: Array, preprocess: &Preprocess) -> Result<Self> {
        let place = array.place();
        let fit = fit(spec, &array.dims, preprocess.layout).map_err(|error| error.at(&place))?;
        let mut order = match (fit.transposed, fit.layout) {
            (true, Some(Layout::Nchw)) => Some(Strided::permuted(&fit.sample, &[2, 0, 1])),
            (true, _) => Some(Strided::permuted(&fit.sample, &[1, 2, 0])),
            (false, _) => None,
        };
        let seen = order.as_ref().map_or(&fit.sample, |order| &order.dims).clone();
        let image = seen.len() == 3 && matches!(fit.mode, Mode::Rows(_));
        let colours = match preprocess.channels {
            Channels::Bgr if image => channel_axis(&seen, COLOURS, fit.layout),
            _ => None,
        };
        if let Some(axis) = colours {
            let straight = order.unwrap_or_else(|| Strided::permuted(&seen, &[0, 1, 2]));
            order = Some(straight.reversed(axis));
        }
        let affine = (preprocess.is_affine() && spec.dtype.is_float())
            .then(|| {
                // A complete input begins with its batch, which is no channel axis.
                let batch = usize::from(fit.mode == Mode::Whole && seen.len() > 1);
                preprocess.affine(&seen[batch..], fit.layout)
            })
            .transpose()
            .map_err(|error| error.at(&place))?;
        Ok(Self {
            name: spec.name.clone(),
            mode: fit.mode,
            len: match fit.mode {
                Mode::Shared => None,
                _ => array.dims.first().copied(),
            },
            has_layout: fit.layout.is_some(),
            reversed: colours.is_some(),
            sized: false,
            dtype: spec.dtype,
            dims: fit.dims,
            origin: Origin::Array { array, sample: fit.sample, order, affine },
        })
    }

    /// Feeds input number `input` with `len` random samples; each is a complete input if `whole`.
    pub fn random(
        spec: &InputSpec,
        input: usize,
        len: usize,
        whole: bool,
        options: &Options,
    ) -> Result<Self> {
        check_type(spec)?;
        let Some(declared) = &spec.dims else {
            return Err(err!(Data, "input `{}` declares no rank to draw samples for", spec.name)
                .help("fix its shape, or give samples"));
        };
        let fixed = |dims: &[Option<usize>]| -> Vec<usize> {
            dims.iter().map(|dim| dim.unwrap_or(options.free_dim)).collect()
        };
        let (mode, dims) = match declared.split_first() {
            None => (Mode::Shared, vec![]),
            Some((batch, rest)) if whole => {
                (Mode::Whole, [vec![batch.unwrap_or(1)], fixed(rest)].concat())
            }
            Some((&batch, rest)) => (Mode::Rows(batch), fixed(rest)),
        };
        Ok(Self {
            name: spec.name.clone(),
            mode,
            len: (mode != Mode::Shared).then_some(len),
            has_layout: false,
            reversed: false,
            sized: false,
            dtype: spec.dtype,
            dims,
            origin: Origin::Random {
                seed: options.seed,
                input: input as u64,
                below: options
                    .tables
                    .get(&spec.name)
                    .map_or(options.random_below, |&rows| rows.min(options.random_below)),
            },
        })
    }

    /// The name of the array that feeds it, when that is another.
    pub fn renamed(&self) -> Option<&str> {
        match &self.origin {
            Origin::Array { array, .. } => array.name.as_deref().filter(|name| *name != self.name),
            Origin::Files(_) | Origin::Random { .. } => None,
        }
    }

    /// The type in which the file has the elements, when nothing is done to their values.
    pub fn untouched_type(&self) -> Option<DType> {
        match &self.origin {
            Origin::Array { array, affine: None, .. } => Some(array.dtype),
            Origin::Files(files) => files.untouched_type(),
            Origin::Array { .. } | Origin::Random { .. } => None,
        }
    }

    /// The file of a sample, when each has its own.
    pub fn file(&self, sample: usize) -> Option<&Path> {
        match &self.origin {
            Origin::Files(files) => files.path(sample),
            Origin::Array { .. } | Origin::Random { .. } => None,
        }
    }

    /// The array in words, for messages.
    pub fn place(&self) -> String {
        match &self.origin {
            Origin::Array { array, .. } => array.place(),
            Origin::Files(files) => files.place().to_owned(),
            Origin::Random { .. } => format!("input `{}`", self.name),
        }
    }

    /// Bytes of the input in a run of `size` samples; `None` when they cannot be counted.
    pub fn run_bytes(&self, size: usize) -> Option<usize> {
        self.dtype.byte_len(element_count(&self.shape(size, &self.dims))?)
    }

    /// Dims of the input for one sample, or as many as the model takes at once.
    pub fn one_sample(&self) -> Vec<usize> {
        let batch = match self.mode {
            Mode::Rows(batch) => batch.unwrap_or(1),
            Mode::Whole | Mode::Shared => 1,
        };
        self.shape(batch, &self.dims)
    }

    fn shape(&self, size: usize, sample: &[usize]) -> Vec<usize> {
        match self.mode {
            Mode::Rows(_) => [&[size], sample].concat(),
            Mode::Whole | Mode::Shared => sample.to_vec(),
        }
    }

    /// The input of one run: any samples, the last one repeated up to `size`.
    pub fn tensor_of(&self, rows: &[usize], size: usize) -> Result<Tensor> {
        let Some((&first, &last)) = rows.first().zip(rows.last()) else {
            return Err(err!(Usage, "a run of no samples"));
        };
        if rows.iter().enumerate().all(|(at, &row)| row == first + at) {
            return self.tensor(first..last + 1, size);
        }
        let mut joined = Vec::new();
        let (mut dims, mut end) = (Vec::new(), 0);
        for &row in rows {
            let one = self.tensor(row..row + 1, 1)?;
            dims = one.dims().to_vec();
            end = one.bytes().len();
            joined.extend_from_slice(one.bytes());
        }
        for _ in rows.len()..size {
            joined.extend_from_within(joined.len() - end..);
        }
        // Samples that are complete inputs come one by one.
        if let (Mode::Rows(_), Some(batch)) = (self.mode, dims.first_mut()) {
            *batch = size;
        }
        Tensor::new(self.dtype, dims, joined.into())
    }

    /// The input of one run: the samples `rows`, the last one repeated up to `size`.
    fn tensor(&self, rows: Range<usize>, size: usize) -> Result<Tensor> {
        let (rows, size) = if self.mode == Mode::Shared { (0..1, 1) } else { (rows, size) };
        if let Some(bytes) = self.untouched(rows.clone(), size)? {
            return Tensor::new(self.dtype, self.shape(size, &self.dims), bytes);
        }
        let mut out = Vec::new();
        let mut dims: Option<Vec<usize>> = None;
        let mut start = 0;
        for row in rows.clone() {
            start = out.len();
            let found = self.push(row, &mut out)?;
            if let Some(expected) = dims.replace(found)
                && dims.as_ref() != Some(&expected)
            {
                return Err(err!(
                    Data,
                    "samples of different shapes in one batch: {expected:?} and {dims:?}"
                )
                .at(format_args!("{}, sample {row}", self.place()))
                .help("bring images to one size with --resize HxW, or --resize N --crop HxW"));
            }
        }
        let end = out.len();
        for _ in rows.len()..size {
            out.extend_from_within(start..end);
        }
        let dims = dims.unwrap_or_else(|| self.dims.clone());
        Tensor::new(self.dtype, self.shape(size, &dims), out.into())
    }

    /// The samples as a window of the array, when nothing has to be done to them.
    fn untouched(&self, rows: Range<usize>, size: usize) -> Result<Option<Bytes>> {
        match &self.origin {
            Origin::Array { array, sample, order: None, affine: None }
                if array.dtype == self.dtype && rows.len() == size =>
            {
                let bytes = array.rows(rows.clone()).map_err(|error| error.at(array.place()))?;
                let len = bytes.len() / rows.len().max(1);
                for (at, row) in rows.enumerate() {
                    check_sample(array, sample, row, &bytes[at * len..(at + 1) * len])?;
                }
                Ok(Some(bytes))
            }
            _ => Ok(None),
        }
    }

    /// Appends one sample as the input takes it; returns its extents, without the batch.
    fn push(&self, row: usize, out: &mut Vec<u8>) -> Result<Vec<usize>> {
        match &self.origin {
            Origin::Array { array, sample, order, affine } => {
                let bytes =
                    array.rows(row..row + 1).map_err(|error| in_sample(error, array, row))?;
                check_sample(array, sample, row, &bytes)?;
                let dtype = array.dtype;
                let arranged = order.as_ref().map(|order| order.gather(&bytes, dtype.bits() / 8));
                let view = TensorView {
                    dtype,
                    dims: order.as_ref().map_or(sample, |order| &order.dims),
                    bytes: arranged.as_deref().unwrap_or(&bytes),
                };
                let converted = convert(view, self.dtype, affine.as_ref());
                out.extend_from_slice(&converted.map_err(|error| in_sample(error, array, row))?);
            }
            Origin::Files(files) => {
                let Sample { tensor, dims, affine } = files.load(row)?;
                let converted = check_finite(&tensor.view())
                    .and_then(|()| convert(tensor.view(), self.dtype, affine.as_ref()));
                out.extend_from_slice(&converted.map_err(|error| files.blame(error, row))?);
                return Ok(dims);
            }
            Origin::Random { seed, input, below } => {
                let count = element_count(&self.dims).unwrap_or_default();
                let mut random = SplitMix64::for_sample(*seed, *input, row as u64);
                random.fill(out, self.dtype, count, *below);
            }
        }
        Ok(self.dims.clone())
    }
}

fn check_type(spec: &InputSpec) -> Result<()> {
    if is_fed(spec.dtype) {
        return Ok(());
    }
    Err(err!(Unsupported, "input `{}` takes {}, which arrays cannot give", spec.name, spec.dtype))
}

/// Refuses a sample with elements that are not finite.
fn check_sample(array: &Array, sample: &[usize], row: usize, bytes: &[u8]) -> Result<()> {
    check_finite(&TensorView { dtype: array.dtype, dims: sample, bytes })
        .map_err(|error| in_sample(error, array, row))
}

fn in_sample(error: Error, array: &Array, row: usize) -> Error {
    error.at(format_args!("{}, sample {row}", array.place()))
}
