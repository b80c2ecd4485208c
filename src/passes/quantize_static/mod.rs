//! `quantize-static`: see `docs/passes/quantize-static.md`.
//!
//! `table` says what each operator asks for, `plan` decides without editing, `weights` makes the
//! integers, `insert` edits.

mod insert;
mod plan;
mod table;
mod weights;

use crate::error::Result;
use crate::ir::Model;
use crate::passes::{Context, Pass, Promise, Report};

/// The first operator set whose QuantizeLinear and DequantizeLinear have an axis.
pub(super) const PER_AXIS_OPSET: i64 = 13;
/// The first operator set that has QuantizeLinear and DequantizeLinear.
const FIRST_OPSET: i64 = 10;

/// Inserts QuantizeLinear/DequantizeLinear with scales from calibration data: uint8 asymmetric
/// activations for each tensor, int8 symmetric weights stored as integers, int32 biases.
#[derive(Debug, Clone)]
pub struct QuantizeStatic {
    /// One scale for each weight, or one for each output channel.
    pub granularity: Granularity,
    /// Nodes that stay in float: patterns on node names, `*` stands for any text.
    pub keep: Vec<String>,
}

impl Default for QuantizeStatic {
    fn default() -> Self {
        Self { granularity: Granularity::Channel, keep: Vec::new() }
    }
}

/// How many weights share a scale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Granularity {
    /// One scale for the whole tensor.
    Tensor,
    /// One scale for each output channel.
    Channel,
}

impl Pass for QuantizeStatic {
    fn name(&self) -> &'static str {
        "quantize-static"
    }

    fn summary(&self) -> &'static str {
        "Quantizes Conv, Gemm and MatMul to 8 bits with ranges from calibration data (QDQ)."
    }

    fn promise(&self) -> Promise {
        Promise::Lossy
    }

    fn run(&self, model: &mut Model, cx: &Context<'_>) -> Result<Report> {
        let mut report = Report::default();
        let opset = model.opset().unwrap_or(0);
        if opset < FIRST_OPSET {
            report.refuse(
                "model",
                format!("opset {opset} has no QuantizeLinear; opset {FIRST_OPSET} is the first"),
            );
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
        let plan = plan::plan(model, &options, cx, &mut report)?;
        insert::apply(model, &plan, &mut report);
        Ok(report)
    }
}
