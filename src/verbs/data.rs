//! What a verb works with beside a model and options.

use std::path::Path;

use crate::analysis::{Evaluate, Measure, Progress, Reach, input_bounds};
use crate::calibrate::{Calibration, Statistics};
use crate::data::{self, Options, Samples};
use crate::emit::{self, Encoded};
use crate::error::{Error, ErrorKind, Result};
use crate::exec::{Engine, Tract};
use crate::ir::Model;
use crate::passes::Context;
use crate::pipeline::{self, Check};
use crate::read::Loaded;

/// Runs of the samples with which each pass is checked.
pub const CHECK_RUNS: usize = 4;

/// How a result becomes files; told whether the original keeps its weights in a file of their own.
pub type Encode<'a> = dyn Fn(&Model, bool) -> Result<Encoded> + 'a;

/// Samples of a file or folder for the inputs of a model; see [`Samples::open`].
///
/// # Errors
/// As there.
pub fn samples(original: &Loaded, path: &Path, options: &Options) -> Result<Samples> {
    // Drawn indices stay below every table; of given ones only what cannot be right is told.
    let reach = if data::is_random(path) { Reach::Possible } else { Reach::Certain };
    let options = Options { tables: input_bounds(&original.model, reach), ..options.clone() };
    Samples::open(path, &pipeline::inputs(&original.model)?, &options)
}

/// Samples, and where models run.
#[derive(Clone, Copy, Default)]
pub struct Data<'a> {
    /// Samples that ranges are measured on, layers are fitted to, and choices are made by.
    pub samples: Option<&'a Samples>,
    /// Samples on which original and result are compared, and nothing else is done.
    pub test: Option<&'a Samples>,
    /// Ranges that were measured before, for `quantize`.
    pub statistics: Option<&'a Statistics>,
    /// Seed of what is made up where there are no samples.
    pub seed: u64,
    /// Where models run.
    pub host: Host<'a>,
}

impl<'a> Data<'a> {
    /// These samples, and the defaults of everything else.
    pub fn of(samples: &'a Samples) -> Self {
        Self { samples: Some(samples), ..Self::default() }
    }

    /// The samples on which results are judged.
    pub fn judging(&self) -> Option<&'a Samples> {
        self.test.or(self.samples)
    }

    /// All samples.
    pub(super) fn all(&self) -> impl Iterator<Item = &'a Samples> {
        self.test.into_iter().chain(self.samples)
    }
}

/// Where models run, and who is told how far the work is.
#[derive(Clone, Copy)]
pub struct Host<'a> {
    /// Executes models; by default tract, in this process.
    pub engine: &'a dyn Engine,
    /// Is told about work that takes long.
    pub progress: &'a dyn Progress,
    /// Gives the runtime that results for ONNX Runtime are loaded into before they are given out; without, they are
    /// not loaded.
    pub deployed: Option<&'a dyn Fn() -> Option<Box<dyn Engine>>>,
    /// Makes files of models; by default as the original keeps its weights.
    pub encode: &'a Encode<'a>,
}

impl Default for Host<'_> {
    fn default() -> Self {
        Self { engine: &Tract, progress: &(), deployed: None, encode: &encode }
    }
}

impl<'a> Host<'a> {
    /// The runtime that results are loaded into.
    pub(super) fn runtime(&self) -> Option<Box<dyn Engine>> {
        self.deployed.and_then(|deployed| deployed())
    }

    /// Measures values over samples.
    pub(super) fn calibration<'s>(&self, samples: &'s Samples) -> Calibration<'s>
    where
        'a: 's,
    {
        Calibration { engine: self.engine, samples, progress: self.progress }
    }

    /// What passes may ask for, with what was measured.
    pub(super) fn context<'s>(&'s self, measure: Option<&'s dyn Measure>) -> Context<'s> {
        let (evaluate, progress) = (Some(&self.engine as &dyn Evaluate), Some(self.progress));
        Context { evaluate, measure, progress, ..Context::default() }
    }

    /// What passes are checked on: so many runs of the samples, or seeded noise when there are none.
    pub(super) fn probing(
        &self,
        samples: Option<&Samples>,
        model: &Model,
        seed: u64,
        runs: usize,
    ) -> Result<Check<'a>> {
        match samples {
            Some(samples) => Check::on(self.engine, samples, runs),
            None => {
                let inputs = pipeline::probes(model, seed);
                Ok(Check { engine: self.engine, inputs, enough: runs })
            }
        }
    }

    /// The same; nothing for a model for whose inputs nothing can be made up.
    pub(super) fn check(
        &self,
        samples: Option<&Samples>,
        model: &Model,
        seed: u64,
    ) -> Result<Option<Check<'a>>> {
        let check = self.probing(samples, model, seed, CHECK_RUNS)?;
        let first = check.inputs.first().filter(|_| samples.is_none());
        let lacking = first.is_some_and(|inputs| pipeline::lacking(model, inputs).is_some());
        Ok((!lacking).then_some(check))
    }
}

/// Weights inside, or in a file of their own when the original has one or they are too large.
fn encode(model: &Model, external: bool) -> Result<Encoded> {
    let verified = model.verify().map_err(Error::from)?;
    if !external {
        match emit::onnx(verified) {
            Err(error) if error.kind == ErrorKind::Limit => {}
            inline => return Ok(Encoded { model: inline?, data: None }),
        }
    }
    emit::with_external_data(verified, "model.onnx.data")
}
