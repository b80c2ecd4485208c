//! What went wrong, where, and what to do about it.

use std::fmt;
use std::path::{Path, PathBuf};

/// Result with the crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The class of a failure; callers match on it, people read the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The operating system refused a file operation.
    Io,
    /// Bytes are not what the format says (ONNX, npy, npz, …).
    Format,
    /// A model breaks a rule of the ONNX specification or an invariant of the IR.
    Invalid,
    /// Well-formed, but not something onnxpress can do.
    Unsupported,
    /// The request contradicts itself or the model.
    Usage,
    /// Samples do not fit the model.
    Data,
    /// The execution engine failed or refused the model.
    Engine,
    /// A documented limit would be passed.
    Limit,
}

/// Where it happened: from the file inwards, each part only when it is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// File as the user named it.
    pub file: Option<PathBuf>,
    /// Inner place in words, e.g. ``node `conv1` (Conv)`` or ``array `x` ``.
    pub item: Option<String>,
}

/// An error with its place, what was expected and found, and what to do.
#[derive(Debug, Clone, thiserror::Error)]
pub struct Error {
    /// Class of the failure.
    pub kind: ErrorKind,
    /// Where it happened.
    pub place: Box<Place>,
    /// What was expected and what was found.
    pub message: String,
    /// What the user can do, when there is something.
    pub help: Option<String>,
}

impl Error {
    /// An error of `kind` with a message that says what was expected and what was found.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, place: Box::default(), message: message.into(), help: None }
    }

    /// Adds the file, unless a file closer to the cause is already named.
    #[must_use]
    pub fn in_file(mut self, path: &Path) -> Self {
        self.place.file.get_or_insert_with(|| path.to_owned());
        self
    }

    /// Adds the inner place; an earlier (inner) one is kept behind it.
    #[must_use]
    pub fn at(mut self, item: impl fmt::Display) -> Self {
        self.place.item = Some(match self.place.item.take() {
            Some(inner) => format!("{item}: {inner}"),
            None => item.to_string(),
        });
        self
    }

    /// Adds what the user can do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// An I/O error of the operating system on `path`.
    pub fn io(path: &Path, error: &std::io::Error) -> Self {
        Self::new(ErrorKind::Io, error.to_string()).in_file(path)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.place.file {
            write!(f, "{}: ", file.display())?;
        }
        if let Some(item) = &self.place.item {
            write!(f, "{item}: ")?;
        }
        f.write_str(&self.message)?;
        if let Some(help) = &self.help {
            write!(f, "; {help}")?;
        }
        Ok(())
    }
}

/// `err!(Invalid, "…")`: an [`Error`] of that [`ErrorKind`] with a formatted message.
macro_rules! err {
    ($kind:ident, $($message:tt)*) => {
        $crate::error::Error::new($crate::error::ErrorKind::$kind, format!($($message)*))
    };
}
pub(crate) use err;
