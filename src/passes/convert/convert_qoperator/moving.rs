//! Operators that move integers as they are, and those that cut them off.

use crate::analysis::constant;
use crate::ir::{Model, Node, NodeId, ValueId};
use crate::passes::convert::convert_qoperator::operand::{self, Integers};
use crate::passes::convert::convert_qoperator::{Input, Plan, Site};
use crate::passes::quantize::quantize_static::clipped_to;
use crate::tensor::{DType, Tensor};

/// An operator that moves elements of 8-bit integers.
struct Row {
    op: &'static str,
    /// The first operator set in which it takes them, in ONNX and in ONNX Runtime.
    since: i64,
    /// Number of outputs that hold elements.
    outputs: usize,
}

const fn row(op: &'static str, since: i64) -> Row {
    Row { op, since, outputs: 1 }
}

const TABLE: &[Row] = &[
    row("Concat", 4),
    row("DepthToSpace", 11),
    row("Expand", 8),
    row("Flatten", 9),
    row("Gather", 1),
    row("GatherElements", 11),
    row("GatherND", 11),
    row("Identity", 1),
    row("MaxPool", 12),
    row("Pad", 11),
    row("ReduceMax", 12),
    row("ReduceMin", 12),
    row("Reshape", 5),
    row("Resize", 11),
    row("Slice", 10),
    row("SpaceToDepth", 1),
    Row { outputs: usize::MAX, ..row("Split", 2) },
    row("Squeeze", 1),
    row("Tile", 6),
    row("TopK", 11),
    row("Transpose", 1),
    row("Unsqueeze", 1),
];

/// The operator set since which Clip takes 8-bit integers.
const CLIP_OF_INTEGERS: i64 = 12;

/// What becomes of a node that moves or cuts off; nothing when it is none, or reads floats.
pub(super) fn find(site: &Site<'_>) -> Option<Result<Plan, String>> {
    let node = site.model.node(site.id);
    let opset = site.model.opset_in_force();
    let clips = node.is("Relu") || node.is("Clip");
    let known = TABLE.iter().find(|row| node.is(row.op) && opset >= row.since);
    if !clips && known.is_none() {
        return None;
    }
    let between = match around(site, node, known.map_or(1, |row| row.outputs))? {
        Ok(between) => between,
        Err(reason) => return Some(Err(reason)),
    };
    if !between.one_grid() {
        // QLinearConcat brings its inputs to one grid.
        let concat = node.is("Concat") && site.microsoft;
        return (!concat).then(|| Err("its output is on another grid than its input".into()));
    }
    Some(if clips { cut(site, &between, opset) } else { moved(site, &between) })
}

/// The integers on both sides of a node.
struct Between {
    /// What is moved, with its slots.
    read: Vec<(usize, Integers)>,
    /// Outputs of elements: their slots, the QuantizeLinear that reads them, and what it makes.
    written: Vec<(usize, NodeId, Integers)>,
}

impl Between {
    fn one_grid(&self) -> bool {
        let mut all =
            self.read.iter().map(|(_, q)| q).chain(self.written.iter().map(|(_, _, q)| q));
        let first = all.next();
        first.is_some_and(|first| first.single().is_some() && all.all(|q| q.same_grid(first)))
    }
}

/// Nothing when floats go in or out.
fn around(site: &Site<'_>, node: &Node, outputs: usize) -> Option<Result<Between, String>> {
    let Site { model, shapes, .. } = *site;
    let mut between = Between { read: Vec::new(), written: Vec::new() };
    let moved = if node.is("Concat") { node.inputs().len() } else { 1 };
    for slot in 0..moved {
        match operand::read(model, shapes, node.input(slot)?) {
            Ok(integers) => between.read.push((slot, integers?)),
            Err(reason) => return Some(Err(reason)),
        }
    }
    for (slot, &output) in node.outputs().iter().enumerate().take(outputs) {
        let Some(output) = output else { continue };
        match operand::written(model, shapes, output) {
            Ok(written) => {
                let (quantizer, integers) = written?;
                between.written.push((slot, quantizer, integers));
            }
            Err(reason) => return Some(Err(reason)),
        }
    }
    (!between.written.is_empty()).then_some(Ok(between))
}

fn moved(site: &Site<'_>, between: &Between) -> Result<Plan, String> {
    let node = site.model.node(site.id);
    if node.is("MaxPool") && node.output(1).is_some() {
        return Err("its indices are read, too".into());
    }
    // Between elements, integers would be rounded in another way.
    if node.is("Resize") && node.attr_str("mode").unwrap_or("nearest") != "nearest" {
        return Err("interpolates between integers".into());
    }
    let grid = &between.read[0].1;
    // Operators differ in what other types they take.
    if !matches!(grid.dtype, DType::Int8 | DType::Uint8) {
        return Err(format!("{} is not known to take {}", node.op(), grid.dtype));
    }
    let mut inputs: Vec<Input> =
        node.inputs().iter().map(|input| input.map_or(Input::Absent, Input::Value)).collect();
    for (slot, integers) in &between.read {
        inputs[*slot] = Input::Value(integers.value);
    }
    if node.is("Pad") && node.attr_str("mode").unwrap_or("constant") == "constant" {
        let fill = fill(site.model, node.input(2), grid)?;
        inputs.resize(inputs.len().max(3), Input::Absent);
        inputs[2] = Input::Constant("fill", fill);
    }
    let outputs = node.outputs().iter().enumerate().map(|(slot, &output)| {
        let made = between.written.iter().find(|(at, ..)| *at == slot);
        made.map_or(output.map(|value| (value, None)), |(_, _, q)| Some((q.value, Some(q.dtype))))
    });
    let row = TABLE.iter().find(|row| node.is(row.op)).ok_or("is not known")?;
    Ok(Plan {
        outputs: outputs.collect(),
        attributes: node.attributes().to_vec(),
        text: format!("moves {}", grid.dtype),
        ..plan(site, between, row.op, inputs)
    })
}

/// What Pad fills with, as an integer.
fn fill(model: &Model, value: Option<ValueId>, grid: &Integers) -> Result<Tensor, String> {
    let x = match value {
        None => Some(0.0),
        Some(value) => constant(model, value)
            .and_then(|fill| fill.to_f32().ok())
            .and_then(|fill| fill.first().copied()),
    };
    match x.and_then(|x| grid.quantize(x)) {
        Some(q) => Ok(Tensor::from_integers(grid.dtype, &[], &[q])),
        None => Err("what it fills with is not a constant".into()),
    }
}

/// Relu and Clip: the same on integers, with bounds that are integers.
fn cut(site: &Site<'_>, between: &Between, opset: i64) -> Result<Plan, String> {
    let grid = &between.read[0].1;
    if opset < CLIP_OF_INTEGERS {
        return Err(format!("Clip takes no integers before opset {CLIP_OF_INTEGERS}"));
    }
    if !matches!(grid.dtype, DType::Int8 | DType::Uint8) {
        return Err(format!("Clip takes no {}", grid.dtype));
    }
    let bounds = clipped_to(site.model, site.id).ok_or("its bounds are not constants")?;
    let (Some(low), Some(high)) = (grid.quantize(bounds.0), grid.quantize(bounds.1)) else {
        return Err("has several scales".into());
    };
    let bound = |q: i32| Input::Constant("bound", Tensor::from_integers(grid.dtype, &[], &[q]));
    let inputs = vec![Input::Value(grid.value), bound(low), bound(high)];
    Ok(Plan { text: "became Clip on integers".into(), ..plan(site, between, "Clip", inputs) })
}

/// A plan for a node with one output of integers.
fn plan(site: &Site<'_>, between: &Between, op: &'static str, inputs: Vec<Input>) -> Plan {
    Plan {
        floats: vec![site.id],
        quantizers: between.written.iter().map(|(_, node, _)| *node).collect(),
        op,
        domain: "",
        inputs,
        attributes: Vec::new(),
        outputs: between.written.iter().map(|(_, _, q)| Some((q.value, Some(q.dtype)))).collect(),
        text: String::new(),
    }
}
