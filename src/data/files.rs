//! Samples that are files of their own, read when a run asks for them.

use std::path::Path;

use crate::data::images::{Decoded, Images};
use crate::data::preprocess::Affine;
use crate::data::shape::Mode;
use crate::data::test_data::TensorFiles;
use crate::data::{InputSpec, Layout, Preprocess};
use crate::error::{Error, Result};
use crate::tensor::{DType, Tensor};

/// The files of one input, and the arithmetic for their values if there is some.
#[derive(Debug)]
pub(super) struct Files {
    kind: Kind,
    affine: Option<Preprocess>,
}

#[derive(Debug)]
enum Kind {
    Images(Images),
    Tensors(TensorFiles),
}

/// One sample, with its extents as the input takes it (without the batch for rows).
pub(super) struct Sample {
    pub tensor: Tensor,
    pub dims: Vec<usize>,
    pub affine: Option<Affine>,
}

impl Files {
    pub fn images(images: Images, spec: &InputSpec, preprocess: &Preprocess) -> Self {
        Self::new(Kind::Images(images), spec, preprocess)
    }

    pub fn tensors(tensors: TensorFiles, spec: &InputSpec, preprocess: &Preprocess) -> Self {
        Self::new(Kind::Tensors(tensors), spec, preprocess)
    }

    fn new(kind: Kind, spec: &InputSpec, preprocess: &Preprocess) -> Self {
        let wanted = preprocess.is_affine() && spec.dtype.is_float();
        Self { kind, affine: wanted.then(|| preprocess.clone()) }
    }

    pub fn are_images(&self) -> bool {
        matches!(self.kind, Kind::Images(_))
    }

    /// The type of pictures whose values nothing is done to.
    pub fn untouched_type(&self) -> Option<DType> {
        (self.are_images() && self.affine.is_none()).then_some(DType::Uint8)
    }

    /// Are the channels handed out as blue, green, red?
    pub fn reversed(&self) -> bool {
        matches!(&self.kind, Kind::Images(images) if images.reversed)
    }

    pub fn mode(&self) -> Mode {
        match &self.kind {
            Kind::Images(images) => images.mode,
            Kind::Tensors(_) => Mode::Whole,
        }
    }

    pub fn len(&self) -> usize {
        match &self.kind {
            Kind::Images(images) => images.len(),
            Kind::Tensors(tensors) => tensors.len(),
        }
    }

    /// Extents of the largest sample.
    pub fn largest(&self) -> &[usize] {
        match &self.kind {
            Kind::Images(images) => &images.largest,
            Kind::Tensors(tensors) => &tensors.largest,
        }
    }

    /// The samples in words, for messages.
    pub fn place(&self) -> &'static str {
        if self.are_images() { "the images" } else { "the data sets" }
    }

    /// Reads one sample.
    pub fn load(&self, row: usize) -> Result<Sample> {
        let (tensor, dims, layout): (Tensor, Vec<usize>, Option<Layout>) = match &self.kind {
            Kind::Images(images) => {
                let Decoded { tensor, dims } = images.load(row)?;
                (tensor, dims, Some(images.layout))
            }
            Kind::Tensors(tensors) => {
                let tensor = tensors.load(row)?;
                let dims = tensor.dims().to_vec();
                (tensor, dims, None)
            }
        };
        let affine = self.affine.as_ref().map(|preprocess| {
            // A complete input begins with its batch, which is no channel axis.
            let batch = usize::from(!self.are_images() && dims.len() > 1);
            preprocess.affine(&tensor.dims()[batch..], layout)
        });
        let affine = affine.transpose().map_err(|error| self.blame(error, row))?;
        Ok(Sample { tensor, dims, affine })
    }

    /// The file of a sample.
    pub fn path(&self, row: usize) -> Option<&Path> {
        match &self.kind {
            Kind::Images(images) => images.path(row),
            Kind::Tensors(tensors) => tensors.path(row),
        }
    }

    /// Names the file of a sample.
    pub fn blame(&self, error: Error, row: usize) -> Error {
        match self.path(row) {
            Some(path) => error.in_file(path),
            None => error,
        }
    }
}
