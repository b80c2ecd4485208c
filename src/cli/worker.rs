//! `worker`: what the other commands start to execute models in. Not for people.

use onnxpress::Result;
use onnxpress::exec;

use super::Ended;

/// Serves until standard input ends.
pub fn run() -> Result<Ended> {
    exec::serve()?;
    Ok(Ended::Done)
}
