//! The report of `inspect`.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::report::text::{bytes, grouped, percent, row};
use crate::report::{ChannelsReport, PossibilityReport, WeightReport, weights};

/// What a model is made of. The field names are the contract of `inspect --json`.
#[derive(Debug, Clone, Serialize)]
pub struct InspectionReport {
    /// Version of the default operator set.
    pub opset: Option<i64>,
    /// All operator sets: domain (`ai.onnx` is the default) and version.
    pub opsets: BTreeMap<String, i64>,
    /// Version of the file format.
    pub ir_version: Option<i64>,
    /// The tool that wrote the file.
    pub producer: String,
    /// Nodes of all graphs.
    pub nodes: usize,
    /// Number of nodes of each operator; other domains are written `domain.Operator`.
    pub operators: BTreeMap<String, usize>,
    /// Number of weights.
    pub parameters: u64,
    /// Bytes that the weights take.
    pub weight_bytes: u64,
    /// Multiply-accumulates for batch 1.
    pub macs: u64,
    /// Layers whose multiply-accumulates are unknown because their shapes are.
    pub macs_unknown: usize,
    /// The dims of inputs at which multiply-accumulates were counted, where the model leaves them open.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub macs_at: BTreeMap<String, Vec<usize>>,
    /// Why these layers are not counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub macs_uncounted: Option<String>,
    /// Inputs without those that have a default.
    pub inputs: Vec<PortReport>,
    /// Outputs.
    pub outputs: Vec<PortReport>,
    /// Model-local functions: `domain.name`.
    pub functions: Vec<String>,
    /// Layers with weights.
    pub layers: Vec<LayerReport>,
    /// The weights of the layers, when they were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weights: Option<Vec<WeightReport>>,
    /// What commands could do with their usual options, when that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub possible: Option<Vec<PossibilityReport>>,
    /// What the reader noticed.
    pub notes: Vec<String>,
    /// What can be cut, when that was asked for: out of the model as `prune` would prepare it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channels: Option<ChannelsReport>,
    /// Show the layers in the text view.
    #[serde(skip)]
    pub show_layers: bool,
    /// Show the weights in the text view.
    #[serde(skip)]
    pub show_weights: bool,
    /// Show what is possible in the text view.
    #[serde(skip)]
    pub show_possible: bool,
}

/// An input or output.
#[derive(Debug, Clone, Serialize)]
pub struct PortReport {
    /// Name.
    pub name: String,
    /// Element type, or `opaque` for sequences and the like.
    pub dtype: String,
    /// Dims: numbers, names, or `?`; `null` when the rank is unknown.
    pub shape: Option<Vec<String>>,
}

/// A node that multiplies.
#[derive(Debug, Clone, Serialize)]
pub struct LayerReport {
    /// Name of the node.
    pub name: String,
    /// Operator.
    pub op: String,
    /// Multiply-accumulates for batch 1, when the shapes are known.
    pub macs: Option<u64>,
    /// Number of weights.
    pub parameters: u64,
    /// Bytes that the weights take.
    pub weight_bytes: u64,
    /// Extents of the first output for one sample: numbers, expressions or `?`; `null` when the rank is
    /// unknown.
    pub output: Option<Vec<String>>,
    /// Share of the multiply-accumulates of all layers.
    pub macs_share: Option<f64>,
    /// Share of the bytes of all weights.
    pub bytes_share: f64,
}

impl fmt::Display for InspectionReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let version = |v: Option<i64>| v.map_or("none".to_owned(), |v| v.to_string());
        writeln!(f, "opset       {}", version(self.opset))?;
        writeln!(f, "IR version  {}", version(self.ir_version))?;
        writeln!(f, "producer    {}", self.producer)?;
        writeln!(f, "parameters  {}", grouped(self.parameters))?;
        writeln!(f, "weights     {}", bytes(self.weight_bytes))?;
        match (self.macs, self.macs_unknown) {
            (macs, 0) => writeln!(f, "MACs        {}", grouped(macs))?,
            (0, _) => writeln!(f, "MACs        not counted")?,
            (macs, n) => {
                writeln!(f, "MACs        {} (and {n} layers of unknown shape)", grouped(macs))?
            }
        }
        for (name, dims) in &self.macs_at {
            writeln!(f, "counted at  `{name}` {dims:?}")?;
        }
        if let Some(why) = &self.macs_uncounted {
            writeln!(
                f,
                "            {why}; --fix-dim, --fix-shape or --data say how large they are"
            )?;
        }
        for (what, ports) in [("input", &self.inputs), ("output", &self.outputs)] {
            for port in ports {
                let shape = port.shape.as_ref().map_or("?".to_owned(), |s| s.join(", "));
                writeln!(f, "{what:<12}`{}` {}[{shape}]", port.name, port.dtype)?;
            }
        }
        writeln!(f, "nodes       {}", self.nodes)?;
        for (operator, count) in &self.operators {
            writeln!(f, "  {count:>6}  {operator}")?;
        }
        for function in &self.functions {
            writeln!(f, "function    {function}")?;
        }
        if self.show_layers {
            writeln!(f, "layers    MACs    share  parameters    bytes  output")?;
            for layer in &self.layers {
                let macs = layer.macs.map_or("?".to_owned(), grouped);
                let share = layer.macs_share.map_or("?".to_owned(), percent);
                let (parameters, bytes) = (grouped(layer.parameters), percent(layer.bytes_share));
                let output = layer.output.as_ref().map_or("?".to_owned(), |dims| dims.join(", "));
                let (op, name) = (&layer.op, &layer.name);
                let figures = format!("{macs:>14}{share:>9}{parameters:>12}{bytes:>9}");
                writeln!(f, "{}", row(&format!("{figures}  [{output}] {op} "), name, ""))?;
            }
        }
        if let Some(weights) = self.weights.as_ref().filter(|_| self.show_weights) {
            weights::write(f, weights)?;
        }
        for possible in self.possible.iter().flatten().filter(|_| self.show_possible) {
            write!(f, "{possible}")?;
        }
        if let Some(channels) = &self.channels {
            write!(f, "{channels}")?;
        }
        for note in &self.notes {
            writeln!(f, "note: {note}")?;
        }
        Ok(())
    }
}
