//! Looks at one node that has weights: what of it can be stored as integers.

use rayon::prelude::*;

use crate::analysis::{ConstantFloats, Shapes, constant, constant_floats, origin, turned};
use crate::ir::ops::{Conv, Gemm};
use crate::ir::{Model, NodeId, ValueId};
use crate::passes::quantize::quantize_static::plan::{Bias, PlannedNode, Weight};
use crate::passes::quantize::quantize_static::table::{self, Role};
use crate::passes::quantize::quantize_static::target::Rules;
use crate::passes::quantize::quantize_static::{Granularity, QuantizeStatic, kernels};
use crate::passes::rewrite::pattern::fitting;
use crate::passes::stored::Share;
use crate::tensor::{DType, Tensor};

/// Fewest elements of a weight that is only stored as integers: below, the nodes and scales that it
/// takes are as large as what is saved.
pub(super) const SMALLEST_STORED: usize = 512;

/// A product or scaling: its weight, its bias, and what it reads.
pub(super) fn product(
    model: &Model,
    id: NodeId,
    role: Role,
    options: &QuantizeStatic,
    shapes: &Shapes,
) -> Result<Option<PlannedNode>, String> {
    let node = model.node(id);
    let rules = options.target.rules();
    if !rules.products.contains(&node.op()) {
        return stored(model, id, &[1], options);
    }
    // Floats that are unpacked at load are read by float kernels.
    let unpacked = options.weights().is_float() && rules.unpacks_at_load;
    if unpacked || fitting(model, id, &options.stored).is_some() {
        return only_stored(model, id, &[1], options);
    }
    if let Some(dtype) = other_floats(model, id) {
        let stored = only_weights(model, id, role, options)?;
        return stored.map(|planned| planned.of_other_floats(dtype, rules)).transpose();
    }
    let (mut weights, mut activations) = (Vec::new(), Vec::new());
    let mut settled = 0;
    for slot in 0..2 {
        let Some(value) = node.input(slot) else {
            return Err(format!("input {slot} is missing"));
        };
        let producer = model.value(value).producer().map(|producer| model.node(producer));
        match origin(model, value) {
            Some(_) if !weights.is_empty() => return Ok(None),
            Some(_) => weights.push(weight(model, id, slot, value, options)?),
            None if producer.is_some_and(|producer| producer.is("DequantizeLinear")) => {
                settled += 1
            }
            None => activations.push(value),
        }
    }
    let dtype = options.weights().dtype;
    let missing = weights.first().and_then(|_| kernels::missing(node.op(), dtype));
    if let Some(why) = missing {
        let found = only_stored(model, id, &[weights[0].slot], options)?;
        let because =
            |layer: PlannedNode| PlannedNode { text: format!("{}: {why}", layer.text), ..layer };
        return Ok(found.map(because));
    }
    // What was quantized before stays as it is.
    let layer = node.is("Conv") || node.is("ConvTranspose") || role == Role::Scaling;
    if settled == 2 || settled == 1 && weights.is_empty() && layer {
        return Ok(None);
    }
    if weights.is_empty() && layer {
        return Err("its weight is not a constant".into());
    }
    // Products of 8-bit floats are no integers that a bias could be added to.
    let integers = !options.weights().is_float() && !options.activations().is_float();
    let bias = weights.first().filter(|_| rules.bias && integers && settled == 0);
    let bias = bias.and_then(|weight| match node.op() {
        "MatMul" if rules.everywhere => None,
        "MatMul" => summand(model, id, weight, shapes),
        _ => bias_of(model, id, weight),
    });
    activations.dedup();
    let text = weights.first().map(|weight| what(weight, options)).unwrap_or_default();
    Ok(Some(PlannedNode { node: id, weights, bias, activations, kernel: true, text }))
}

/// A node of which constant inputs are stored as integers while it computes with floats.
pub(super) fn stored(
    model: &Model,
    id: NodeId,
    slots: &[usize],
    options: &QuantizeStatic,
) -> Result<Option<PlannedNode>, String> {
    let rules = options.target.rules();
    if !options.weights_only && !rules.stored.contains(&model.node(id).op()) {
        return Err(no_kernel(rules));
    }
    only_stored(model, id, slots, options)
}

/// A layer of which the constant factor is stored as integers; products of two values and vectors stay as
/// they are.
pub(super) fn only_weights(
    model: &Model,
    id: NodeId,
    role: Role,
    options: &QuantizeStatic,
) -> Result<Option<PlannedNode>, String> {
    if role == Role::Scaling {
        return Ok(None);
    }
    let is_weight = |&slot: &usize| {
        let value = model.node(id).input(slot);
        value.is_some_and(|value| origin(model, value).is_some())
    };
    match (0..2).filter(is_weight).collect::<Vec<_>>()[..] {
        [slot] => only_stored(model, id, &[slot], options),
        _ => Ok(None),
    }
}

/// Whether storing a weight alone as integers saves more than it takes.
pub(super) fn is_worth_storing(weight: &Weight) -> bool {
    weight.tensor.len() >= SMALLEST_STORED
}

/// As [`stored`], for any target.
fn only_stored(
    model: &Model,
    id: NodeId,
    slots: &[usize],
    options: &QuantizeStatic,
) -> Result<Option<PlannedNode>, String> {
    let node = model.node(id);
    let mut weights = Vec::new();
    for &slot in slots {
        let Some(value) = node.input(slot) else { continue };
        let root = origin(model, value).and_then(|(root, _)| constant(model, root));
        match root {
            Some(tensor) if tensor.len() < SMALLEST_STORED => {}
            Some(_) => weights.push(weight(model, id, slot, value, options)?),
            None if quantized(model, value) => return Ok(None),
            None => return Err("its weight is not a constant".into()),
        }
    }
    let Some(first) = weights.first() else {
        return Err(format!(
            "stays in float: its weights have fewer than {SMALLEST_STORED} elements"
        ));
    };
    let text = format!("{}; computes with floats", what(first, options));
    let activations = Vec::new();
    Ok(Some(PlannedNode { node: id, weights, bias: None, activations, kernel: false, text }))
}

/// Why a node stays in float that the target only knows in float.
pub(super) fn no_kernel(rules: &Rules) -> String {
    format!("stays in float: target {} has no integer kernel for it", rules.name)
}

fn quantized(model: &Model, value: ValueId) -> bool {
    model.value(value).producer().is_some_and(|node| model.node(node).is("DequantizeLinear"))
}

pub(super) fn what(weight: &Weight, options: &QuantizeStatic) -> String {
    let dtype = options.weights().dtype;
    match weight.share {
        Share::Tensor => format!("{dtype} weight"),
        Share::Axis(_) => format!("{dtype} weight for each channel"),
        Share::Block { size, .. } => format!("{dtype} weight in blocks of {size}"),
    }
}

/// Elements that are looked at by one core at a time.
const CHUNK: usize = 1 << 18;

/// Whether all elements of a `float` weight are finite, without a copy of them.
///
/// # Errors
/// When they are not, with its name.
pub(super) fn finite(model: &Model, value: ValueId, tensor: &Tensor) -> Result<(), String> {
    if tensor.dtype() != DType::Float {
        let floats = tensor.to_f32().unwrap_or_else(|_| vec![f32::NAN]);
        return match floats.iter().all(|x| x.is_finite()) {
            true => Ok(()),
            false => Err(not_finite(model, value)),
        };
    }
    let (elements, _) = tensor.bytes().as_chunks::<4>();
    let odd = |x: &[u8; 4]| !f32::from_le_bytes(*x).is_finite();
    if elements.par_chunks(CHUNK).all(|part| part.iter().filter(|x| odd(x)).count() == 0) {
        return Ok(());
    }
    Err(not_finite(model, value))
}

fn not_finite(model: &Model, value: ValueId) -> String {
    format!("weight `{}` holds NaN or infinity", model.value(value).name())
}

/// The type of the weights of a product, where it is not `float`.
fn other_floats(model: &Model, id: NodeId) -> Option<DType> {
    let of_slot = |slot: usize| constant_floats(model, model.node(id).input(slot)?);
    let found = (0..2).filter_map(of_slot).map(|found| found.dtype);
    found.into_iter().find(|&dtype| dtype != DType::Float)
}

fn weight(
    model: &Model,
    id: NodeId,
    slot: usize,
    value: ValueId,
    options: &QuantizeStatic,
) -> Result<Weight, String> {
    let name = model.value(value).name();
    let node = model.node(id);
    let vector = table::of(model, node).is_some_and(|row| row.role == Role::Scaling);
    let Some(ConstantFloats { tensor, dtype }) = constant_floats(model, value) else {
        return Err(match constant(model, value) {
            Some(tensor) => format!("weight `{name}` is {}, expected float", tensor.dtype()),
            None => format!("weight `{name}` is made of no floats"),
        });
    };
    let dims = tensor.dims().to_vec();
    if vector && dtype != DType::Float {
        return Err(format!("weight `{name}` is {dtype}, expected float"));
    }
    if tensor.is_empty() || dims.len() < 2 && !vector {
        return Err(format!("weight `{name}` has dims {dims:?}"));
    }
    finite(model, value, &tensor)?;
    let axes = table::weight_axes(model, id, slot, dims.len());
    let channels = options.target.rules().channels.contains(&node.op());
    let blocks = options.weights_only || kernels::has_blocks(node.op(), options.weights().dtype);
    let granularity = match options.granularity {
        Granularity::Block(_) if !blocks => Granularity::Channel,
        granularity => granularity,
    };
    let share = match (granularity, axes) {
        (Granularity::Channel, Some((output, _))) if channels => Share::Axis(output),
        (Granularity::Block(size), Some((_, input))) if size < dims[input] => {
            Share::Block { axis: input, size }
        }
        (Granularity::Block(_), Some((output, _))) => Share::Axis(output),
        _ => Share::Tensor,
    };
    let weight = Weight { slot, value, tensor, dtype, dims, share, turned: None, shared: false };
    Ok(behind_transpose(model, weight))
}

/// The weight as it stands in front of a Transpose, where others read it there.
fn behind_transpose(model: &Model, weight: Weight) -> Weight {
    let found = turned(model, weight.value).filter(|&(_, from)| model.value(from).uses().len() > 1);
    let Some((transpose, from)) = found else { return weight };
    let before = constant_floats(model, from).filter(|before| before.dtype == weight.dtype);
    let Some(ConstantFloats { tensor, dtype }) = before else { return weight };
    let (dims, share) = (tensor.dims().to_vec(), weight.share.turned());
    let turned = Some(transpose);
    Weight { slot: weight.slot, value: from, tensor, dtype, dims, share, turned, shared: false }
}

/// The bias when it can be stored as integers: a constant vector over the output channels, added
/// without factors.
fn bias_of(model: &Model, id: NodeId, weight: &Weight) -> Option<Bias> {
    const SLOT: usize = 2;
    if matches!(weight.share, Share::Block { .. }) {
        return None;
    }
    let value = model.node(id).input(SLOT)?;
    let tensor = constant(model, value)?;
    let channels = if let Some(gemm) = Gemm::of(model, id) {
        if gemm.alpha != 1.0 || gemm.beta != 1.0 || weight.slot != 1 {
            return None;
        }
        *weight.dims.get(gemm.output_axis())?
    } else {
        let group = Conv::of(model, id).filter(|conv| conv.transposed).map_or(1, |conv| conv.group);
        let axis = Conv::of(model, id).map_or(0, |conv| conv.output_axis());
        weight.dims.get(axis)?.checked_mul(group)?
    };
    let finite = tensor.to_f32().ok()?.iter().all(|x| x.is_finite());
    let fits = tensor.dtype() == DType::Float && tensor.dims() == [channels] && finite;
    fits.then_some(Bias { node: id, slot: SLOT, value, tensor })
}

/// What an Add behind a MatMul adds to each column. Runtimes make one Gemm of the two when they know
/// the shape, and that has an integer kernel only with an integer bias.
fn summand(model: &Model, id: NodeId, weight: &Weight, shapes: &Shapes) -> Option<Bias> {
    let (input, output) = (model.node(id).input(0)?, model.node(id).only_output()?);
    let merged = shapes.rank(input) == Some(2) || shapes.fixed_dims(input).is_some();
    let (node, slot) = model.value(output).only_consumer()?;
    let add = model.node(node);
    let beside = add.graph() == model.node(id).graph();
    if !merged || !beside || !add.is("Add") || weight.share != Share::Axis(1) || weight.slot != 1 {
        return None;
    }
    let slot = 1 - slot;
    let value = add.input(slot)?;
    let tensor = constant(model, value)?;
    let finite = tensor.to_f32().ok()?.iter().all(|x| x.is_finite());
    let fits = tensor.dtype() == DType::Float && tensor.dims() == [*weight.dims.get(1)?] && finite;
    fits.then_some(Bias { node, slot, value, tensor })
}
