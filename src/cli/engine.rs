//! Where models are executed.

use std::time::Duration;

use clap::Args;
use onnxpress::Result;
use onnxpress::data::Samples;
use onnxpress::exec::{Engine, Isolated, Limits, Tract};
use onnxpress::ir::Model;
use onnxpress::pipeline::{self, Check};

use super::limits::{HEADING, size};
use super::quantize::CHECK_RUNS;

/// Limits of checks that can do with parts of the model.
const BRIEF: Limits = Limits { memory: 400 << 20, time: Duration::from_secs(8), threads: 1 };

/// Limits of the engine.
#[derive(Debug, Clone, Copy, Args)]
pub struct EngineArgs {
    /// Most memory that a process of the engine may use, e.g. 8G or 512M; by default half of the
    /// machine's, and 400M for `simplify`. What needs more is reported as not validated.
    #[arg(long, help_heading = HEADING, value_name = "SIZE", value_parser = size)]
    engine_memory: Option<u64>,
    /// Longest time in seconds that preparing a model, or one run of it, may take; 120 by default,
    /// and 8 for `simplify`.
    #[arg(long, help_heading = HEADING, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    engine_seconds: Option<u64>,
    /// Execute models in this process, without limits: a crash of the engine ends the command.
    #[arg(long, help_heading = HEADING, conflicts_with_all = ["engine_memory", "engine_seconds"])]
    engine_in_process: bool,
}

impl EngineArgs {
    /// The engine; call it when the number of threads is settled.
    pub fn start(&self) -> Result<Box<dyn Engine>> {
        self.start_within(Limits::default())
    }

    /// The engine for checks that nobody wants to wait for: they can do with parts of the model.
    pub fn start_briefly(&self) -> Result<Box<dyn Engine>> {
        self.start_within(BRIEF)
    }

    /// The engine, `usual` where the user does not say.
    fn start_within(&self, usual: Limits) -> Result<Box<dyn Engine>> {
        if self.engine_in_process {
            return Ok(Box::new(Tract));
        }
        Ok(Box::new(Isolated::this_program(Limits {
            memory: self.engine_memory.unwrap_or(usual.memory),
            time: self.engine_seconds.map_or(usual.time, Duration::from_secs),
            threads: rayon::current_num_threads(),
        })?))
    }
}

/// What passes are checked on: runs of the samples, or seeded noise when there are none. A model whose
/// inputs are no tensors is not executed.
pub fn check<'a>(
    engine: &'a dyn Engine,
    samples: Option<&Samples>,
    model: &Model,
    seed: u64,
) -> Result<Option<Check<'a>>> {
    if let Some(samples) = samples {
        return Check::on(engine, samples, CHECK_RUNS).map(Some);
    }
    let inputs = pipeline::probes(model, seed);
    Ok(inputs.ok().map(|inputs| Check { engine, inputs, enough: CHECK_RUNS }))
}
