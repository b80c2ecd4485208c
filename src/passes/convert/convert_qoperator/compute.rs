//! Operators that compute: each has one on integers, or none.

use crate::analysis::constant;
use crate::ir::ops::{Gemm, IntegerForm, Operand, Operands, Output};
use crate::ir::{Attribute, Node, NodeId, ValueId};
use crate::passes::convert::convert_qoperator::operand::{self, Integers};
use crate::passes::convert::convert_qoperator::{Input, Plan, Site, bias};
use crate::tensor::{DType, Tensor};

/// The operator set since which Softmax normalizes one axis, and not all from one on.
const SOFTMAX_OF_ONE_AXIS: i64 = 13;

/// What becomes of a node that computes.
pub(super) fn find(site: &Site<'_>) -> Option<Result<Plan, String>> {
    let node = site.model.node(site.id);
    if !concerns(site, node) {
        return None;
    }
    let mut forms = IntegerForm::of_float(node).peekable();
    if forms.peek().is_none() {
        return is_between(site, node).then(|| Err(nothing(site, node.op())));
    }
    let allowed = forms.filter(|form| site.microsoft || form.domain.is_empty());
    let mut reason = None;
    if site.microsoft && node.is("MatMul") {
        match with_sum(site) {
            Some(Ok(plan)) => return Some(Ok(plan)),
            Some(Err(why)) => reason = Some(why),
            None => {}
        }
    }
    for form in allowed {
        match convert(site, form, None) {
            Ok(plan) => return Some(Ok(plan)),
            Err(why) => reason = reason.or(Some(why)),
        }
    }
    let reason = reason.unwrap_or_else(|| nothing(site, node.op()));
    let layer = IntegerForm::of_float(node).any(IntegerForm::is_product);
    (layer || is_between(site, node)).then_some(Err(reason))
}

fn nothing(site: &Site<'_>, op: &str) -> String {
    let whose = if site.microsoft { "ONNX Runtime has" } else { "the ONNX standard has" };
    format!("stays float between integers: {whose} no {op} on integers")
}

/// Some of what the node reads comes out of a DequantizeLinear.
fn concerns(site: &Site<'_>, node: &Node) -> bool {
    node.inputs().iter().flatten().any(|&value| is_made_by(site, value, "DequantizeLinear"))
}

/// ... and what it gives goes into a QuantizeLinear.
fn is_between(site: &Site<'_>, node: &Node) -> bool {
    let reader = |value: ValueId| site.model.value(value).only_consumer();
    let quantized = |(reader, _)| site.model.node(reader).is("QuantizeLinear");
    node.output(0).and_then(reader).is_some_and(quantized)
}

fn is_made_by(site: &Site<'_>, value: ValueId, op: &str) -> bool {
    site.model.value(value).producer().is_some_and(|node| site.model.node(node).is(op))
}

/// The sum behind a product.
#[derive(Clone, Copy)]
struct Sum {
    node: NodeId,
    /// What is added to the product.
    summand: ValueId,
}

/// A MatMul of two matrices and the addition of a constant for each column: one QGemm.
fn with_sum(site: &Site<'_>) -> Option<Result<Plan, String>> {
    let Site { model, shapes, id, .. } = *site;
    let (a, y) = (model.node(id).input(0)?, model.node(id).only_output()?);
    let (add, slot) = model.value(y).only_consumer()?;
    let summand = model.node(add).input(1 - slot.min(1))?;
    let inside = model.node(add).graph() == model.node(id).graph();
    if !model.node(add).is("Add") || !inside || shapes.rank(a) != Some(2) || model.is_kept(add) {
        return None;
    }
    let is_constant = match model.value(summand).producer() {
        Some(node) => crate::analysis::dequantized(model, node).is_some(),
        None => constant(model, summand).is_some(),
    };
    let form = IntegerForm::of_float_named("Gemm")?;
    is_constant.then(|| convert(site, form, Some(Sum { node: add, summand })))
}

/// The node in this form.
fn convert(site: &Site<'_>, form: &'static IntegerForm, sum: Option<Sum>) -> Result<Plan, String> {
    let Site { model, shapes, id, .. } = *site;
    let node = model.node(id);
    let last = sum.map_or(id, |sum| sum.node);
    let Some(y) = model.node(last).only_output() else {
        return Err("has more than one output".into());
    };
    let mut operands = Vec::new();
    for operand in places(form, node) {
        let Some(value) = node.input(operand.float) else {
            return Err(format!("input {} is missing", operand.float));
        };
        let Some(integers) = operand::read(model, shapes, value)? else {
            return Err(format!("input `{}` is float", model.value(value).name()));
        };
        operands.push((operand, integers));
    }
    if let [(_, first), (_, second)] = &mut operands[..]
        && form.is_product()
        && second.dtype == DType::Uint8
    {
        *first = first.raised(model);
    }
    let written = operand::written(model, shapes, y)?;
    let (quantizer, given) = match (form.result, written) {
        (Output::Integer(slots) | Output::Either(slots), Some((node, grid))) => {
            (Some(node), Some((slots, grid)))
        }
        (Output::Integer(_), None) => return Err("its output is read as floats".into()),
        (Output::Either(_) | Output::Float, _) => (None, None),
    };
    fits(form, &operands, given.as_ref().map(|(_, grid)| grid))?;
    for (i, (_, integers)) in operands.iter().enumerate() {
        channels(site, form, i, integers)?;
    }
    if given.as_ref().is_some_and(|(_, grid)| grid.single().is_none()) {
        return Err("its output has several scales".into());
    }
    let mut inputs = Inputs::default();
    for &slot in form.shared {
        inputs.put(slot, node.input(slot).map_or(Input::Absent, Input::Value));
    }
    for (operand, integers) in &operands {
        let [value, scale, zero] = operand.integer;
        let own = Input::Value(integers.value);
        inputs.put(
            value,
            integers.raised.clone().map_or(own, |raised| Input::Constant("raised", raised)),
        );
        inputs.parameters([scale, zero], integers);
    }
    if let Some((slots, grid)) = &given {
        inputs.parameters(*slots, grid);
    }
    let summand =
        sum.map(|sum| sum.summand).or_else(|| node.input(2).filter(|_| form.is_product()));
    if let (Some((slot, _)), Some(summand)) = (form.bias, summand) {
        let [(_, a), (_, b)] = &operands[..] else { return Err("has no two operands".into()) };
        inputs.put(slot, bias::integers(model, summand, a, b)?);
    }
    let dtype = given.as_ref().map(|(_, grid)| grid.dtype);
    let old = given.as_ref().map_or(y, |(_, grid)| grid.value);
    Ok(Plan {
        floats: std::iter::once(id).chain(sum.map(|sum| sum.node)).collect(),
        quantizers: quantizer.into_iter().collect(),
        op: form.op,
        domain: form.domain,
        inputs: inputs.0,
        attributes: attributes(site, form, sum)?,
        outputs: vec![Some((old, dtype))],
        text: format!("became {}", form.op),
    })
}

/// Where the operands of a float node go.
fn places(form: &IntegerForm, node: &Node) -> Vec<Operand> {
    match form.operands {
        Operands::Fixed(operands) => operands.to_vec(),
        Operands::From(first) => form.operands(first + 3 * node.inputs().len()),
    }
}

/// ONNX Runtime has kernels for these types: 8-bit integers, all the same, but that signed weights
/// go with unsigned activations.
fn fits(
    form: &IntegerForm,
    operands: &[(Operand, Integers)],
    given: Option<&Integers>,
) -> Result<(), String> {
    let types = || operands.iter().map(|(_, integers)| integers).chain(given);
    if let Some(wide) = types().find(|q| !matches!(q.dtype, DType::Int8 | DType::Uint8)) {
        return Err(format!("{} has no kernel for {}", form.op, wide.dtype));
    }
    let Some(first) = operands.first().map(|(_, integers)| integers.dtype) else { return Ok(()) };
    // Only the output may be in question for these.
    let free = |i: usize| form.is_product() && i == 1 && first == DType::Uint8;
    match types().enumerate().find(|&(i, q)| q.dtype != first && !free(i)) {
        Some((_, other)) => {
            Err(format!("{} has no kernel for {first} with {}", form.op, other.dtype))
        }
        None => Ok(()),
    }
}

/// Scales for each channel belong to weights, one for each output channel.
fn channels(
    site: &Site<'_>,
    form: &IntegerForm,
    position: usize,
    integers: &Integers,
) -> Result<(), String> {
    let Some(axis) = integers.axis else { return Ok(()) };
    let name = site.model.value(integers.value).name();
    let dims = constant(site.model, integers.value).map(|tensor| tensor.dims().to_vec());
    let (true, 1, Some(dims)) = (form.is_product(), position, dims) else {
        return Err(format!("`{name}` has several scales"));
    };
    let wanted = match (form.float, Gemm::of(site.model, site.id)) {
        ("Conv", _) => 0,
        (_, Some(gemm)) => gemm.output_axis(),
        _ => 1,
    };
    let rank = dims.len() as i64;
    let found = if axis < 0 { axis + rank } else { axis };
    let plain = form.float == "Conv" || rank == 2;
    if !plain || found != wanted as i64 || dims.get(wanted) != Some(&integers.scales.len()) {
        return Err(format!("the scales of `{name}` do not belong to output channels"));
    }
    Ok(())
}

fn attributes(
    site: &Site<'_>,
    form: &IntegerForm,
    sum: Option<Sum>,
) -> Result<Vec<Attribute>, String> {
    let node = site.model.node(site.id);
    let mut attributes = node.attributes().to_vec();
    match form.op {
        "QGemm" if sum.is_none() => {
            let gemm = Gemm::of(site.model, site.id);
            if gemm.is_none_or(|gemm| gemm.alpha != 1.0 || gemm.c.is_some() && gemm.beta != 1.0) {
                return Err("QGemm has no factors (alpha, beta)".into());
            }
            attributes.retain(|attribute| attribute.name != "alpha" && attribute.name != "beta");
        }
        "QLinearAveragePool" => {
            let dilations = node.attr_ints("dilations").unwrap_or_default();
            if dilations.iter().any(|&step| step != 1) {
                return Err("QLinearAveragePool has no dilations".into());
            }
            attributes.retain(|attribute| attribute.name != "dilations");
        }
        "QLinearSoftmax" => {
            let opset = site.model.opset_in_force();
            let usual = if opset < SOFTMAX_OF_ONE_AXIS { 1 } else { -1 };
            let axis = node.attr_int("axis").unwrap_or(usual);
            attributes = vec![Attribute::new("axis", axis), Attribute::new("opset", opset)];
        }
        "QLinearConcat" | "QLinearLeakyRelu" | "QLinearConv" | "QGemm" => {}
        _ => attributes.clear(),
    }
    Ok(attributes)
}

/// The inputs of the new node, filled in any order.
#[derive(Default)]
struct Inputs(Vec<Input>);

impl Inputs {
    fn put(&mut self, slot: usize, input: Input) {
        if self.0.len() <= slot {
            self.0.resize(slot + 1, Input::Absent);
        }
        self.0[slot] = input;
    }

    /// A zero point that is left out (as 0, say) is written out, as operators on integers want it.
    fn parameters(&mut self, [scale, zero]: [usize; 2], integers: &Integers) {
        self.put(scale, Input::Value(integers.scale));
        let zeros = || {
            let zeros: Vec<i32> = integers.zeros.iter().map(|&zero| zero as i32).collect();
            let zeros = Tensor::from_integers(integers.dtype, &integers.dims, &zeros);
            Input::Constant("zero_point", zeros)
        };
        self.put(zero, integers.zero.map_or_else(zeros, Input::Value));
    }
}
