//! Which passes make up a command.

use crate::passes::{
    ConvertOpset, EliminateDead, EliminateIdentity, FoldConstant, FuseBatchNorm, Granularity, Pass,
    QuantizeStatic, StripDebugMetadata, StripInitializerInputs,
};

/// Options of `quantize`.
#[derive(Debug, Clone)]
pub struct QuantizeOptions {
    /// Scales for each channel or for the whole weight.
    pub granularity: Granularity,
    /// Node-name patterns that stay in float.
    pub keep: Vec<String>,
    /// Overridable initializers become constants.
    pub freeze_initializers: bool,
    /// Names of passes to leave out.
    pub skip: Vec<String>,
    /// How much folding constants may add.
    pub fold: FoldConstant,
}

/// The passes of `quantize`, in order.
pub fn quantize(options: &QuantizeOptions) -> Vec<Box<dyn Pass>> {
    let passes: Vec<Box<dyn Pass>> = vec![
        Box::new(StripInitializerInputs { overridable: options.freeze_initializers }),
        Box::new(StripDebugMetadata),
        Box::new(EliminateIdentity),
        Box::new(options.fold),
        Box::new(FuseBatchNorm),
        Box::new(EliminateDead),
        Box::new(ConvertOpset::default()),
        Box::new(QuantizeStatic { granularity: options.granularity, keep: options.keep.clone() }),
        Box::new(EliminateDead),
    ];
    passes.into_iter().filter(|pass| !options.skip.iter().any(|s| s == pass.name())).collect()
}
