//! What stands around a float operator: the integers it reads through a DequantizeLinear, and the
//! QuantizeLinear that makes integers of its output.

use crate::analysis::{Shapes, constant};
use crate::ir::{Model, NodeId, ValueId};
use crate::tensor::{DType, Tensor};

/// Integers with constant scales and zero points.
#[derive(Debug, Clone)]
pub(super) struct Integers {
    /// The integers.
    pub value: ValueId,
    /// The same of another type, see [`Integers::raised`].
    pub raised: Option<Tensor>,
    pub dtype: DType,
    /// The value that holds the scales.
    pub scale: ValueId,
    /// The value that holds the zero points, when it is written out.
    pub zero: Option<ValueId>,
    pub scales: Vec<f32>,
    /// Dims of the scales.
    pub dims: Vec<usize>,
    pub zeros: Vec<i64>,
    /// The axis of the scales, when there are several; counted from the end when negative.
    pub axis: Option<i64>,
}

impl Integers {
    /// One scale and zero point for all.
    pub fn single(&self) -> Option<(f32, i64)> {
        match (&self.scales[..], &self.zeros[..]) {
            (&[scale], &[zero]) => Some((scale, zero)),
            _ => None,
        }
    }

    /// Constants of int8 as uint8: the left factor of a product with uint8 is unsigned in all kernels.
    pub fn raised(&self, model: &Model) -> Self {
        let numbers = constant(model, self.value).filter(|_| self.dtype == DType::Int8);
        let Some(numbers) = numbers.and_then(|n| Some((n.to_i64().ok()?, n.dims().to_vec())))
        else {
            return self.clone();
        };
        let up = |q: &i64| q - i64::from(i8::MIN);
        let (numbers, dims) =
            (numbers.0.iter().map(|q| up(q) as i32).collect::<Vec<_>>(), numbers.1);
        Self {
            raised: Some(Tensor::from_integers(DType::Uint8, &dims, &numbers)),
            dtype: DType::Uint8,
            zero: None,
            zeros: self.zeros.iter().map(up).collect(),
            ..self.clone()
        }
    }

    /// The same integer means the same number.
    pub fn same_grid(&self, other: &Self) -> bool {
        let this = self.single().map(|(scale, zero)| (scale.to_bits(), zero));
        let that = other.single().map(|(scale, zero)| (scale.to_bits(), zero));
        self.dtype == other.dtype && this.is_some() && this == that
    }

    /// The integer of a float.
    pub fn quantize(&self, x: f32) -> Option<i32> {
        let (scale, zero) = self.single()?;
        let (low, high) = self.dtype.integer_range()?;
        let q = (f64::from(x) / f64::from(scale)).round_ties_even() + zero as f64;
        // Of 8 bits, so that every bound is exact.
        Some(q.clamp(low as f64, high as f64) as i32)
    }
}

/// The integers behind a float: nothing when it does not come out of a DequantizeLinear.
pub(super) fn read(
    model: &Model,
    shapes: &Shapes,
    value: ValueId,
) -> Result<Option<Integers>, String> {
    let Some(node) = model.value(value).producer() else { return Ok(None) };
    let entry = model.node(node);
    let (true, Some(integers)) = (entry.is("DequantizeLinear"), entry.input(0)) else {
        return Ok(None);
    };
    grid(model, shapes, node, integers).map(Some)
}

/// The QuantizeLinear that alone reads a value, and the integers it makes.
pub(super) fn written(
    model: &Model,
    shapes: &Shapes,
    value: ValueId,
) -> Result<Option<(NodeId, Integers)>, String> {
    let Some((node, 0)) = model.value(value).only_consumer() else { return Ok(None) };
    let entry = model.node(node);
    let (true, Some(integers)) = (entry.is("QuantizeLinear"), entry.only_output()) else {
        return Ok(None);
    };
    // A body runs elsewhere; what it gives stays there.
    if entry.graph() != model.value(value).graph() {
        return Ok(None);
    }
    grid(model, shapes, node, integers).map(|integers| Some((node, integers)))
}

fn grid(
    model: &Model,
    shapes: &Shapes,
    node: NodeId,
    integers: ValueId,
) -> Result<Integers, String> {
    let entry = model.node(node);
    let name = model.value(integers).name();
    if entry.attr_int("block_size").unwrap_or(0) != 0 {
        return Err(format!("`{name}` has scales for blocks"));
    }
    let Some(scale) = entry.input(1) else { return Err(format!("`{name}` has no scale")) };
    let Some(scales) = constant(model, scale) else {
        return Err(format!("the scale of `{name}` is not a constant"));
    };
    if scales.dtype() != DType::Float {
        return Err(format!("the scale of `{name}` is {}, expected float", scales.dtype()));
    }
    let zero = entry.input(2);
    let zeros = match zero.map(|zero| constant(model, zero)) {
        Some(None) => return Err(format!("the zero point of `{name}` is not a constant")),
        Some(Some(zeros)) => Some(zeros),
        None => None,
    };
    let written = entry.attr_int("output_dtype").filter(|_| entry.is("QuantizeLinear"));
    let written = written.and_then(|number| DType::from_onnx(i32::try_from(number).ok()?));
    let known = || shapes.dtype(integers).or_else(|| Some(constant(model, integers)?.dtype()));
    let usual = || entry.is("QuantizeLinear").then_some(DType::Uint8);
    let dtype = zeros.as_ref().map(Tensor::dtype).or(written).or_else(known).or_else(usual);
    let Some(dtype) = dtype else { return Err(format!("the type of `{name}` is unknown")) };
    let unreadable = |_| format!("the scale of `{name}` cannot be read");
    let count = scales.len();
    let zeros = match zeros {
        Some(zeros) if dtype.is_integer() => zeros.to_i64().map_err(unreadable)?,
        _ => vec![0; count],
    };
    if zeros.len() != count || count == 0 {
        return Err(format!("`{name}` has {count} scales and {} zero points", zeros.len()));
    }
    Ok(Integers {
        value: integers,
        raised: None,
        dtype,
        scale,
        zero,
        scales: scales.to_f32().map_err(unreadable)?,
        dims: scales.dims().to_vec(),
        zeros,
        axis: (count > 1).then(|| entry.attr_int("axis").unwrap_or(1)),
    })
}
