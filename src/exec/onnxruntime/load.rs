//! Loads the shared library into this process.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use ort::LoadDynamicError;

use crate::error::{Error, Result, err};

/// What is loaded; a library is never unloaded.
static LOADED: Mutex<Option<PathBuf>> = Mutex::new(None);

/// Loads the library at `path`, unless that is done.
///
/// # Errors
/// When it cannot be loaded, is no ONNX Runtime, or too old; and when the process has loaded another.
pub(super) fn load(path: &Path) -> Result<()> {
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    match &*loaded {
        Some(known) if known == path => return Ok(()),
        Some(known) => {
            let message = "this process runs another ONNX Runtime already";
            return Err(err!(Engine, "{message}: `{}`", known.display()).in_file(path));
        }
        None => {}
    }
    let environment = ort::init_from(path).map_err(|error| refused(path, error))?;
    // Libraries as Microsoft builds them report what they run.
    environment.with_telemetry(false).with_name(env!("CARGO_PKG_NAME")).commit();
    *loaded = Some(path.to_owned());
    Ok(())
}

fn refused(path: &Path, error: LoadDynamicError) -> Error {
    let error = match error {
        LoadDynamicError::Dlopen { error, .. } => {
            let system = std::error::Error::source(&error).map(ToString::to_string);
            let system = system.unwrap_or_else(|| error.to_string());
            err!(Engine, "the system cannot load this shared library: {system}")
        }
        LoadDynamicError::MissingApi { .. } => {
            err!(Engine, "this shared library is no ONNX Runtime: it has no `OrtGetApiBase`")
        }
        LoadDynamicError::BadVersion { version_str, .. } => {
            let oldest = ort::MINOR_VERSION;
            err!(Engine, "this ONNX Runtime is too old: {version_str}; 1.{oldest} is needed")
        }
    };
    error.in_file(path)
}
