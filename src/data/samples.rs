//! Samples that fit a model, handed out as runs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use crate::data::fed::Fed;
use crate::data::feed::Feed;
use crate::data::shape::Mode;
use crate::data::source::{Labels, Source, load, of_arrays, random_count};
use crate::data::{Channels, InputSpec, Options};
use crate::error::{Result, err};
use crate::tensor::Tensor;

/// What samples that come from no file are called in messages.
const MEMORY: &str = "memory";

/// Samples opened against the inputs of a model. The arrays stay as the file has them; each run
/// converts only its own samples, so that any number of threads may call [`Samples::run`].
///
/// # Which array feeds which input
/// By name. A single input without an array of its name takes the first array that is not the
/// labels.
///
/// # Which samples make a run
/// The first axis of every array counts the samples.
///
/// - An array with as many axes as the input: the input's first axis is its batch. If that is
///   free, a run takes [`Options::batch`] samples, the last run what is left; if it is fixed,
///   a run takes that many, and the last run repeats its last sample to fill up.
/// - An array with one more axis than the input (`[N, 2, 1, 128]` for `[2, 1, 128]`, `[N]` for a
///   scalar): each sample is a complete input, and each run takes one.
/// - A scalar array for a scalar input serves every run.
/// - In ONNX test data each data set is a complete input, and each run takes one; its tensors go by
///   their names if all of them name an input, otherwise by the numbers of the files.
/// - An image is one row, or a complete input if that has no batch axis.
/// - Samples of other extents are accepted only if axes of 1 or flattening is all the difference.
#[derive(Debug)]
pub struct Samples {
    data: PathBuf,
    pub(super) feeds: Arc<Vec<Feed>>,
    len: usize,
    /// Where each sample stands in the file, when they are some of them.
    chosen: Option<Vec<usize>>,
    /// Samples of one run, and whether the last run is filled up to it.
    size: usize,
    padded: bool,
    labels: Option<Vec<i64>>,
    random: bool,
    /// See [`Options::tables`].
    tables: BTreeMap<String, u64>,
    fed: OnceLock<Fed>,
}

/// The inputs of one execution of the model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Name and value of each input, in the order in which they were asked for.
    pub inputs: Vec<(String, Tensor)>,
    /// Index of the first sample.
    pub first: usize,
    /// Samples that are real; rows of a fixed batch behind them repeat the last one.
    pub count: usize,
    /// Samples that the inputs hold, with the repeated ones.
    pub size: usize,
}

impl Samples {
    /// Opens `data`, which is one of
    ///
    /// - an `.npz` file, or an `.npy` file for one input;
    /// - for one input, an image (png or jpeg) or a folder of images, flat or with one sub-folder
    ///   for each class. Then the sub-folders are the labels: the numbers that all of them are named
    ///   by, or else their positions among the sorted names. With classes, the first image of each
    ///   comes first, then the second of each; so any first samples are spread over the classes;
    /// - ONNX test data: a folder of `test_data_set_*` or one of these with its `input_*.pb`, or,
    ///   for one input, a `.pb` file;
    /// - `random:N`: N seeded samples (standard normal for floating-point inputs, uniform in
    ///   `0..`[`Options::random_below`] for integers).
    ///
    /// Images and test data are read run by run, so that memory does not grow with their number.
    ///
    /// # Errors
    /// When a file cannot be read, an array or the labels are missing, or shape, type or number
    /// of samples do not fit. Values and pixels are checked by [`Samples::run`].
    pub fn open(data: &Path, inputs: &[InputSpec], options: &Options) -> Result<Self> {
        Self::made(inputs, options, |resolved| match random_count(data) {
            Some(count) => Self::random(data, count?, inputs, resolved),
            None => Self::from_file(data, inputs, resolved),
        })
    }

    /// What `make` makes with the preprocessing that a name stands for, if all of it was asked for what is there.
    fn made(
        inputs: &[InputSpec],
        options: &Options,
        make: impl FnOnce(&Options) -> Result<Self>,
    ) -> Result<Self> {
        let given = &options.preprocess;
        given.check()?;
        let resolved = Options { preprocess: given.resolved(), ..options.clone() };
        resolved.preprocess.check()?;
        if options.batch == 0 || options.samples == Some(0) {
            return Err(err!(Usage, "batch and number of samples must be at least 1"));
        }
        if inputs.is_empty() {
            return Err(err!(Data, "the model has no inputs to feed"));
        }
        let samples = make(&resolved)?;
        let sized = given.resize.is_some() || given.crop.is_some();
        if sized && !samples.feeds.iter().any(|feed| feed.sized) {
            let error = err!(Usage, "resize and crop are for images; there are none");
            return Err(error.in_file(&samples.data));
        }
        for feed in samples.feeds.iter() {
            let most = options.limits.run_bytes;
            let bytes = feed.run_bytes(samples.size);
            if bytes.is_none_or(|bytes| bytes as u64 > most) {
                let (name, size) = (&feed.name, samples.size);
                let found = bytes.map_or("too many".to_owned(), |bytes| bytes.to_string());
                return Err(err!(
                    Limit,
                    "input `{name}` takes {found} bytes for a batch of {size}; at most {most} are built"
                )
                .help("allow more with --max-run-bytes"));
            }
        }
        Ok(samples)
    }

    /// Samples of arrays in memory, by the same rules as those of an `.npz` file: the first axis of each array counts
    /// the samples, and [`Options::labels`] names the one with the classes.
    ///
    /// # Errors
    /// As [`Samples::open`].
    pub fn of_arrays(
        arrays: Vec<(String, Tensor)>,
        inputs: &[InputSpec],
        options: &Options,
    ) -> Result<Self> {
        Self::made(inputs, options, |resolved| {
            let found = of_arrays(arrays, inputs, resolved)?;
            Self::of_sources(Path::new(MEMORY), found, inputs, resolved)
        })
    }

    /// Samples that an iterator gives, each as its named tensors without an axis for the samples; all have the same
    /// types and extents.
    ///
    /// # Errors
    /// When two samples differ in names, types or extents, and as [`Samples::open`].
    pub fn of_iter(
        samples: impl IntoIterator<Item = Vec<(String, Tensor)>>,
        inputs: &[InputSpec],
        options: &Options,
    ) -> Result<Self> {
        Self::of_arrays(stacked(samples)?, inputs, options)
    }

    fn random(data: &Path, count: usize, inputs: &[InputSpec], options: &Options) -> Result<Self> {
        if options.labels.is_some() {
            return Err(err!(Usage, "random samples have no labels"));
        }
        let preprocess = &options.preprocess;
        if preprocess.is_affine()
            || preprocess.layout.is_some()
            || preprocess.resize.is_some()
            || preprocess.crop.is_some()
            || preprocess.channels != Channels::Rgb
        {
            return Err(err!(Usage, "random samples are drawn as the model takes them")
                .help("leave out the preprocessing"));
        }
        // First axes that disagree cannot all be a batch.
        let mut batches: Vec<usize> = inputs
            .iter()
            .filter_map(|input| input.dims.as_deref().and_then(|dims| *dims.first()?))
            .collect();
        batches.dedup();
        let whole = batches.len() > 1;
        let feeds = inputs
            .iter()
            .enumerate()
            .map(|(at, spec)| Feed::random(spec, at, count, whole, options))
            .collect::<Result<Vec<_>>>()?;
        Self::assemble(data, feeds, None, true, options)
    }

    fn from_file(path: &Path, inputs: &[InputSpec], options: &Options) -> Result<Self> {
        let found = load(path, inputs, options);
        let build = |found| Self::of_sources(path, found, inputs, options);
        found.and_then(build).map_err(|error| error.in_file(path))
    }

    /// What the sources of all inputs and the labels give.
    fn of_sources(
        data: &Path,
        (sources, labels): (Vec<Source>, Option<Labels>),
        inputs: &[InputSpec],
        options: &Options,
    ) -> Result<Self> {
        let feeds = inputs
            .iter()
            .zip(sources)
            .map(|(spec, source)| Feed::new(spec, source, &options.preprocess))
            .collect::<Result<Vec<_>>>()?;
        check_preprocess(inputs, &feeds, options)?;
        Self::assemble(data, feeds, labels, false, options)
    }

    /// Checks that the feeds agree, and decides how many samples make a run.
    fn assemble(
        data: &Path,
        feeds: Vec<Feed>,
        labels: Option<Labels>,
        random: bool,
        options: &Options,
    ) -> Result<Self> {
        let mut lens = feeds.iter().filter_map(|feed| Some((feed, feed.len?)));
        let mut len = 1;
        if let Some((first, expected)) = lens.next() {
            len = expected;
            if let Some((other, found)) = lens.find(|(_, found)| *found != expected) {
                let (first, other) = (first.place(), other.place());
                return Err(err!(Data, "{first} has {expected} samples, {other} has {found}"));
            }
        }
        if len == 0 {
            return Err(err!(Data, "no samples: the first axis has no elements"));
        }
        let kept = len.min(options.samples.unwrap_or(len));
        let labels = labels.map(|labels| labels.first(len, kept)).transpose()?;
        let len = kept;
        let fixed = fixed_batch(&feeds)?;
        let size = fixed.unwrap_or_else(|| {
            let whole = feeds.iter().any(|feed| feed.mode == Mode::Whole);
            if whole { 1 } else { options.batch.min(len) }
        });
        let data = data.to_owned();
        let padded = fixed.is_some();
        let (feeds, fed, tables) = (Arc::new(feeds), OnceLock::new(), options.tables.clone());
        Ok(Self { data, feeds, len, chosen: None, size, padded, labels, random, tables, fed })
    }

    /// Some of these samples, by their positions, in the order given.
    #[must_use]
    pub fn only(&self, chosen: &[usize]) -> Self {
        let len = chosen.len();
        let labels = self.labels.as_ref().map(|labels| {
            chosen.iter().filter_map(|&sample| labels.get(sample).copied()).collect()
        });
        let chosen: Vec<usize> = chosen.iter().map(|&sample| self.place(sample)).collect();
        Self {
            data: self.data.clone(),
            feeds: Arc::clone(&self.feeds),
            len,
            labels,
            chosen: Some(chosen),
            size: if self.padded { self.size } else { self.size.min(len).max(1) },
            padded: self.padded,
            random: self.random,
            tables: self.tables.clone(),
            fed: OnceLock::new(),
        }
    }

    /// What the model is fed with these samples; found out once.
    ///
    /// # Errors
    /// As [`Samples::run`].
    pub fn fed(&self) -> Result<&Fed> {
        if let Some(known) = self.fed.get() {
            return Ok(known);
        }
        let found = Fed::of(self)?;
        Ok(self.fed.get_or_init(|| found))
    }

    pub(super) fn tables(&self) -> &BTreeMap<String, u64> {
        &self.tables
    }

    /// Where a sample stands in the file.
    fn place(&self, sample: usize) -> usize {
        self.chosen.as_ref().map_or(sample, |chosen| chosen[sample])
    }

    /// Number of samples.
    pub fn len(&self) -> usize {
        self.len
    }

    /// False: a file without samples is refused.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The class of each sample, when [`Options::labels`] named an array, or when the samples are
    /// images in sub-folders.
    pub fn labels(&self) -> Option<&[i64]> {
        self.labels.as_deref()
    }

    /// The file that holds sample `sample`, when each sample is a file of its own: images, test data.
    pub fn file(&self, sample: usize) -> Option<&Path> {
        self.feeds.iter().find_map(|feed| feed.file(self.place(sample)))
    }

    /// Were the samples drawn rather than read? Reports must say so.
    pub fn is_random(&self) -> bool {
        self.random
    }

    /// Most samples of one run.
    pub fn batch(&self) -> usize {
        self.size
    }

    /// Number of runs that cover all samples.
    pub fn runs(&self) -> usize {
        self.len.div_ceil(self.size)
    }

    /// Dims of each input for one sample, of the largest one where they differ: rows that are fed one by one
    /// where the batch is free.
    pub fn dims(&self) -> Vec<(String, Vec<usize>)> {
        self.feeds.iter().map(|feed| (feed.name.clone(), feed.one_sample())).collect()
    }

    /// The inputs of run `run`, below [`Samples::runs`].
    ///
    /// # Errors
    /// When an element is not finite or does not fit the type of its input (the array or file, the
    /// sample and the index within the sample are named), or a file cannot be read or decoded.
    pub fn run(&self, run: usize) -> Result<Run> {
        if run >= self.runs() {
            return Err(err!(Usage, "run {run} of {} runs", self.runs()));
        }
        let first = run * self.size;
        let count = self.size.min(self.len - first);
        let size = if self.padded { self.size } else { count };
        let rows: Vec<usize> = (first..first + count).map(|sample| self.place(sample)).collect();
        let inputs = self
            .feeds
            .iter()
            .map(|feed| Ok((feed.name.clone(), feed.tensor_of(&rows, size)?)))
            .collect::<Result<_>>()
            .map_err(|error| error.in_file(&self.data))?;
        Ok(Run { inputs, first, count, size })
    }
}

/// One array for each name, with an axis for the samples in front.
fn stacked(
    samples: impl IntoIterator<Item = Vec<(String, Tensor)>>,
) -> Result<Vec<(String, Tensor)>> {
    let mut samples = samples.into_iter();
    let first = samples.next().ok_or_else(|| err!(Data, "no samples"))?;
    let mut bytes: Vec<Vec<u8>> = first.iter().map(|(_, tensor)| tensor.bytes().to_vec()).collect();
    let mut count = 1;
    for sample in samples {
        for (at, (name, like)) in first.iter().enumerate() {
            let found = sample.iter().find(|(other, _)| other == name).map(|(_, tensor)| tensor);
            let same =
                |tensor: &&Tensor| tensor.dtype() == like.dtype() && tensor.dims() == like.dims();
            let tensor = found.filter(same).ok_or_else(|| {
                let (dtype, dims) = (like.dtype(), like.dims());
                err!(Data, "sample {count}: `{name}` is not {dtype} {dims:?} as in the first one")
            })?;
            bytes[at].extend_from_slice(tensor.bytes());
        }
        count += 1;
    }
    let arrays = first.iter().zip(bytes).map(|((name, like), bytes)| {
        let mut dims = vec![count];
        dims.extend_from_slice(like.dims());
        Ok((name.clone(), Tensor::new(like.dtype(), dims, bytes.into())?))
    });
    arrays.collect()
}

/// Refuses preprocessing that would change nothing.
fn check_preprocess(inputs: &[InputSpec], feeds: &[Feed], options: &Options) -> Result<()> {
    let preprocess = &options.preprocess;
    if preprocess.is_affine() && !inputs.iter().any(|input| input.dtype.is_float()) {
        return Err(err!(
            Usage,
            "scale, mean and std are for floating-point inputs; the model has none"
        ));
    }
    if preprocess.layout.is_some() && !feeds.iter().any(|feed| feed.has_layout) {
        return Err(err!(Usage, "a layout is for samples of three axes; there are none"));
    }
    if preprocess.channels == Channels::Bgr && !feeds.iter().any(|feed| feed.reversed) {
        return Err(err!(
            Usage,
            "bgr is for samples of three axes, one with 3 channels; there are none"
        ));
    }
    Ok(())
}

/// The batch that the model fixes, the same for all inputs.
fn fixed_batch(feeds: &[Feed]) -> Result<Option<usize>> {
    let mut fixed: Option<(&Feed, usize)> = None;
    for feed in feeds {
        let Mode::Rows(Some(batch)) = feed.mode else { continue };
        let name = &feed.name;
        match fixed {
            _ if batch == 0 => return Err(err!(Data, "input `{name}` has a batch of 0")),
            Some((other, size)) if size != batch => {
                return Err(err!(
                    Data,
                    "input `{}` takes {size} samples in a run, input `{name}` {batch}",
                    other.name
                )
                .help(
                    "give complete inputs: arrays with one more axis, the first for the samples",
                ));
            }
            _ => fixed = Some((feed, batch)),
        }
    }
    let whole = feeds.iter().find(|feed| feed.mode == Mode::Whole);
    if let (Some((rows, size)), Some(whole)) = (fixed, whole)
        && size != 1
    {
        return Err(err!(
            Data,
            "input `{}` takes {size} samples in a run, but {} holds complete inputs, one for each sample",
            rows.name,
            whole.place()
        )
        .help("give complete inputs for all: arrays with one more axis, the first for the samples"));
    }
    Ok(fixed.map(|(_, size)| size))
}
