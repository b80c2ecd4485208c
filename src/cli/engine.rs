//! Where models are executed.

use std::time::Duration;

use clap::Args;
use onnxpress::Result;
use onnxpress::exec::{Engine, Isolated, Limits, Tract};

/// Limits of the engine.
#[derive(Debug, Clone, Copy, Args)]
pub struct EngineArgs {
    /// Most memory that a process of the engine may use, e.g. 8G or 512M; by default half of the
    /// machine's. What needs more is reported as not validated.
    #[arg(long, value_name = "SIZE", value_parser = size)]
    engine_memory: Option<u64>,
    /// Longest time in seconds that preparing a model, or one run of it, may take.
    #[arg(long, value_name = "N", default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..))]
    engine_seconds: u64,
    /// Execute models in this process, without limits: a crash of the engine ends the command.
    #[arg(long, conflicts_with_all = ["engine_memory", "engine_seconds"])]
    engine_in_process: bool,
}

impl EngineArgs {
    /// The engine; call it when the number of threads is settled.
    pub fn start(&self) -> Result<Box<dyn Engine>> {
        if self.engine_in_process {
            return Ok(Box::new(Tract));
        }
        let usual = Limits::default();
        Ok(Box::new(Isolated::this_program(Limits {
            memory: self.engine_memory.unwrap_or(usual.memory),
            time: Duration::from_secs(self.engine_seconds),
            threads: rayon::current_num_threads(),
        })?))
    }
}

/// `8G`, `512MiB`, `1000000`: bytes in powers of 1024.
fn size(text: &str) -> Result<u64, String> {
    const UNITS: &[(char, u32)] = &[('K', 10), ('M', 20), ('G', 30), ('T', 40)];
    let plain = text.trim_end_matches(['B', 'b']).trim_end_matches(['I', 'i']);
    let (number, shift) = UNITS
        .iter()
        .find_map(|&(unit, shift)| {
            let number = plain.strip_suffix([unit, unit.to_ascii_lowercase()])?;
            Some((number, shift))
        })
        .unwrap_or((plain, 0));
    let bytes = number.trim().parse::<u64>().ok().and_then(|n| n.checked_mul(1 << shift));
    bytes.filter(|&bytes| bytes > 0).ok_or_else(|| format!("`{text}`; expected e.g. 8G or 512M"))
}
