//! `quantize-static`: see `docs/passes/quantize-static.md`.
//!
//! `table` says what each operator is, `target` what each runtime wants, `kernels` what none has, `candidate` looks
//! at a node with weights, `chain` at the nodes between, `plan` decides without editing, `sharing` lets the readers of
//! a weight agree, `width` in how many bits, `ties` what is too different for one grid, `grids`, `format` and `weights`
//! make the integers, `insert`, `forms`, `pairs`, `moves` and `rows` edit.

mod candidate;
mod chain;
mod format;
mod forms;
mod grids;
mod insert;
mod interface;
mod kernels;
mod lookup;
mod moves;
mod pairs;
mod plan;
mod rows;
mod runs;
mod sharing;
mod table;
mod target;
mod ties;
mod weights;
mod width;

pub use format::Format;
pub use interface::{Port, quantize_interface};
pub(in crate::passes) use plan::Storable;
pub(in crate::passes) use table::clipped_to;
pub use target::{IntegerOperators, Target};

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::error::{Result, err};
use crate::ir::{Model, NodeId};
use crate::passes::{Context, Pass, Promise, Report};

use format::{FLOAT8_OPSET, NARROW_OPSET, PER_AXIS_OPSET, WIDE_OPSET};

/// The first operator set that has QuantizeLinear and DequantizeLinear.
const FIRST_OPSET: i64 = 10;

/// Inserts QuantizeLinear/DequantizeLinear with scales from calibration data where a target computes
/// with integers, and stores weights as integers.
#[derive(Debug, Clone, Default)]
pub struct QuantizeStatic {
    /// Only weights become integers; all arithmetic stays float, and no ranges are asked for, as
    /// [`QuantizeWeights`](crate::passes::QuantizeWeights) wants it.
    pub weights_only: bool,
    /// The runtime that the result is made for.
    pub target: Target,
    /// Type of activations; the target's own when not given.
    pub activations: Option<Format>,
    /// Type of weights; the target's own when not given.
    pub weights: Option<Format>,
    /// How many weights share a scale.
    pub granularity: Granularity,
    /// Nodes that stay in float: patterns on node names, `*` stands for any text.
    pub keep: Vec<String>,
    /// The nodes that are looked at, by name; all when not given.
    pub only: Option<BTreeSet<String>>,
    /// Nodes that compute with floats while their weights are stored as integers, likewise.
    pub stored: Vec<String>,
    /// Nodes that read and write activations of [`Self::wide_activations`], likewise.
    pub wide: Vec<String>,
    /// What becomes of quantization that is in the model already.
    pub existing: Existing,
    /// Tables of 4 bits get blocks behind a DequantizeLinear, of which
    /// [`ConvertNbits`](crate::passes::ConvertNbits) makes one operator; others have 8 bits.
    pub packed_tables: bool,
    /// Quantizes inputs and outputs of the model, too, so that
    /// [`quantize_interface`] can make them integers.
    pub interface: bool,
}

/// How many weights share a scale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Granularity {
    /// One scale for the whole tensor.
    Tensor,
    /// One scale for each output channel.
    #[default]
    Channel,
    /// One scale for so many neighbours along the input channels.
    Block(usize),
}

/// What becomes of quantization that is in the model already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Existing {
    /// A model that holds any is left as it is.
    #[default]
    Keep,
    /// What is quantized stays, the rest is quantized.
    Complete,
    /// It is removed before, by [`StripQuantization`](crate::passes::StripQuantization); what that
    /// pass leaves stays.
    Strip,
}

impl QuantizeStatic {
    /// The type of activations.
    pub fn activations(&self) -> Format {
        self.activations.unwrap_or(self.target.rules().activations)
    }

    /// The type of weights.
    pub fn weights(&self) -> Format {
        self.weights.unwrap_or(self.target.rules().weights)
    }

    /// The type of activations that single nodes may have; nothing where the target knows none, or where
    /// all activations are as wide.
    pub fn wide_activations(&self) -> Option<Format> {
        let usual = self.activations();
        let dtype = self.target.rules().wide_activations;
        let dtype = dtype.filter(|_| !self.weights_only && usual.is_small());
        dtype.map(|dtype| Format { dtype, ..usual })
    }

    /// That [`Self::wide`] can be had.
    ///
    /// # Errors
    /// When it names nodes and [`Self::wide_activations`] is nothing.
    pub fn check_wide(&self) -> Result<()> {
        if self.wide.is_empty() || self.wide_activations().is_some() {
            return Ok(());
        }
        let (target, all) = (self.target.name(), self.activations().dtype);
        let knows = |target: &Target| target.rules().wide_activations.is_some();
        if knows(&self.target) {
            return Err(err!(
                Usage,
                "single layers have 16-bit activations beside 8-bit integers, not {all}"
            ));
        }
        let others: Vec<&str> = Target::ALL.iter().filter(|t| knows(t)).map(|t| t.name()).collect();
        Err(err!(Usage, "target {target} has no kernels for 16-bit activations in single layers")
            .help(format!("leave them out, or take target {}", others.join(" or "))))
    }

    /// Whether a node is looked at.
    pub(in crate::passes) fn looks_at(&self, model: &Model, node: NodeId) -> bool {
        self.only.as_ref().is_none_or(|only| only.contains(model.name_of(node)))
    }

    /// The operator set that the types and the granularity ask for.
    pub fn opset(&self) -> i64 {
        let wide = self.wide_activations().filter(|_| !self.wide.is_empty());
        self.least_opset().max(wide.map_or(0, Format::opset))
    }

    /// The same without wide activations, which a model can do without.
    fn least_opset(&self) -> i64 {
        let blocks = matches!(self.granularity, Granularity::Block(_));
        let wide = if blocks { WIDE_OPSET } else { PER_AXIS_OPSET };
        let activations = if self.weights_only { 0 } else { self.activations().opset() };
        wide.max(activations).max(self.weights().opset())
    }
}

impl Pass for QuantizeStatic {
    fn name(&self) -> &'static str {
        "quantize-static"
    }

    fn summary(&self) -> &'static str {
        "Quantizes layers, and what stands between them, with ranges from calibration data (QDQ)."
    }

    fn promise(&self) -> Promise {
        Promise::Lossy
    }

    fn run(&self, model: &mut Model, cx: &Context<'_>) -> Result<Report> {
        self.activations().bounds()?;
        self.weights().bounds()?;
        let rules = self.target.rules();
        for (what, format, known) in [
            ("activations", self.activations(), rules.float8_activations),
            ("weights", self.weights(), rules.float8_weights),
        ] {
            if format.is_float() && !known.contains(&format.dtype) {
                let (target, dtype) = (self.target.name(), format.dtype);
                return Err(err!(Usage, "target {target} reads no {what} of type {dtype}")
                    .help("take an integer type, or another target"));
            }
        }
        if self.activations().dtype.bits() < 8 {
            let found = self.activations().dtype;
            return Err(err!(Usage, "expected activations of 8 or 16 bits, found {found}"));
        }
        self.check_wide()?;
        if self.granularity == Granularity::Block(0) {
            return Err(err!(Usage, "expected blocks of at least one element, found 0"));
        }
        let mut report = Report::default();
        let opset = model.opset_in_force();
        if let Some(reason) = self.impossible(model, opset) {
            report.refuse("model", reason);
            return Ok(report);
        }
        let mut options = self.clone();
        if opset < PER_AXIS_OPSET && options.granularity == Granularity::Channel {
            options.granularity = Granularity::Tensor;
            report.warnings.push(format!(
                "weights get one scale for each tensor: scales for each channel need opset \
                 {PER_AXIS_OPSET}, the model imports {opset}"
            ));
        }
        if !options.wide.is_empty() && opset < self.opset() {
            options.wide.clear();
            report.warnings.push(format!(
                "all activations have 8 bits: 16-bit integers need opset {WIDE_OPSET}, the model \
                 imports {opset}"
            ));
        }
        let plan = plan::plan(model, &options, cx, &mut report)?;
        insert::apply(model, &plan, &options, &mut report);
        Ok(report)
    }
}

impl QuantizeStatic {
    /// The float weights of layers and tables that are stored in fewer bits where weights alone are.
    ///
    /// # Errors
    /// As the pass itself.
    pub(in crate::passes) fn storable(
        &self,
        model: &Model,
        cx: &Context<'_>,
        report: &mut Report,
    ) -> Result<Vec<Storable>> {
        if let Some(reason) = self.quantized_already(model) {
            report.refuse("model", reason);
            return Ok(Vec::new());
        }
        Ok(plan::plan(model, self, cx, report)?.storable())
    }

    /// Why nothing can be done at all.
    fn impossible(&self, model: &Model, opset: i64) -> Option<String> {
        if opset < FIRST_OPSET {
            return Some(format!(
                "opset {opset} has no QuantizeLinear; opset {FIRST_OPSET} is the first"
            ));
        }
        let needed = self.least_opset();
        if needed > PER_AXIS_OPSET && opset < needed {
            let what = match needed {
                FLOAT8_OPSET => "8-bit floats",
                NARROW_OPSET => "2-bit integers",
                _ => "16-bit and 4-bit integers and blocks",
            };
            return Some(format!("its opset is {opset}; {what} need {needed}"));
        }
        self.quantized_already(model)
    }

    /// Why a model that holds quantization stays as it is.
    fn quantized_already(&self, model: &Model) -> Option<String> {
        let nodes = model.all_nodes();
        let quantizes = |op: &str| nodes.iter().filter(|&&node| model.node(node).is(op)).count();
        let found = quantizes("QuantizeLinear") + quantizes("DequantizeLinear");
        (self.existing == Existing::Keep && found > 0).then(|| {
            format!(
                "is quantized already ({found} QuantizeLinear and DequantizeLinear nodes): \
                 --existing complete quantizes the rest, --existing strip starts over"
            )
        })
    }
}
