//! Where models are executed.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};
use onnxpress::data::Samples;
use onnxpress::exec::{self, Engine, Isolated, Limits, OnnxRuntime, Optimization, Tract};
use onnxpress::{Error, ErrorKind, Result};

use super::limits::{HEADING, size};

/// Limits of checks that can do with parts of the model.
const BRIEF: Limits = Limits { memory: 400 << 20, time: Duration::from_secs(8), threads: 1 };

/// Bytes of random inputs for which a run may use more. 4 MiB: a picture of 600 x 600.
const MOST_OF_RANDOM: u64 = 4 << 20;

/// Heading of the choice of an engine in a command's help.
const ENGINE: &str = "Engine";

/// What executes models.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Which {
    Tract,
    Ort,
}

/// How far models are rewritten by the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Level {
    Basic,
    All,
}

impl From<Level> for Optimization {
    fn from(level: Level) -> Self {
        match level {
            Level::Basic => Self::Basic,
            Level::All => Self::All,
        }
    }
}

/// The engine and its limits.
#[derive(Debug, Clone, Args)]
pub struct EngineArgs {
    /// What executes models: tract is built in, ort is ONNX Runtime from a shared library.
    #[arg(long, help_heading = ENGINE, value_enum, value_name = "ENGINE", default_value = "tract")]
    engine: Which,
    /// The shared library of ONNX Runtime for `--engine ort`, or the folder that it is in; by
    /// default what ORT_DYLIB_PATH says, or one found in the usual folders.
    #[arg(long, help_heading = ENGINE, value_name = "PATH")]
    ort_library: Option<PathBuf>,
    /// How far ONNX Runtime rewrites the models that it runs, for `--engine ort`; by default, outputs are
    /// those of the operators as they stand in the model (basic), and times those of the model as it is
    /// deployed, with fused and integer kernels (all).
    #[arg(long, help_heading = ENGINE, value_enum, value_name = "LEVEL")]
    optimization: Option<Level>,
    /// Most memory that a process of the engine may use, e.g. 8G or 512M; by default 400M, 64 times the model's
    /// size and 128 times that of its inputs on all threads, at most half of the machine's; for `simplify`
    /// 400M. What needs more is reported as not validated.
    #[arg(long, help_heading = HEADING, value_name = "SIZE", value_parser = size)]
    engine_memory: Option<u64>,
    /// Longest time in seconds that preparing a model, or one run of it, may take; by default 8, and 2 more for
    /// each megabyte of the model and its inputs, at most 120; for `simplify` 8.
    #[arg(long, help_heading = HEADING, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    engine_seconds: Option<u64>,
    /// Execute models in this process, without limits: a crash of the engine ends the command.
    #[arg(long, help_heading = HEADING, conflicts_with_all = ["engine_memory", "engine_seconds"])]
    engine_in_process: bool,
}

impl EngineArgs {
    /// The engine for a model of `bytes` bytes on samples; call it when the number of threads is settled.
    pub fn start(&self, bytes: u64, samples: Option<&Samples>) -> Result<Box<dyn Engine>> {
        let run = samples.and_then(|samples| samples.run(0).ok());
        let inputs = run.iter().flat_map(|run| &run.inputs);
        let mut inputs: u64 = inputs.map(|(_, tensor)| tensor.bytes().len() as u64).sum();
        if samples.is_some_and(Samples::is_random) {
            // They are as large as a model of a few bytes says.
            inputs = inputs.min(MOST_OF_RANDOM);
        }
        self.start_within(Limits::of_size(bytes, inputs, rayon::current_num_threads()))
    }

    /// The engine for checks that nobody wants to wait for: they can do with parts of the model.
    pub fn start_briefly(&self) -> Result<Box<dyn Engine>> {
        self.start_within(BRIEF)
    }

    /// The engine, `usual` where the user does not say.
    fn start_within(&self, usual: Limits) -> Result<Box<dyn Engine>> {
        let threads = rayon::current_num_threads();
        let onnxruntime = self.onnxruntime(threads)?;
        let limits = Limits {
            memory: self.engine_memory.unwrap_or(usual.memory),
            time: self.engine_seconds.map_or(usual.time, Duration::from_secs),
            threads,
        };
        let (inside, known) = (self.engine_in_process, onnxruntime.is_some());
        let engine: Box<dyn Engine> = match onnxruntime {
            None if inside => Box::new(Tract),
            None => Box::new(Isolated::this_program(limits)?),
            Some(onnxruntime) if inside => Box::new(onnxruntime),
            Some(onnxruntime) => Box::new(Isolated::this_program(limits)?.onnxruntime(onnxruntime)),
        };
        if known {
            // A library that does not work is not a result that could not be validated.
            exec::trial(&*engine)?;
        }
        Ok(engine)
    }

    /// As [`deploying`], with the library and the time that were given.
    pub fn deploying(&self) -> Option<Box<dyn Engine>> {
        deploying(self.ort_library.as_deref(), self.engine_seconds)
    }

    /// ONNX Runtime, when it is asked for.
    fn onnxruntime(&self, threads: usize) -> Result<Option<OnnxRuntime>> {
        let needs =
            |option| Err(Error::new(ErrorKind::Usage, format!("{option} needs --engine ort")));
        match (self.engine, &self.ort_library, self.optimization) {
            (Which::Ort, library, level) => {
                let engine = OnnxRuntime::find(library.as_deref(), threads)?;
                Ok(Some(match level {
                    Some(level) => engine.optimized(level.into()),
                    None => engine,
                }))
            }
            (Which::Tract, None, None) => Ok(None),
            (Which::Tract, Some(_), _) => needs("--ort-library"),
            (Which::Tract, None, Some(_)) => needs("--optimization"),
        }
    }
}

/// ONNX Runtime in a process of its own as it is deployed, with all of its optimizations, when a library is found: at
/// `library`, or in the usual folders. A run may take so many seconds.
pub fn deploying(library: Option<&Path>, seconds: Option<u64>) -> Option<Box<dyn Engine>> {
    let threads = rayon::current_num_threads();
    let runtime = OnnxRuntime::find(library, threads).ok()?;
    let usual = Limits::default();
    let limits = Limits { time: seconds.map_or(usual.time, Duration::from_secs), ..usual };
    let isolated = Isolated::this_program(limits).ok()?;
    Some(Box::new(isolated.onnxruntime(runtime.optimized(Optimization::All))))
}
