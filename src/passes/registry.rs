//! The registry of passes.

use crate::passes::{ConvertOpset, Pass};

/// A registered pass with its default options.
pub struct Entry {
    /// Makes the pass.
    pub make: fn() -> Box<dyn Pass>,
}

/// All passes, in the documented order.
pub static PASSES: &[Entry] = &[Entry { make: || Box::new(ConvertOpset::default()) }];

/// The registered pass `name` with its default options.
pub fn find(name: &str) -> Option<Box<dyn Pass>> {
    PASSES.iter().map(|entry| (entry.make)()).find(|pass| pass.name() == name)
}
