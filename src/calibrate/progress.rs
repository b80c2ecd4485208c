//! How far a long job is.

/// Told about the runs of a job; the default does nothing.
pub trait Progress: Sync {
    /// The job starts; it has `runs` runs.
    fn start(&self, _runs: usize) {}

    /// A run has ended.
    fn step(&self) {}

    /// The job has ended, well or badly.
    fn finish(&self) {}
}

impl Progress for () {}
