//! Edits: each pass changes a model in one way. Passes open no files and know no engine.

mod axes;
mod bypass;
mod convert_constant;
mod convert_einsum;
mod convert_nbits;
mod convert_opset;
mod convert_qoperator;
mod correct_bias;
mod correct_weights;
mod eliminate_common;
mod eliminate_dead;
mod eliminate_identity;
mod eliminate_no_op;
mod eliminate_sequence;
mod eliminate_unused_output;
mod eliminate_zero_state;
mod equalize_channels;
mod factorize;
mod fold_constant;
mod fold_exact;
mod fold_if;
mod fold_quantize;
mod fold_shape;
mod fold_target;
mod folding;
mod fuse_activation;
mod fuse_affine;
mod fuse_attention;
mod fuse_batch_norm;
mod fuse_cast;
mod fuse_clip;
mod fuse_concat;
mod fuse_gather;
mod fuse_gemm;
mod fuse_group_norm;
mod fuse_layer_norm;
mod fuse_leading_norm;
mod fuse_pad;
mod fuse_reduction;
mod fuse_reshape;
mod fuse_slice;
mod fuse_softmax;
mod fuse_transpose;
mod inline_functions;
mod linear;
mod look;
mod pattern;
mod prune_channels;
mod prune_weights;
mod quantize_dynamic;
mod quantize_static;
mod quantize_weights;
mod registry;
mod round_weights;
mod rule;
mod shared_constants;
mod stored;
mod strip_debug_metadata;
mod strip_initializer_inputs;
mod strip_quantization;
mod summand;
mod unroll_loop;

pub use convert_constant::ConvertConstant;
pub use convert_einsum::ConvertEinsum;
pub use convert_nbits::ConvertNbits;
pub use convert_opset::ConvertOpset;
pub use convert_qoperator::ConvertQoperator;
pub use correct_bias::CorrectBias;
pub use correct_weights::{CorrectWeights, InputMoments, Survivors};
pub use eliminate_common::EliminateCommon;
pub(crate) use eliminate_common::is_random;
pub use eliminate_dead::EliminateDead;
pub use eliminate_identity::EliminateIdentity;
pub use eliminate_no_op::EliminateNoOp;
pub use eliminate_sequence::EliminateSequence;
pub use eliminate_unused_output::EliminateUnusedOutput;
pub use eliminate_zero_state::EliminateZeroState;
pub use equalize_channels::{Equalize, EqualizeChannels};
pub use factorize::{
    Aim, Chosen, Factorize, Form, Known, LayerLoss, Layers, Method, Plan, Ranks, Split, Splittable,
};
pub use fold_constant::FoldConstant;
pub use fold_exact::FoldExact;
pub use fold_if::FoldIf;
pub use fold_quantize::FoldQuantize;
pub use fold_shape::FoldShape;
pub use fold_target::FoldTarget;
pub use folding::Growth;
pub use fuse_activation::FuseActivation;
pub use fuse_affine::FuseAffine;
pub use fuse_attention::FuseAttention;
pub use fuse_batch_norm::FuseBatchNorm;
pub use fuse_cast::FuseCast;
pub use fuse_clip::FuseClip;
pub use fuse_concat::FuseConcat;
pub use fuse_gather::FuseGather;
pub use fuse_gemm::FuseGemm;
pub use fuse_group_norm::FuseGroupNorm;
pub use fuse_layer_norm::FuseLayerNorm;
pub use fuse_leading_norm::FuseLeadingNorm;
pub use fuse_pad::FusePad;
pub use fuse_reduction::FuseReduction;
pub use fuse_reshape::FuseReshape;
pub use fuse_slice::FuseSlice;
pub use fuse_softmax::FuseSoftmax;
pub use fuse_transpose::FuseTranspose;
pub use inline_functions::InlineFunctions;
pub use pattern::fitting;
pub use prune_channels::{
    Allocation, Amount, Budget, Fitted, Importance, Loss, Measured, Part, PruneChannels, Resource,
    Surveyed, separate_vectors,
};
pub use prune_weights::{Criterion, PruneWeights, Scope, Zeros};
pub use quantize_dynamic::QuantizeDynamic;
pub use quantize_static::{
    Existing, Format, Granularity, Port, QuantizeStatic, Target, quantize_interface,
};
pub use quantize_weights::{QuantizeWeights, Storage, WeightSite, Width, WidthCost, spread_widths};
pub use registry::{Entry, PASSES, find};
pub use round_weights::{Decisions, RoundWeights, Rounding};
pub use rule::{Match, Rule};
pub(crate) use stored::StoredWeight;
pub use strip_debug_metadata::StripDebugMetadata;
pub use strip_initializer_inputs::StripInitializerInputs;
pub use strip_quantization::StripQuantization;
pub use unroll_loop::UnrollLoop;

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use crate::analysis::{Assume, Evaluate, Measure, Progress, Shapes};
use crate::error::Result;
use crate::ir::{Model, NodeId};

/// An edit of a model.
pub trait Pass {
    /// Kebab-case name, verb first: also the name of its file, page, tests and report.
    fn name(&self) -> &'static str;

    /// What it does, in one sentence.
    fn summary(&self) -> &'static str;

    /// How far outputs may move; checked by execution.
    fn promise(&self) -> Promise;

    /// How many nodes downstream of an edit this pass may now find something to do.
    fn reach(&self) -> usize {
        1
    }

    /// Makes up for what the pass before it lost: both are judged together.
    fn mends(&self) -> bool {
        false
    }

    /// Edits `model` and says what was done and what was refused.
    ///
    /// # Errors
    /// When the user asked for the impossible. "Does not apply here" is a note, not an error.
    fn run(&self, model: &mut Model, cx: &Context<'_>) -> Result<Report>;
}

/// How far the outputs of a model may move under a pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Promise {
    /// Same arithmetic on the same numbers.
    Exact,
    /// Mathematically equal; differs by floating-point rounding.
    Rounding,
    /// Approximates the model.
    Lossy,
}

impl fmt::Display for Promise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Exact => "exact",
            Self::Rounding => "rounding",
            Self::Lossy => "lossy",
        })
    }
}

/// What passes may ask for: facts that only running a model gives, and what the caller knows about
/// the model already.
#[derive(Clone, Copy, Default)]
pub struct Context<'a> {
    /// Computes constant expressions.
    pub evaluate: Option<&'a dyn Evaluate>,
    /// Measures values over the calibration samples.
    pub measure: Option<&'a dyn Measure>,
    /// Shapes of the values of the model, at most older than values made since; inferred when
    /// needed if they are not given.
    pub shapes: Option<&'a Shapes>,
    /// The model before it was quantized, of which the model is an edited copy: what kept its id is the
    /// same node or value.
    pub reference: Option<&'a Model>,
    /// Where something may have changed since the pass last ran; everywhere when it is not given.
    pub near: Option<&'a [NodeId]>,
    /// Told about work that takes long.
    pub progress: Option<&'a dyn Progress>,
}

impl<'a> Context<'a> {
    /// What is told about work that takes long, or what does nothing.
    pub fn progress(&self) -> &'a dyn Progress {
        self.progress.unwrap_or(&())
    }

    /// The shapes that were given, or those that follow from `model` alone.
    pub fn shapes_of(&self, model: &Model) -> Cow<'a, Shapes> {
        match self.shapes {
            Some(shapes) => Cow::Borrowed(shapes),
            None => Cow::Owned(Shapes::infer(model, &Assume::default())),
        }
    }
}

/// What a pass did.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Report {
    /// Edits made, in order.
    pub done: Vec<Note>,
    /// Edits declined, in order.
    pub refused: Vec<Note>,
    /// What the user must know, e.g. that the operator set was raised.
    pub warnings: Vec<String>,
    /// What was gained by methods that work layer by layer.
    pub layers: Vec<LayerNote>,
}

/// What a method did for the accuracy of one layer.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerNote {
    /// The layer in words.
    pub place: String,
    /// Name of the method.
    pub method: &'static str,
    /// Mean squared error that the weights make in an output on held-out samples, before and after; of
    /// `correct-bias` the part that is the same in all samples.
    pub errors: (f64, f64),
    /// Mean square of an output there; 0 when it was not measured.
    pub signal: f64,
}

/// One edit made or declined.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Note {
    /// Place in words, e.g. ``node `conv1` (Conv)``.
    pub place: String,
    /// What was done, or why it was not.
    pub text: String,
}

impl Report {
    /// Records an edit.
    pub fn did(&mut self, place: impl Into<String>, text: impl Into<String>) {
        self.done.push(Note { place: place.into(), text: text.into() });
    }

    /// Records an edit that was declined, with the reason.
    pub fn refuse(&mut self, place: impl Into<String>, text: impl Into<String>) {
        self.refused.push(Note { place: place.into(), text: text.into() });
    }

    /// Adds what a later run of the same pass did; what it declined again stands there once.
    pub fn extend(&mut self, later: Self) {
        self.done.extend(later.done);
        self.layers.extend(later.layers);
        let known: HashSet<Note> = self.refused.iter().cloned().collect();
        self.refused.extend(later.refused.into_iter().filter(|note| !known.contains(note)));
        let warnings = later.warnings.into_iter().filter(|w| !self.warnings.contains(w));
        self.warnings.extend(warnings.collect::<Vec<_>>());
    }

    /// True when the model was edited.
    pub fn changed(&self) -> bool {
        !self.done.is_empty()
    }
}
