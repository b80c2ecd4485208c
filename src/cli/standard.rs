//! `-`: a model from standard input, a result to standard output. Reports then go to standard error.

use std::io::{IsTerminal, Read, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use onnxpress::read::{self, Loaded};
use onnxpress::wire::Rope;
use onnxpress::{Error, ErrorKind, Result};

/// What standard input and standard output go by.
const NAME: &str = "-";
/// Most bytes of a model without data of its own beside it: no message is larger.
const LARGEST: u64 = i32::MAX as u64;

/// Whether the result goes to standard output.
static TAKEN: AtomicBool = AtomicBool::new(false);
/// Whether standard input was read.
static READ: AtomicBool = AtomicBool::new(false);

/// True for `-`; a file of that name is `./-`.
pub fn is(path: &Path) -> bool {
    path.as_os_str() == NAME
}

/// True when the result goes to standard output, so that nothing else may.
pub fn is_taken() -> bool {
    TAKEN.load(Ordering::Relaxed)
}

/// Keeps standard output free for the result. `json` says that the report is to go there, too.
pub fn take(json: bool) -> Result<()> {
    if json {
        let text = "the result and --json cannot both go to standard output";
        return Err(Error::new(ErrorKind::Usage, text).help("name a file with -o"));
    }
    if std::io::stdout().is_terminal() {
        let text = "standard output is a terminal, and the result is no text";
        return Err(Error::new(ErrorKind::Usage, text)
            .help("name a file with -o, or send the result on: … -o - > model.onnx"));
    }
    TAKEN.store(true, Ordering::Relaxed);
    Ok(())
}

/// Writes the result to standard output.
pub fn write(content: &Rope) -> Result<()> {
    read::check_unchanged()?;
    let mut out = std::io::stdout().lock();
    let written = content.pieces().try_for_each(|piece| out.write_all(piece));
    written.and_then(|()| out.flush()).map_err(|error| failed("standard output", &error))
}

/// Reads a model from standard input.
pub fn model() -> Result<Loaded> {
    let place = "standard input";
    if READ.swap(true, Ordering::Relaxed) {
        return Err(Error::new(ErrorKind::Usage, "only one model can come from it").at(place));
    }
    let input = std::io::stdin();
    if input.is_terminal() {
        let error = Error::new(ErrorKind::Usage, "expected a model, found a terminal").at(place);
        return Err(error.help("name a file, or send a model: … - < model.onnx"));
    }
    let mut encoded = Vec::new();
    let read = input.lock().take(LARGEST + 1).read_to_end(&mut encoded);
    read.map_err(|error| failed(place, &error))?;
    if encoded.len() as u64 > LARGEST {
        return Err(Error::new(ErrorKind::Limit, "has more than 2 GiB").at(place));
    }
    read::bytes(encoded.into()).map_err(|error| match error.kind {
        ErrorKind::Unsupported => error.at(place).help("name the model's file instead of `-`"),
        _ => error.at(place),
    })
}

fn failed(place: &str, error: &std::io::Error) -> Error {
    Error::new(ErrorKind::Io, error.to_string()).at(place)
}
