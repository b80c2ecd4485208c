//! What a worker may use.

use std::time::Duration;

use crate::error::{Result, err};

/// What a worker of [`Isolated`](crate::exec::Isolated) may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of memory that each worker may allocate; enforced on Linux. Half of the machine's
    /// memory by default, so that the two workers of a comparison fit.
    pub memory: u64,
    /// Longest that preparing a model, or one run, may take: 2 minutes by default, a hundred times
    /// what is usual.
    pub time: Duration,
    /// Runs that one worker makes at a time; the number of processors by default.
    pub threads: usize,
}

/// What a model may use whatever its size: 400 MiB, and 8 s.
const SMALLEST: Limits = Limits { memory: 400 << 20, time: Duration::from_secs(8), threads: 1 };
/// Memory for each byte of a model, and for each byte of the inputs of a run: several times what known models
/// take, most of whose values are wider than what they read.
const OF_MODEL: u64 = 64;
const OF_INPUTS: u64 = 128;
/// Bytes of both for each of which there is a second more: models of 50 MB have the usual time.
const BYTES_A_SECOND: u64 = 500_000;

impl Limits {
    /// The usual limits, lowered for a model of `model` bytes whose runs read `inputs` bytes: a file of a few
    /// hundred bytes may not take gigabytes and minutes.
    #[must_use]
    pub fn of_size(model: u64, inputs: u64, threads: usize) -> Self {
        let usual = Self { threads, ..Self::default() };
        let runs = inputs.saturating_mul(threads as u64);
        let memory = model.saturating_mul(OF_MODEL).saturating_add(runs.saturating_mul(OF_INPUTS));
        let seconds = model.saturating_add(inputs) / BYTES_A_SECOND;
        Self {
            memory: SMALLEST.memory.saturating_add(memory).min(usual.memory),
            time: SMALLEST.time.saturating_add(Duration::from_secs(seconds)).min(usual.time),
            threads,
        }
    }
}

/// Used where the size of the memory is not known.
const MEMORY: u64 = 8 << 30;

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: machine_memory().map_or(MEMORY, |bytes| bytes / 2),
            time: Duration::from_secs(120),
            threads: std::thread::available_parallelism().map_or(1, usize::from),
        }
    }
}

#[cfg(target_os = "linux")]
fn machine_memory() -> Option<u64> {
    let info = rustix::system::sysinfo();
    // Its types differ between processors.
    #[allow(clippy::useless_conversion, reason = "needed on 32-bit processors")]
    u64::from(info.totalram).checked_mul(u64::from(info.mem_unit))
}

#[cfg(not(target_os = "linux"))]
fn machine_memory() -> Option<u64> {
    None
}

/// Limits the calling process to `memory` bytes of data, and spares the machine its core dumps.
#[cfg(unix)]
pub(super) fn apply(memory: u64) -> Result<()> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let lower = |resource: Resource, limit: u64| {
        // What is already forbidden stays so.
        let maximum = getrlimit(resource).maximum;
        let limit = Some(maximum.map_or(limit, |maximum| maximum.min(limit)));
        setrlimit(resource, Rlimit { current: limit, maximum: limit })
            .map_err(|error| err!(Engine, "cannot limit the engine's process: {error}"))
    };
    // One byte, not none: that also keeps a core from being piped into a program (core(5)).
    lower(Resource::Core, 1)?;
    // Data rather than address space: mapped files and reserved addresses are no memory.
    lower(Resource::Data, memory)?;
    #[cfg(target_os = "linux")]
    // When memory runs out all the same, this process goes first. Not every system lets us say so.
    let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
    Ok(())
}

#[cfg(not(unix))]
pub(super) fn apply(_memory: u64) -> Result<()> {
    Ok(())
}

/// The most memory that the calling process has had since [`forget_peak_memory`], in bytes.
#[cfg(target_os = "linux")]
pub(super) fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kilobytes.checked_mul(1 << 10)
}

#[cfg(not(target_os = "linux"))]
pub(super) fn peak_memory() -> Option<u64> {
    None
}

/// Begins to count from what the calling process has now.
pub(super) fn forget_peak_memory() {
    // Resets the mark, see proc_pid_clear_refs(5). Where that is forbidden, the mark is that of all.
    #[cfg(target_os = "linux")]
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_grow_with_the_model_up_to_the_usual_ones() {
        let usual = Limits { threads: 2, ..Limits::default() };
        let [tiny, small, large] =
            [1_000, 3_000_000, 1_000_000_000].map(|bytes| Limits::of_size(bytes, 0, 2));
        assert!(tiny.memory < 500 << 20 && tiny.time < Duration::from_secs(10), "{tiny:?}");
        assert!(tiny.memory < small.memory && tiny.time < small.time);
        assert_eq!(large, usual);
        assert_eq!(Limits::of_size(0, u64::MAX, 2), usual);
        assert!(Limits::of_size(1_000, 1_000_000, 2).memory > tiny.memory);
    }
}
