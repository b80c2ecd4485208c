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
pub(super) fn overdue(time: Duration) -> Error {
    let seconds = time.as_secs_f64();
    err!(Engine, "tract took longer than {seconds} s and was stopped").help(MORE_TIME)
}

/// What tract says, as a panic, when it gets no memory for a tensor.
const NO_MEMORY: &str = "failed to allocate Layout";

/// The error of a worker that lives on, in the parent's words.
pub(super) fn told(error: Error, limits: &Limits) -> Error {
    if error.message.contains(NO_MEMORY) { out_of_memory(limits) } else { error }
}

fn out_of_memory(limits: &Limits) -> Error {
    let limit = size(limits.memory);
    err!(Engine, "tract asked for more memory than the {limit} it may use").help(MORE_MEMORY)
}

/// The worker ended by itself. `said` is the end of what it wrote to standard error.
pub(super) fn ended(status: Option<ExitStatus>, said: &str, limits: &Limits) -> Error {
    // These are the words of Rust's runtime, see `std::alloc` and `std::thread`.
    if said.contains("memory allocation of") {
        return out_of_memory(limits);
    }
    let how = status.map_or_else(|| "no status".to_owned(), how);
    if said.contains("overflowed its stack") {
        return err!(Engine, "tract crashed: it overflowed its stack ({how})");
    }
    // A crash is a signal; a process that chose to end has a code.
    let what = match status.and_then(|status| status.code()) {
        Some(_) => "the engine's process ended",
        None => "tract crashed",
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
