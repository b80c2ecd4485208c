//! Which passes make up a command.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::passes::{
    ConvertConstant, ConvertEinsum, ConvertNbits, ConvertOpset, ConvertQoperator, CorrectBias,
    CorrectWeights, EliminateCommon, EliminateDead, EliminateIdentity, EliminateNoOp,
    EliminateSequence, EliminateUnusedOutput, EliminateZeroState, Existing, Factorize,
    FoldConstant, FoldExact, FoldIf, FoldQuantize, FoldShape, FoldTarget, FuseActivation,
    FuseAffine, FuseAttention, FuseBatchNorm, FuseCast, FuseClip, FuseConcat, FuseGather, FuseGemm,
    FuseGroupNorm, FuseLayerNorm, FuseLeadingNorm, FusePad, FuseReduction, FuseReshape, FuseSlice,
    FuseSoftmax, FuseTranspose, Growth, Importance, InlineFunctions, Pass, PruneChannels,
    QuantizeDynamic, QuantizeStatic, QuantizeWeights, RoundWeights, Rounding, Storage,
    StripDebugMetadata, StripInitializerInputs, StripQuantization, UnrollLoop, Width,
};

/// A width, and the names of the layers whose weights have it.
pub type Stored = (Width, BTreeSet<String>);

/// What more bits for the smallest layers may add, as a share.
const WIDEN: f64 = 0.02;

/// Options of `quantize`.
#[derive(Debug, Clone)]
pub struct QuantizePasses {
    /// What becomes integers, and of which type.
    pub quantization: QuantizeStatic,
    /// What weights are stored as where they alone are quantized.
    pub storage: Storage,
    /// In which widths weights are stored, where layers differ in that; all others stay in float.
    pub assigned: Option<Vec<Stored>>,
    /// The smallest layers have their weights stored in 8 bits, where others have fewer, as long as that adds at
    /// most this share to what all weights take.
    pub widen: f64,
    /// How integers of weights are chosen.
    pub rounding: RoundWeights,
    /// The mean error of weights is taken from biases.
    pub correct_biases: bool,
    /// Overridable initializers become constants.
    pub freeze_initializers: bool,
    /// Names of passes to leave out.
    pub skip: Vec<String>,
    /// How much folding constants may add.
    pub fold: Growth,
    /// Layers whose weights alone are stored as integers compute with integers, on ranges that each run
    /// takes.
    pub dynamic: bool,
    /// Writes MatMulNBits of ONNX Runtime instead of blocked DequantizeLinear and products of floats.
    pub nbits: bool,
    /// Writes operators on integers instead of QuantizeLinear and DequantizeLinear around float ones.
    pub qoperator: Option<ConvertQoperator>,
}

impl Default for QuantizePasses {
    fn default() -> Self {
        Self {
            quantization: QuantizeStatic::default(),
            storage: Storage::default(),
            assigned: None,
            widen: WIDEN,
            rounding: RoundWeights::named(Rounding::Auto),
            correct_biases: true,
            freeze_initializers: false,
            skip: Vec::new(),
            fold: Growth::default(),
            dynamic: false,
            nbits: false,
            qoperator: None,
        }
    }
}

impl QuantizePasses {
    /// Integers or biases are chosen by what layers read.
    pub fn is_refined(&self) -> bool {
        self.rounding.method != Rounding::Nearest || self.correct_biases
    }

    /// How weights are stored where they alone are quantized, and all in one way.
    pub(super) fn width(&self) -> Width {
        let (format, granularity) = (self.quantization.weights(), self.quantization.granularity);
        Width { storage: self.storage, format, granularity }
    }

    /// The narrowest integers that weights alone are stored as, where integers of so few bits are chosen by what
    /// layers read.
    pub(super) fn narrow(&self) -> Option<Width> {
        let few = f64::from(RoundWeights::named(Rounding::Auto).most_bits);
        let widths: Vec<Width> = match &self.assigned {
            Some(assigned) => assigned.iter().map(|(width, _)| *width).collect(),
            None => vec![self.width()],
        };
        let narrow = |width: &Width| width.storage == Storage::Integers && width.bits() <= few;
        let widths = widths.into_iter().filter(narrow);
        let widths = widths.filter(|_| self.quantization.weights_only && !self.dynamic);
        widths.min_by(|a, b| a.bits().total_cmp(&b.bits()))
    }

    /// The passes that store weights alone.
    fn weights(&self) -> Vec<QuantizeWeights> {
        let pass = |(width, layers): &Stored| width.pass(&self.quantization, layers.clone());
        match &self.assigned {
            Some(assigned) => assigned.iter().map(pass).collect(),
            None => vec![QuantizeWeights::new(self.quantization.clone(), self.storage)],
        }
    }

    /// Some weights are stored as integers of 2 bits.
    fn has_two_bits(&self) -> bool {
        let narrow =
            |width: &Width| width.storage == Storage::Integers && width.format.dtype.bits() == 2;
        match &self.assigned {
            Some(assigned) => assigned.iter().any(|(width, _)| narrow(width)),
            None => narrow(&self.width()),
        }
    }

    /// The operator set that the types ask for.
    fn opset(&self) -> i64 {
        match self.quantization.weights_only {
            true => self.weights().iter().map(QuantizeWeights::opset).max().unwrap_or(0),
            false => self.quantization.opset(),
        }
    }

    /// The same with biases as they are.
    #[must_use]
    pub(super) fn without_biases(&self) -> Self {
        Self { correct_biases: false, ..self.clone() }
    }

    /// The same without methods that choose integers by what layers read.
    #[must_use]
    pub fn plain(&self) -> Self {
        let rounding = RoundWeights::named(Rounding::Nearest);
        Self { rounding, correct_biases: false, ..self.clone() }
    }
}

/// The passes that make a model ready to be quantized, in order: those of `simplify`, and the
/// operator set that quantization needs. [`settle`](crate::pipeline::settle()) repeats them.
pub fn prepare(options: &QuantizePasses) -> Vec<Box<dyn Pass>> {
    let mut passes = simplify(&SimplifyPasses {
        freeze_initializers: options.freeze_initializers,
        inline_functions: true,
        fold: options.fold,
        skip: options.skip.clone(),
        ..SimplifyPasses::default()
    });
    if options.quantization.existing == Existing::Strip {
        passes.insert(0, Box::new(StripQuantization));
    }
    passes.push(Box::new(ConvertEinsum));
    passes.push(Box::new(StripDebugMetadata));
    passes.push(Box::new(ConvertOpset { target: options.opset() }));
    left(passes, &options.skip)
}

/// The passes that quantize a model that is ready for it, in order. Those that make it more accurate
/// need the model before as [`Context::reference`](crate::passes::Context::reference).
pub fn quantize(options: &QuantizePasses) -> Vec<Box<dyn Pass>> {
    let skipped = |name: &str| options.skip.iter().any(|skipped| skipped == name);
    let mut passes: Vec<Box<dyn Pass>> = Vec::new();
    if !options.quantization.wide.is_empty() {
        // Found to be needed after the model was prepared.
        passes.push(Box::new(ConvertOpset { target: options.opset() }));
    }
    match options.quantization.weights_only {
        true => {
            let weights = options.weights().into_iter();
            passes.extend(weights.map(|pass| Box::new(pass) as Box<dyn Pass>));
        }
        false => passes.push(Box::new(options.quantization.clone())),
    }
    if options.rounding.method != Rounding::Nearest {
        let biases_follow = options.correct_biases && !skipped(CorrectBias.name());
        passes.push(Box::new(RoundWeights { biases_follow, ..options.rounding.clone() }));
    }
    if options.correct_biases {
        passes.push(Box::new(CorrectBias));
    }
    if options.dynamic {
        passes.push(Box::new(QuantizeDynamic::new(options.quantization.clone())));
    }
    if options.nbits || options.has_two_bits() {
        passes.push(Box::new(ConvertNbits { microsoft: options.nbits }));
    }
    passes.push(Box::new(EliminateDead));
    if let Some(pass) = options.qoperator {
        passes.push(Box::new(pass));
    }
    left(passes, &options.skip)
}

/// How a cut model is repaired.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Repair {
    /// Not at all.
    #[default]
    Off,
    /// What reads a channel that is cut reads a similar one that stays instead; needs no samples.
    Merge,
    /// Weights and biases are fitted to what layers gave before, on samples.
    LeastSquares,
}

/// Options of `prune`.
#[derive(Debug, Clone, Default)]
pub struct PrunePasses {
    /// What is cut.
    pub pruning: PruneChannels,
    /// How what is left makes up for it.
    pub repair: Repair,
    /// Overridable initializers become constants.
    pub freeze_initializers: bool,
    /// Names of passes to leave out.
    pub skip: Vec<String>,
    /// How much folding constants may add.
    pub fold: Growth,
}

/// The passes that make a model ready to be pruned, in order: those of `simplify`, after which shapes
/// and weights are constants. [`settle`](crate::pipeline::settle()) repeats them.
pub fn prepare_prune(options: &PrunePasses) -> Vec<Box<dyn Pass>> {
    let mut skip = options.skip.clone();
    if options.pruning.importance == Importance::BnScale {
        // They are folded afterwards.
        skip.extend([FuseBatchNorm.name(), FuseAffine.name()].map(str::to_owned));
    }
    simplify(&SimplifyPasses {
        freeze_initializers: options.freeze_initializers,
        inline_functions: true,
        fold: options.fold,
        skip,
        ..SimplifyPasses::default()
    })
}

/// The pass that prunes a model that is ready for it.
pub fn prune(options: &PrunePasses) -> Vec<Box<dyn Pass>> {
    let merge = options.pruning.merge || options.repair == Repair::Merge;
    let pruning = PruneChannels { merge, ..options.pruning.clone() };
    left(vec![Box::new(pruning)], &options.skip)
}

/// The passes that follow a cut, in order. Those that repair it need the model before as
/// [`Context::reference`](crate::passes::Context::reference).
pub fn repair(options: &PrunePasses) -> Vec<Box<dyn Pass>> {
    let mut passes: Vec<Box<dyn Pass>> = Vec::new();
    if options.repair == Repair::LeastSquares {
        let survivors = options.pruning.survivors.clone();
        passes.push(Box::new(CorrectWeights { survivors }));
    }
    if options.pruning.importance == Importance::BnScale {
        passes.extend([Box::new(FuseBatchNorm) as Box<dyn Pass>, Box::new(FuseAffine)]);
    }
    passes.push(Box::new(EliminateCommon));
    passes.push(Box::new(EliminateDead));
    left(passes, &options.skip)
}

/// Options of `factorize`.
#[derive(Debug, Clone, Default)]
pub struct FactorizePasses {
    /// What is split, and how far.
    pub factorize: Factorize,
    /// The last part of each layer, and all layers behind it, are fitted to what layers gave before.
    pub refit: bool,
    /// Overridable initializers become constants.
    pub freeze_initializers: bool,
    /// Names of passes to leave out.
    pub skip: Vec<String>,
    /// How much folding constants may add.
    pub fold: Growth,
}

/// The passes that make a model ready to be factorized, in order, as for pruning.
pub fn prepare_factorize(options: &FactorizePasses) -> Vec<Box<dyn Pass>> {
    prepare_prune(&PrunePasses {
        freeze_initializers: options.freeze_initializers,
        skip: options.skip.clone(),
        fold: options.fold,
        ..PrunePasses::default()
    })
}

/// The passes that factorize a model that is ready for it, in order. Those that refit it need the model
/// before as [`Context::reference`](crate::passes::Context::reference).
pub fn factorize(options: &FactorizePasses) -> Vec<Box<dyn Pass>> {
    let mut passes: Vec<Box<dyn Pass>> = vec![Box::new(options.factorize.clone())];
    if options.refit {
        let survivors = options.factorize.survivors.clone();
        passes.push(Box::new(CorrectWeights { survivors }));
    }
    passes.push(Box::new(EliminateDead));
    left(passes, &options.skip)
}

/// The passes that are not to be left out.
fn left(mut passes: Vec<Box<dyn Pass>>, skip: &[String]) -> Vec<Box<dyn Pass>> {
    passes.retain(|pass| !skip.iter().any(|name| name == pass.name()));
    passes
}

/// Options of `simplify`.
#[derive(Debug, Clone)]
pub struct SimplifyPasses {
    /// Overridable initializers become constants.
    pub freeze_initializers: bool,
    /// Calls of model-local functions are replaced by their nodes.
    pub inline_functions: bool,
    /// The default operator set is raised to this version first.
    pub opset: Option<i64>,
    /// How much folding constants may add.
    pub fold: Growth,
    /// Operators of com.microsoft may be used.
    pub microsoft: bool,
    /// Names of passes to leave out.
    pub skip: Vec<String>,
    /// Names of the passes to run; all when empty.
    pub only: Vec<String>,
}

impl Default for SimplifyPasses {
    fn default() -> Self {
        Self {
            freeze_initializers: false,
            inline_functions: false,
            opset: None,
            fold: SIMPLIFY_GROWTH,
            microsoft: false,
            skip: Vec::new(),
            only: Vec::new(),
        }
    }
}

/// How much folding may add in `simplify`: the parameters of a layer that are computed (64 KiB), but
/// no weights; 1 MiB in all is little beside a model of so many nodes.
pub const SIMPLIFY_GROWTH: Growth = Growth { tensor_growth: 64 << 10, total_growth: 1 << 20 };

/// The passes of `simplify`, in order; [`settle`](crate::pipeline::settle()) repeats them.
pub fn simplify(options: &SimplifyPasses) -> Vec<Box<dyn Pass>> {
    let mut passes: Vec<Box<dyn Pass>> = Vec::new();
    if options.inline_functions {
        passes.push(Box::new(InlineFunctions));
    }
    if let Some(target) = options.opset {
        passes.push(Box::new(ConvertOpset { target }));
    }
    let fold = FoldExact::within(options.fold);
    let beside = FoldConstant::beside(&fold);
    let others: Vec<Box<dyn Pass>> = vec![
        Box::new(StripInitializerInputs { overridable: options.freeze_initializers }),
        Box::new(ConvertConstant),
        Box::new(EliminateIdentity),
        Box::new(EliminateNoOp),
        Box::new(FoldIf),
        Box::new(UnrollLoop::default()),
        Box::new(EliminateSequence),
        Box::new(FoldShape),
        Box::new(FoldTarget),
        Box::new(fold),
        Box::new(beside),
        Box::new(FoldQuantize),
        Box::new(EliminateUnusedOutput),
        Box::new(EliminateZeroState),
        Box::new(EliminateCommon),
        Box::new(FuseCast),
        Box::new(FuseTranspose),
        Box::new(FuseReshape),
        Box::new(FuseConcat),
        Box::new(FuseSlice),
        Box::new(FuseGather),
        Box::new(FusePad),
        Box::new(FuseClip),
        Box::new(FuseBatchNorm),
        Box::new(FuseAffine),
        Box::new(FuseGemm),
        Box::new(FuseLeadingNorm),
        Box::new(FuseReduction),
        Box::new(FuseSoftmax),
        Box::new(FuseActivation { microsoft: options.microsoft }),
        Box::new(FuseLayerNorm),
        Box::new(FuseGroupNorm),
        Box::new(FuseAttention),
        Box::new(EliminateDead),
    ];
    passes.extend(others);
    let named = |names: &[String], pass: &dyn Pass| names.iter().any(|name| name == pass.name());
    passes.retain(|pass| {
        let wanted = options.only.is_empty() || named(&options.only, &**pass);
        wanted && !named(&options.skip, &**pass)
    });
    passes
}
