//! What feeds one input: an array with its conversions, or random numbers.

use std::ops::Range;

use bytes::Bytes;

use crate::data::convert::{check_finite, convert, is_fed};
use crate::data::preprocess::{Affine, channel_axis};
use crate::data::random::SplitMix64;
use crate::data::shape::{Mode, fit};
use crate::data::source::Array;
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
    /// Has the layout, or the order of the channels, been heeded?
    pub has_layout: bool,
    pub reversed: bool,
    dtype: DType,
    /// Extents of one sample in the input, without the batch.
    dims: Vec<usize>,
    origin: Origin,
}

#[derive(Debug)]
enum Origin {
    Array { array: Array, sample: Vec<usize>, order: Option<Strided>, affine: Option<Affine> },
    Random { seed: u64, input: u64, below: u64 },
}

impl Feed {
    /// Feeds `spec` from an array whose shape and type fit.
    pub fn from_array(spec: &InputSpec, array: Array, preprocess: &Preprocess) -> Result<Self> {
        check_type(spec)?;
        let place = array.place();
        let fit =
            fit(spec, array.tensor.dims(), preprocess.layout).map_err(|error| error.at(&place))?;
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
                _ => array.tensor.dims().first().copied(),
            },
            has_layout: fit.layout.is_some(),
            reversed: colours.is_some(),
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
            dtype: spec.dtype,
            dims,
            origin: Origin::Random {
                seed: options.seed,
                input: input as u64,
                below: options.random_below,
            },
        })
    }

    /// The array in words, for messages.
    pub fn place(&self) -> String {
        match &self.origin {
            Origin::Array { array, .. } => array.place(),
            Origin::Random { .. } => format!("input `{}`", self.name),
        }
    }

    /// Bytes of the input in a run of `size` samples; `None` when they cannot be counted.
    pub fn run_bytes(&self, size: usize) -> Option<usize> {
        self.dtype.byte_len(element_count(&self.shape(size))?)
    }

    fn shape(&self, size: usize) -> Vec<usize> {
        match self.mode {
            Mode::Rows(_) => [&[size], self.dims.as_slice()].concat(),
            Mode::Whole | Mode::Shared => self.dims.clone(),
        }
    }

    /// The input of one run: the samples `rows`, the last one repeated up to `size`.
    pub fn tensor(&self, rows: Range<usize>, size: usize) -> Result<Tensor> {
        let (rows, size) = if self.mode == Mode::Shared { (0..1, 1) } else { (rows, size) };
        if let Some(bytes) = self.untouched(rows.clone(), size)? {
            return Tensor::new(self.dtype, self.shape(size), bytes);
        }
        let mut out = Vec::with_capacity(self.run_bytes(size).unwrap_or_default());
        let mut start = 0;
        for row in rows.clone() {
            start = out.len();
            self.push(row, &mut out)?;
        }
        let end = out.len();
        for _ in rows.len()..size {
            out.extend_from_within(start..end);
        }
        Tensor::new(self.dtype, self.shape(size), out.into())
    }

    /// The samples as a window of the array, when nothing has to be done to them.
    fn untouched(&self, rows: Range<usize>, size: usize) -> Result<Option<Bytes>> {
        match &self.origin {
            Origin::Array { array, sample, order: None, affine: None }
                if array.tensor.dtype() == self.dtype && rows.len() == size =>
            {
                for row in rows.clone() {
                    checked_sample(array, sample, row)?;
                }
                Ok(Some(sample_bytes(&array.tensor, sample, rows)))
            }
            _ => Ok(None),
        }
    }

    /// Appends one sample as the input takes it.
    fn push(&self, row: usize, out: &mut Vec<u8>) -> Result<()> {
        match &self.origin {
            Origin::Array { array, sample, order, affine } => {
                let bytes = checked_sample(array, sample, row)?;
                let dtype = array.tensor.dtype();
                let arranged = order.as_ref().map(|order| order.gather(&bytes, dtype.bits() / 8));
                let view = TensorView {
                    dtype,
                    dims: order.as_ref().map_or(sample, |order| &order.dims),
                    bytes: arranged.as_deref().unwrap_or(&bytes),
                };
                let converted = convert(view, self.dtype, affine.as_ref());
                out.extend_from_slice(&converted.map_err(|error| in_sample(error, array, row))?);
            }
            Origin::Random { seed, input, below } => {
                let count = element_count(&self.dims).unwrap_or_default();
                let mut random = SplitMix64::for_sample(*seed, *input, row as u64);
                random.fill(out, self.dtype, count, *below);
            }
        }
        Ok(())
    }
}

fn check_type(spec: &InputSpec) -> Result<()> {
    if is_fed(spec.dtype) {
        return Ok(());
    }
    Err(err!(Unsupported, "input `{}` takes {}, which arrays cannot give", spec.name, spec.dtype))
}

/// The bytes of the samples `rows`, shared with the array.
fn sample_bytes(tensor: &Tensor, sample: &[usize], rows: Range<usize>) -> Bytes {
    let len = element_count(sample).and_then(|n| tensor.dtype().byte_len(n)).unwrap_or_default();
    tensor.bytes().slice(rows.start * len..rows.end * len)
}

/// The bytes of one sample, all of whose elements are finite.
fn checked_sample(array: &Array, sample: &[usize], row: usize) -> Result<Bytes> {
    let bytes = sample_bytes(&array.tensor, sample, row..row + 1);
    check_finite(&TensorView { dtype: array.tensor.dtype(), dims: sample, bytes: &bytes })
        .map_err(|error| in_sample(error, array, row))?;
    Ok(bytes)
}

fn in_sample(error: Error, array: &Array, row: usize) -> Error {
    error.at(format_args!("{}, sample {row}", array.place()))
}
