//! Why a worker is dead, in words.

use std::process::ExitStatus;
use std::time::Duration;

use crate::error::{Error, err};
use crate::exec::isolated::Limits;

/// What the user can do about the time limit.
const MORE_TIME: &str = "give it longer with `--engine-seconds`";
/// What the user can do about the memory limit.
const MORE_MEMORY: &str = "allow more with `--engine-memory`";

/// A call took longer than allowed, and the worker was killed.
pub(super) fn overdue(engine: &str, time: Duration) -> Error {
    let seconds = time.as_secs_f64();
    err!(Engine, "{engine} took longer than {seconds} s and was stopped").help(MORE_TIME)
}

/// What engines say when they get no memory for a tensor: tract in a panic, ONNX Runtime in an error.
const NO_MEMORY: &[&str] =
    &["failed to allocate Layout", "bad_alloc", "Failed to allocate memory for requested buffer"];

/// Whether an error says that a limit on memory or time was met: it is no fault of the model.
pub fn met_a_limit(error: &Error) -> bool {
    matches!(error.help.as_deref(), Some(MORE_TIME | MORE_MEMORY))
}

/// The engine is not started again.
pub(super) fn given_up(engine: &str, lost: Duration) -> Error {
    let seconds = lost.as_secs();
    err!(Engine, "{engine} is not started again: {seconds} s were lost in crashes and hangs")
        .help(MORE_TIME)
}

/// The error of a worker that lives on, in the parent's words.
pub(super) fn told(error: Error, engine: &str, limits: &Limits) -> Error {
    let starved = NO_MEMORY.iter().any(|words| error.message.contains(words));
    if starved { out_of_memory(engine, limits) } else { error }
}

fn out_of_memory(engine: &str, limits: &Limits) -> Error {
    let limit = size(limits.memory);
    err!(Engine, "{engine} asked for more memory than the {limit} it may use").help(MORE_MEMORY)
}

/// The worker ended by itself. `said` is the end of what it wrote to standard error.
pub(super) fn ended(
    status: Option<ExitStatus>,
    said: &str,
    engine: &str,
    limits: &Limits,
) -> Error {
    // These are the words of Rust's runtime, see `std::alloc` and `std::thread`, and of C++'s.
    if said.contains("memory allocation of") || said.contains("std::bad_alloc") {
        return out_of_memory(engine, limits);
    }
    let how = status.map_or_else(|| "no status".to_owned(), how);
    if said.contains("overflowed its stack") {
        return err!(Engine, "{engine} crashed: it overflowed its stack ({how})");
    }
    // A crash is a signal; a process that chose to end has a code.
    let what = match status.and_then(|status| status.code()) {
        Some(_) => "the engine's process ended".to_owned(),
        None => format!("{engine} crashed"),
    };
    let last = said.lines().rev().map(str::trim).find(|line| !line.is_empty());
    match last {
        Some(line) => err!(Engine, "{what} ({how}): {line}"),
        None => err!(Engine, "{what} ({how})"),
    }
}

#[cfg(unix)]
fn how(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    let Some(signal) = status.signal() else { return status.to_string() };
    let name = match signal {
        4 => "illegal instruction",
        6 => "aborted",
        7 | 10 => "bus error",
        8 => "arithmetic error",
        9 => "killed; the machine may be short of memory",
        11 => "segmentation fault",
        _ => return format!("signal {signal}"),
    };
    format!("signal {signal}, {name}")
}

#[cfg(not(unix))]
fn how(status: ExitStatus) -> String {
    status.to_string()
}

/// A number of bytes, rounded.
fn size(bytes: u64) -> String {
    const MIB: f64 = (1u64 << 20) as f64;
    let mib = bytes as f64 / MIB;
    if mib < 1024.0 { format!("{mib:.0} MiB") } else { format!("{:.1} GiB", mib / 1024.0) }
}
