//! Images as samples of one input.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::data::folder::{self, ends_in};
use crate::data::geometry::Size;
use crate::data::picture::{self, Geometry};
use crate::data::shape::{Mode, fit, show};
use crate::data::strided::Strided;
use crate::data::{Channels, InputSpec, Layout, Options, Preprocess};
use crate::error::{Error, Result, err};
use crate::tensor::{DType, Tensor, element_count};

/// Extensions of the images that are read.
const READ: &[&str] = &["png", "jpg", "jpeg"];
/// Extensions of other images: leaving them out in silence would leave out samples.
const OTHERS: &[&str] = &["bmp", "gif", "webp", "tif", "tiff", "ppm", "pgm", "avif", "heic"];

/// Image files and, where they stand in one sub-folder for each class, the class of each.
#[derive(Debug, Default)]
pub(super) struct ImageFiles {
    pub paths: Vec<PathBuf>,
    pub labels: Option<Vec<i64>>,
}

/// The images in `folder`, or in its sub-folders, sorted by name.
///
/// Each sub-folder is a class. If all their names are whole numbers, those are the labels;
/// otherwise a label is the position among the sorted names. The first image of each class comes
/// first, then the second of each, so that any number of first samples is spread over the classes.
pub(super) fn find(folder: &Path) -> Result<ImageFiles> {
    let listing = folder::list(folder)?;
    let flat = images_of(&listing.files)?;
    let classes = listing
        .folders
        .iter()
        .map(|class| images_of(&folder::list(class)?.files))
        .collect::<Result<Vec<_>>>()?;
    let labelled = classes.iter().any(|class| !class.is_empty());
    if labelled && !flat.is_empty() {
        return Err(err!(Data, "images both beside sub-folders and in them")
            .help("give a flat folder, or one with a sub-folder for each class")
            .in_file(folder));
    }
    if flat.is_empty() && !labelled {
        return Err(err!(Data, "the folder holds no samples")
            .help("expected png or jpeg images, sub-folders of them, or test_data_set_*/input_*.pb")
            .in_file(folder));
    }
    if !labelled {
        return Ok(ImageFiles { paths: flat, labels: None });
    }
    let number = |path: &PathBuf| folder::name(path).parse::<i64>().ok();
    let numbers: Option<Vec<i64>> = listing.folders.iter().map(number).collect();
    let labels = numbers.unwrap_or_else(|| (0..classes.len() as i64).collect());
    let mut dealt: Vec<(usize, i64, PathBuf)> = Vec::new();
    for (label, class) in labels.into_iter().zip(classes) {
        dealt.extend(class.into_iter().enumerate().map(|(place, path)| (place, label, path)));
    }
    dealt.sort();
    let (labels, paths) = dealt.into_iter().map(|(_, label, path)| (label, path)).unzip();
    Ok(ImageFiles { paths, labels: Some(labels) })
}

fn images_of(files: &[PathBuf]) -> Result<Vec<PathBuf>> {
    if let Some(other) = files.iter().find(|path| ends_in(path, OTHERS)) {
        return Err(err!(Unsupported, "only png and jpeg images are read").in_file(other));
    }
    Ok(files.iter().filter(|path| ends_in(path, READ)).cloned().collect())
}

/// Does the name say that this is an image?
pub(super) fn is_named_image(path: &Path) -> bool {
    ends_in(path, READ)
}

/// Images that fit an input; each is decoded when it is asked for.
#[derive(Debug)]
pub(super) struct Images {
    paths: Vec<PathBuf>,
    spec: InputSpec,
    geometry: Geometry,
    channels: usize,
    /// Layout in which the model takes them.
    pub layout: Layout,
    /// Are the channels handed out as blue, green, red?
    pub reversed: bool,
    pub mode: Mode,
    /// Extents of the largest one as the input takes it, without the batch.
    pub largest: Vec<usize>,
}

/// One image, ready but for the arithmetic.
pub(super) struct Decoded {
    /// The pixels as an array of three axes.
    pub tensor: Tensor,
    /// Extents as the input takes it, without the batch.
    pub dims: Vec<usize>,
}

impl Images {
    /// Reads the size of each image and compares it with the input.
    pub fn open(
        paths: Vec<PathBuf>,
        spec: &InputSpec,
        preprocess: &Preprocess,
        options: &Options,
    ) -> Result<Self> {
        let (channels, layout) = frame(spec, preprocess.layout)?;
        let Preprocess { resize, crop, .. } = *preprocess;
        let mut images = Self {
            paths,
            spec: spec.clone(),
            geometry: Geometry { resize, crop, most_pixels: options.limits.pixels },
            channels,
            layout,
            reversed: preprocess.channels == Channels::Bgr && channels == 3,
            mode: Mode::Rows(None),
            largest: Vec::new(),
        };
        // Images of one size fit alike.
        let mut seen: BTreeMap<(usize, usize), (Mode, Vec<usize>)> = BTreeMap::new();
        for path in &images.paths {
            let size = picture::size(path)?;
            let to = images.geometry.of(size).map_err(|error| error.in_file(path))?;
            if let std::collections::btree_map::Entry::Vacant(new) =
                seen.entry((to.height, to.width))
            {
                new.insert(images.fit(to).map_err(|error| error.in_file(path))?);
            }
        }
        let mut fits = seen.into_values();
        if let Some((mode, dims)) = fits.next() {
            (images.mode, images.largest) = (mode, dims);
        }
        for (mode, dims) in fits {
            if mode != images.mode {
                return Err(err!(
                    Data,
                    "images of different sizes fit input `{}` in different ways",
                    spec.name
                )
                .help("bring them to one size with --resize HxW, or --resize N --crop HxW"));
            }
            if element_count(&dims) > element_count(&images.largest) {
                images.largest = dims;
            }
        }
        Ok(images)
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.paths.len()
    }

    /// The file of image `at`.
    pub fn path(&self, at: usize) -> Option<&Path> {
        self.paths.get(at).map(PathBuf::as_path)
    }

    /// Decodes image `at`.
    pub fn load(&self, at: usize) -> Result<Decoded> {
        let Some(path) = self.paths.get(at) else {
            return Err(err!(Usage, "image {at} of {}", self.paths.len()));
        };
        let load = || {
            let (size, pixels) = picture::pixels(path, self.channels, &self.geometry)?;
            let (_, dims) = self.fit(size)?;
            let read = [size.height, size.width, self.channels];
            let mut order = match self.layout {
                Layout::Nchw => Strided::permuted(&read, &[2, 0, 1]),
                Layout::Nhwc => Strided::permuted(&read, &[0, 1, 2]),
            };
            if self.reversed {
                order = order.reversed(if self.layout == Layout::Nchw { 0 } else { 2 });
            }
            let bytes = order.gather(&pixels, 1).into();
            Ok(Decoded { tensor: Tensor::new(DType::Uint8, order.dims, bytes)?, dims })
        };
        load().map_err(|error: Error| error.in_file(path))
    }

    /// How an image of this final size fits the input.
    fn fit(&self, size: Size) -> Result<(Mode, Vec<usize>)> {
        let sample = match self.layout {
            Layout::Nchw => [self.channels, size.height, size.width],
            Layout::Nhwc => [size.height, size.width, self.channels],
        };
        let array = [&[1], &sample[..]].concat();
        match fit(&self.spec, &array, None) {
            Ok(fit) => Ok((fit.mode, fit.dims)),
            Err(_) => Err(self.misfit(size)),
        }
    }

    fn misfit(&self, size: Size) -> Error {
        let Self { spec, geometry, .. } = self;
        let dims = spec.dims.as_deref().unwrap_or_default();
        let sized = geometry.resize.is_some() || geometry.crop.is_some();
        let error = err!(
            Data,
            "image of {size} pixels (height x width){}, input `{}` takes {}",
            if sized { " after resize and crop" } else { "" },
            spec.name,
            show(dims)
        );
        let wanted = match (self.layout, dims) {
            (Layout::Nchw, [.., height, width]) | (Layout::Nhwc, [.., height, width, _]) => {
                height.zip(*width).map(|(height, width)| Size { height, width })
            }
            _ => None,
        };
        match wanted {
            Some(to) => error.help(format!(
                "give --resize {to}, which may change proportions, or --resize {} --crop {to}, which keeps the middle",
                to.height.max(to.width)
            )),
            None => error.help("bring it to the right size with --resize and --crop"),
        }
    }
}

/// Channels and layout in which the input takes images: one channel or three, first or last.
/// Channels first wins where both are possible, and three where the input leaves it open.
fn frame(spec: &InputSpec, given: Option<Layout>) -> Result<(usize, Layout)> {
    let colours = |dim: Option<usize>| matches!(dim, Some(1 | 3));
    let guess = |first, last| {
        given.unwrap_or(if !colours(first) && colours(last) { Layout::Nhwc } else { Layout::Nchw })
    };
    let (channels, layout) = match spec.dims.as_deref() {
        Some(&[_, first, _, last]) => {
            let layout = guess(first, last);
            (if layout == Layout::Nchw { first } else { last }, layout)
        }
        Some(&[Some(3), _, _]) if given != Some(Layout::Nhwc) => (Some(3), Layout::Nchw),
        Some(&[Some(_), Some(_), Some(3)]) => (Some(3), Layout::Nhwc),
        Some(_) => (Some(1), given.unwrap_or(Layout::Nchw)),
        None => (None, given.unwrap_or(Layout::Nchw)),
    };
    match channels.unwrap_or(3) {
        channels @ (1 | 3) => Ok((channels, layout)),
        other => Err(err!(
            Data,
            "input `{}` takes {}, so {other} channels; images give 1 or 3",
            spec.name,
            show(spec.dims.as_deref().unwrap_or_default())
        )
        .help("--layout says where the channels are")),
    }
}
