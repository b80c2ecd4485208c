//! Whether ONNX Runtime takes what is about to be written for it.

use crate::data::Samples;
use crate::error::{Error, ErrorKind, Result};
use crate::exec::{Engine, Runner};
use crate::ir::Model;

/// Larger results are not loaded: that would take as long as quantizing them, and hold them twice.
const LARGEST: u64 = 256 << 20;

/// Loads `written` of so many bytes into ONNX Runtime, as whoever deploys it would, and runs it on a sample when there
/// are any. Nothing is said when `runtime` finds no library, or the original does not run there either.
///
/// # Errors
/// When it does not load or run while the original does.
pub fn check_deployed(
    runtime: impl FnOnce() -> Option<Box<dyn Engine>>,
    [original, written]: [&Model; 2],
    bytes: u64,
    samples: Option<&Samples>,
) -> Result<()> {
    if bytes > LARGEST {
        return Ok(());
    }
    let Some(runtime) = runtime() else { return Ok(()) };
    let Err(error) = load(&*runtime, written, samples) else { return Ok(()) };
    if !error.message.contains(MARK) || load(&*runtime, original, samples).is_err() {
        return Ok(());
    }
    let text = format!(
        "nothing is written: ONNX Runtime runs the original, but not the result: {}",
        error.message
    );
    Err(Error::new(ErrorKind::Engine, text)
        .help("keep the layers that it names in float with --keep, or take another type, granularity or target"))
}

/// With this its errors begin; others are about the library, or the limits of its process.
const MARK: &str = "ONNX Runtime: ";

fn load(engine: &dyn Engine, model: &Model, samples: Option<&Samples>) -> Result<()> {
    match samples {
        Some(samples) => {
            let run = samples.run(0)?;
            Runner::new(engine, model, Vec::new()).run(&run.inputs).map(drop)
        }
        None => engine.prepare(model.verify().map_err(Error::from)?, &[], &[]).map(drop),
    }
}
