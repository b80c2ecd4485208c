//! Loads the shared library into this process.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use ort::LoadDynamicError;

use crate::error::{Error, Result, err};
use crate::exec::panic;

/// What this process has tried to load, and how it ended. There is no second try: `ort` must not be
/// asked again after it has failed.
static LOADED: OnceLock<(PathBuf, Result<()>)> = OnceLock::new();

/// Loads the library at `path`, unless that is done.
///
/// # Errors
/// When it cannot be loaded, is no ONNX Runtime, or too old; and when the process has tried another.
pub(super) fn load(path: &Path) -> Result<()> {
    let (tried, outcome) = LOADED.get_or_init(|| (path.to_owned(), panic::caught(|| first(path))));
    if tried != path {
        let message = "this process has tried another shared library already";
        return Err(err!(Engine, "{message}: `{}`", tried.display()).in_file(path));
    }
    outcome.clone()
}

fn first(path: &Path) -> Result<()> {
    let environment = ort::init_from(path).map_err(|error| refused(path, error))?;
    // Libraries as Microsoft builds them report what they run.
    environment.with_telemetry(false).with_name(env!("CARGO_PKG_NAME")).commit();
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
