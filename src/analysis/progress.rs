//! How far a long job is.

/// Told about the steps of a job; the default does nothing.
pub trait Progress: Sync {
    /// A job starts, perhaps within another one: what is done, and in how many steps.
    fn start(&self, _work: &'static str, _steps: usize) {}

    /// A step has ended.
    fn step(&self) {}

    /// Something to know before work that takes long.
    fn say(&self, _text: &str) {}

    /// The job that started last has ended, well or badly.
    fn finish(&self) {}
}

impl Progress for () {}
