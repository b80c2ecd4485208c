//! The registry of passes.

use crate::passes::{
    ConvertOpset, EliminateDead, EliminateIdentity, FoldConstant, FuseBatchNorm, InlineFunctions,
    Pass, QuantizeStatic, StripDebugMetadata, StripInitializerInputs,
};

/// A registered pass with its default options.
pub struct Entry {
    /// Makes the pass.
    pub make: fn() -> Box<dyn Pass>,
}

/// All passes, in the documented order.
pub static PASSES: &[Entry] = &[
    Entry { make: || Box::new(StripInitializerInputs::default()) },
    Entry { make: || Box::new(StripDebugMetadata) },
    Entry { make: || Box::new(InlineFunctions) },
    Entry { make: || Box::new(EliminateIdentity) },
    Entry { make: || Box::new(FoldConstant::default()) },
    Entry { make: || Box::new(FuseBatchNorm) },
    Entry { make: || Box::new(ConvertOpset::default()) },
    Entry { make: || Box::new(QuantizeStatic::default()) },
    Entry { make: || Box::new(EliminateDead) },
];

/// The registered pass `name` with its default options.
pub fn find(name: &str) -> Option<Box<dyn Pass>> {
    PASSES.iter().map(|entry| (entry.make)()).find(|pass| pass.name() == name)
}
