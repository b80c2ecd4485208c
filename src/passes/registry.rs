//! The registry of passes.

use crate::passes::{
    ConvertConstant, ConvertEinsum, ConvertNbits, ConvertOpset, ConvertQoperator, CorrectBias,
    CorrectWeights, EliminateCommon, EliminateDead, EliminateIdentity, EliminateNoOp,
    EliminateSequence, EliminateUnusedOutput, EliminateZeroState, EqualizeChannels, Factorize,
    FoldConstant, FoldExact, FoldIf, FoldQuantize, FoldShape, FoldTarget, FuseActivation,
    FuseAffine, FuseAttention, FuseBatchNorm, FuseCast, FuseClip, FuseConcat, FuseGather, FuseGemm,
    FuseGroupNorm, FuseLayerNorm, FuseLeadingNorm, FusePad, FuseReduction, FuseReshape, FuseSlice,
    FuseSoftmax, FuseTranspose, InlineFunctions, Pass, PruneChannels, PruneWeights,
    QuantizeDynamic, QuantizeStatic, QuantizeWeights, RoundWeights, StripDebugMetadata,
    StripInitializerInputs, StripQuantization, UnrollLoop,
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
    Entry { make: || Box::new(ConvertConstant) },
    Entry { make: || Box::new(EliminateIdentity) },
    Entry { make: || Box::new(EliminateNoOp) },
    Entry { make: || Box::new(FoldIf) },
    Entry { make: || Box::new(UnrollLoop::default()) },
    Entry { make: || Box::new(EliminateSequence) },
    Entry { make: || Box::new(FoldShape) },
    Entry { make: || Box::new(FoldTarget) },
    Entry { make: || Box::new(FoldExact::default()) },
    Entry { make: || Box::new(FoldConstant::default()) },
    Entry { make: || Box::new(FoldQuantize) },
    Entry { make: || Box::new(EliminateUnusedOutput) },
    Entry { make: || Box::new(EliminateZeroState) },
    Entry { make: || Box::new(EliminateCommon) },
    Entry { make: || Box::new(FuseCast) },
    Entry { make: || Box::new(FuseTranspose) },
    Entry { make: || Box::new(FuseReshape) },
    Entry { make: || Box::new(FuseConcat) },
    Entry { make: || Box::new(FuseSlice) },
    Entry { make: || Box::new(FuseGather) },
    Entry { make: || Box::new(FusePad) },
    Entry { make: || Box::new(FuseClip) },
    Entry { make: || Box::new(FuseBatchNorm) },
    Entry { make: || Box::new(FuseAffine) },
    Entry { make: || Box::new(FuseGemm) },
    Entry { make: || Box::new(FuseLeadingNorm) },
    Entry { make: || Box::new(FuseReduction) },
    Entry { make: || Box::new(FuseSoftmax) },
    Entry { make: || Box::new(FuseActivation::default()) },
    Entry { make: || Box::new(FuseLayerNorm) },
    Entry { make: || Box::new(FuseGroupNorm) },
    Entry { make: || Box::new(FuseAttention) },
    Entry { make: || Box::new(PruneChannels::default()) },
    Entry { make: || Box::new(PruneWeights::default()) },
    Entry { make: || Box::new(Factorize::default()) },
    Entry { make: || Box::new(StripQuantization) },
    Entry { make: || Box::new(ConvertEinsum) },
    Entry { make: || Box::new(ConvertOpset::default()) },
    Entry { make: || Box::new(EqualizeChannels::default()) },
    Entry { make: || Box::new(QuantizeStatic::default()) },
    Entry { make: || Box::new(QuantizeWeights::default()) },
    Entry { make: || Box::new(RoundWeights::default()) },
    Entry { make: || Box::new(CorrectBias) },
    Entry { make: || Box::new(CorrectWeights::default()) },
    Entry { make: || Box::new(QuantizeDynamic::default()) },
    Entry { make: || Box::new(ConvertNbits::default()) },
    Entry { make: || Box::new(EliminateDead) },
    Entry { make: || Box::new(ConvertQoperator::default()) },
];

/// The registered pass `name` with its default options.
pub fn find(name: &str) -> Option<Box<dyn Pass>> {
    PASSES.iter().map(|entry| (entry.make)()).find(|pass| pass.name() == name)
}
