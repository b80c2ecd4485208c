//! Decides what is quantized, and on which grid, without editing the model.

use std::collections::HashMap;

use ndarray::ArrayD;

use crate::analysis::{Asked, Range, constant};
use crate::error::{Result, err};
use crate::ir::ops::{Conv, Gemm};
use crate::ir::{Model, NodeId, ValueId};
use crate::math::{Grid, UnionFind};
use crate::passes::pattern::fitting;
use crate::passes::quantize_static::table::{self, Quantized};
use crate::passes::quantize_static::{Granularity, QuantizeStatic};
use crate::passes::{Context, Report};
use crate::tensor::{DType, Tensor};

/// Everything that will be edited.
#[derive(Default)]
pub(super) struct Plan {
    pub nodes: Vec<PlannedNode>,
    /// Activations with their grids, in the order of the model.
    pub activations: Vec<(ValueId, Grid)>,
}

/// A node that will read integers.
pub(super) struct PlannedNode {
    pub node: NodeId,
    pub weight: Option<Weight>,
    pub bias: Option<Bias>,
    pub activations: Vec<ValueId>,
}

/// A constant operand.
pub(super) struct Weight {
    pub slot: usize,
    pub value: ValueId,
    pub elements: ArrayD<f32>,
    /// The axis with a scale for each slice; `None` is one scale.
    pub axis: Option<usize>,
}

/// A constant bias with one element for each slice of the weight.
pub(super) struct Bias {
    pub slot: usize,
    pub value: ValueId,
    pub tensor: Tensor,
}

pub(super) fn plan(
    model: &Model,
    options: &QuantizeStatic,
    cx: &Context<'_>,
    report: &mut Report,
) -> Result<Plan> {
    let mut nodes = Vec::new();
    for id in model.all_nodes() {
        let Some(row) = table::quantized(model.node(id)) else { continue };
        match candidate(model, id, row, options) {
            Ok(Some(node)) => nodes.push(node),
            Ok(None) => {}
            Err(reason) => report.refuse(model.label(id), reason),
        }
    }
    if nodes.is_empty() {
        return Ok(Plan::default());
    }
    let measure = cx.measure.ok_or_else(|| {
        err!(Usage, "static quantization needs calibration data").help("give --data")
    })?;
    let mut wanted = wanted(model, &nodes);
    let asked = |&value: &ValueId| Asked { value, levels: 256, symmetric: false };
    let asked: Vec<Asked> = wanted.iter().map(asked).collect();
    let ranges = ranges(model, &wanted, measure.ranges(model, &asked)?);
    nodes.retain(|node| {
        let missing =
            node.activations.iter().find_map(|v| Some((v, ranges.get(v)?.as_ref().err()?)));
        if let Some((value, reason)) = missing {
            let name = model.value(*value).name();
            report.refuse(model.label(node.node), format!("activation `{name}` {reason}"));
        }
        missing.is_none()
    });
    // Without the nodes just refused, some values are no longer needed.
    let needed = self::wanted(model, &nodes);
    wanted.retain(|value| needed.contains(value) && ranges.get(value).is_some_and(Result::is_ok));
    let activations = grids(model, &wanted, &ranges);
    Ok(Plan { nodes, activations })
}

fn candidate(
    model: &Model,
    id: NodeId,
    row: &Quantized,
    options: &QuantizeStatic,
) -> Result<Option<PlannedNode>, String> {
    let node = model.node(id);
    if node.graph() != model.main() {
        return Err("it stands in a body, where values are not measured".into());
    }
    if let Some(pattern) = fitting(model, id, &options.keep) {
        return Err(format!("kept in float by `{pattern}`"));
    }
    let (mut weight, mut activations) = (None, Vec::new());
    for slot in row.operands {
        let Some(value) = node.input(slot) else {
            return Err(format!("input {slot} is missing"));
        };
        let producer = model.value(value).producer();
        if producer.is_some_and(|producer| model.node(producer).is("DequantizeLinear")) {
            // Quantized before; leave it as it is.
            return Ok(None);
        }
        match constant(model, value) {
            Some(_) if weight.is_some() => return Ok(None),
            Some(tensor) => weight = Some(self::weight(model, id, slot, value, tensor, options)?),
            None => activations.push(value),
        }
    }
    if weight.is_none() && node.is("Conv") {
        return Err("its weight is not a constant".into());
    }
    let bias = weight.as_ref().and_then(|weight| bias(model, id, row, weight));
    activations.dedup();
    Ok(Some(PlannedNode { node: id, weight, bias, activations }))
}

fn weight(
    model: &Model,
    id: NodeId,
    slot: usize,
    value: ValueId,
    tensor: Tensor,
    options: &QuantizeStatic,
) -> Result<Weight, String> {
    let name = model.value(value).name();
    if tensor.dtype() != DType::Float {
        return Err(format!("weight `{name}` is {}, expected float", tensor.dtype()));
    }
    if tensor.dims().len() < 2 || tensor.is_empty() {
        return Err(format!("weight `{name}` has dims {:?}", tensor.dims()));
    }
    let elements = tensor.to_f32().map_err(|error| error.to_string())?;
    let elements = ArrayD::from_shape_vec(tensor.dims(), elements).map_err(|e| e.to_string())?;
    if !elements.iter().all(|x| x.is_finite()) {
        return Err(format!("weight `{name}` holds NaN or infinity"));
    }
    let node = model.node(id);
    let axis = if let Some(conv) = Conv::of(model, id) {
        Some(conv.output_axis())
    } else if let Some(gemm) = Gemm::of(model, id) {
        (slot == 1).then(|| gemm.output_axis())
    } else {
        // Runtimes scale columns of the right factor of a MatMul only for matrices.
        (node.is("MatMul") && slot == 1 && tensor.dims().len() == 2).then_some(1)
    };
    let axis = axis.filter(|_| options.granularity == Granularity::Channel);
    Ok(Weight { slot, value, elements, axis })
}

/// The bias when it can be stored as integers: a constant vector over the output channels, added
/// without factors.
fn bias(model: &Model, id: NodeId, row: &Quantized, weight: &Weight) -> Option<Bias> {
    let slot = row.bias?;
    let value = model.node(id).input(slot)?;
    let tensor = constant(model, value)?;
    let channels = match Gemm::of(model, id) {
        Some(gemm) if gemm.alpha != 1.0 || gemm.beta != 1.0 || weight.slot != 1 => return None,
        Some(gemm) => *weight.elements.shape().get(gemm.output_axis())?,
        None => *weight.elements.shape().first()?,
    };
    let finite = tensor.to_f32().ok()?.iter().all(|x| x.is_finite());
    (tensor.dtype() == DType::Float && tensor.dims() == [channels] && finite).then_some(Bias {
        slot,
        value,
        tensor,
    })
}

/// The activations that get QuantizeLinear/DequantizeLinear, in the order of the model.
fn wanted(model: &Model, nodes: &[PlannedNode]) -> Vec<ValueId> {
    let mut wanted = Vec::new();
    for planned in nodes {
        wanted.extend(&planned.activations);
        let node = model.node(planned.node);
        if let (Some(output), true) =
            (node.only_output(), table::quantized(node).is_some_and(|row| row.output))
        {
            wanted.push(tail(model, output));
        }
    }
    wanted.sort_unstable();
    wanted.dedup();
    wanted
}

/// The end of a chain of clipping activations: the range of the whole chain is the range there.
fn tail(model: &Model, mut value: ValueId) -> ValueId {
    while let Some((consumer, 0)) = model.value(value).only_consumer() {
        match model.node(consumer).only_output() {
            Some(next) if table::is_clipping(model, consumer) => value = next,
            _ => break,
        }
    }
    value
}

/// For each value its range, or why there is none.
fn ranges(
    model: &Model,
    values: &[ValueId],
    measured: Vec<Option<Range>>,
) -> HashMap<ValueId, Result<Range, String>> {
    let judge = |value: ValueId, range: Option<Range>| match range {
        None => {
            Err("cannot be measured: it is no float tensor, or the engine does not show it".into())
        }
        Some(range) if !range.min.is_finite() || !range.max.is_finite() => {
            Err(format!("reaches from {} to {} on the calibration data", range.min, range.max))
        }
        Some(range) => {
            let producer = model.value(value).producer().map(|node| model.node(node));
            let known = producer.and_then(table::known_range);
            Ok(known.map_or(range, |(min, max)| Range { min, max }))
        }
    };
    values.iter().zip(measured).map(|(&value, range)| (value, judge(value, range))).collect()
}

/// One grid for each group of values that only move elements between each other.
fn grids(
    model: &Model,
    values: &[ValueId],
    ranges: &HashMap<ValueId, Result<Range, String>>,
) -> Vec<(ValueId, Grid)> {
    let index: HashMap<ValueId, usize> = values.iter().enumerate().map(|(i, &v)| (v, i)).collect();
    let mut groups = UnionFind::new(values.len());
    for (i, &value) in values.iter().enumerate() {
        // Sources may hide behind several data movements.
        let mut pending = vec![value];
        while let Some(at) = pending.pop() {
            let Some(producer) = model.value(at).producer() else { continue };
            for source in table::moved_from(model.node(producer)) {
                match index.get(&source) {
                    Some(&j) => groups.join(i, j),
                    None => pending.push(source),
                }
            }
        }
    }
    let mut shared: HashMap<usize, Range> = HashMap::new();
    for (i, value) in values.iter().enumerate() {
        if let Some(Ok(range)) = ranges.get(value) {
            let group = groups.find(i);
            shared.entry(group).and_modify(|r| *r = r.union(*range)).or_insert(*range);
        }
    }
    let grid = |i: usize, groups: &mut UnionFind| {
        let range = shared.get(&groups.find(i))?;
        Some(Grid::asymmetric(range.min, range.max, 0, i32::from(u8::MAX)))
    };
    values.iter().enumerate().filter_map(|(i, &v)| Some((v, grid(i, &mut groups)?))).collect()
}
