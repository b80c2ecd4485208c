//! An LSTM of stored integers as ONNX Runtime's DynamicQuantizeLSTM.

use crate::ir::ops::MICROSOFT;
use crate::ir::{Model, NodeId};
use crate::passes::quantize::quantize_dynamic::layer::weight;
use crate::passes::stored::StoredWeight;
use crate::tensor::{DType, Tensor};

/// What the report warns of: the engine has no such operator.
pub(super) const EXECUTED_IN_FLOAT: &str = "DynamicQuantizeLSTM is executed with the weights that it stores and with float inputs; ONNX \
     Runtime rounds these, too";

/// An LSTM that will read its weights as integers.
pub(super) struct Lstm {
    node: NodeId,
    /// Weights of inputs and of states.
    factors: [Factor; 2],
}

struct Factor {
    slot: usize,
    name: String,
    /// `[directions, inputs, gates]`, the transpose of what LSTM has.
    integers: Tensor,
    /// `[directions, gates]`.
    scale: Tensor,
    zero_point: Tensor,
}

impl Factor {
    /// Of signed integers, and the one for 0 is another.
    fn is_off_centre(&self) -> bool {
        let zeros = self.zero_point.to_i64().unwrap_or_default();
        self.zero_point.dtype() == DType::Int8 && zeros.iter().any(|&zero| zero != 0)
    }

    /// The same numbers as unsigned integers.
    fn unsigned(self) -> Self {
        let raised = |tensor: Tensor| match (tensor.dtype(), tensor.to_i64()) {
            (DType::Int8, Ok(numbers)) => {
                let up = |q: &i64| (q - i64::from(i8::MIN)) as i32;
                let numbers: Vec<i32> = numbers.iter().map(up).collect();
                Tensor::from_integers(DType::Uint8, tensor.dims(), &numbers)
            }
            _ => tensor,
        };
        let (integers, zero_point) = (raised(self.integers), raised(self.zero_point));
        Self { integers, zero_point, ..self }
    }
}

/// Where DynamicQuantizeLSTM has the scale of a factor, and behind it its zero point.
const SCALES: [usize; 2] = [8, 10];
/// Inputs of DynamicQuantizeLSTM.
const INPUTS: usize = 12;

impl Lstm {
    /// What an LSTM becomes.
    ///
    /// # Errors
    /// Why it cannot read integers.
    pub fn find(model: &Model, node: NodeId) -> Result<Self, String> {
        if model.node(node).attr_int("layout").unwrap_or(0) != 0 {
            return Err("DynamicQuantizeLSTM has no layout with the batch first".into());
        }
        let factors = [factor(model, node, 1)?, factor(model, node, 2)?];
        // Signed factors have no zero point there, and both are of one type.
        let factors = match factors.iter().any(Factor::is_off_centre) {
            true => factors.map(Factor::unsigned),
            false => factors,
        };
        Ok(Self { node, factors })
    }

    /// What the report says.
    pub fn text(&self) -> String {
        "DynamicQuantizeLSTM: reads uint8 on a range that each step takes".to_owned()
    }

    /// Puts the operator in the place of the LSTM.
    pub fn apply(self, model: &mut Model) {
        let main = model.main();
        let entry = model.node(self.node);
        let attributes =
            entry.attributes().iter().filter(|a| a.name != "layout").cloned().collect();
        let mut inputs = entry.inputs().to_vec();
        inputs.resize(INPUTS, None);
        for (factor, scale) in self.factors.into_iter().zip(SCALES) {
            let name = format!("{}_transposed", factor.name);
            inputs[factor.slot] = Some(model.add_initializer(main, &name, factor.integers));
            inputs[scale] = Some(model.add_initializer(main, "scale", factor.scale));
            inputs[scale + 1] = Some(model.add_initializer(main, "zero_point", factor.zero_point));
        }
        model.import(MICROSOFT, 1);
        model.turn_into(self.node, MICROSOFT, "DynamicQuantizeLSTM", &inputs, attributes);
    }
}

fn factor(model: &Model, node: NodeId, slot: usize) -> Result<Factor, String> {
    let floats = model.node(node).input(slot).ok_or("an input is missing")?;
    let (stored, integers) = weight(model, floats)?;
    if stored.dtype != DType::Float {
        return Err(format!("DynamicQuantizeLSTM reads float, and not {}", stored.dtype));
    }
    let &[directions, gates, inputs] = &stored.dims[..] else {
        return Err(format!("its weight has dims {:?}", stored.dims));
    };
    let grids = by_gate(&stored, gates, inputs)?;
    let scales: Vec<f32> = grids.iter().map(|grid| grid.scale).collect();
    let zeros: Vec<i32> = grids.iter().map(|grid| grid.zero_point).collect();
    if zeros.iter().any(|zero| *zero != zeros[0]) {
        return Err("DynamicQuantizeLSTM has one zero point for all rows".into());
    }
    let at = |i: usize| {
        let (direction, input, gate) = (i / gates / inputs, i / gates % inputs, i % gates);
        stored.integers[(direction * gates + gate) * inputs + input]
    };
    let transposed: Vec<i32> = (0..stored.integers.len()).map(at).collect();
    let of_type = |dims: &[usize], numbers: &[i32]| {
        super::layer::integers(&stored, dims, numbers).ok_or("its weight is stored as indices")
    };
    Ok(Factor {
        slot,
        name: model.value(integers).name().to_owned(),
        integers: of_type(&[directions, inputs, gates], &transposed)?,
        scale: Tensor::from_f32(&[directions, gates], &scales),
        zero_point: of_type(&[directions, gates], &zeros)?,
    })
}

/// For each direction and gate the grid of its row.
fn by_gate(
    stored: &StoredWeight,
    gates: usize,
    inputs: usize,
) -> Result<Vec<crate::math::Grid>, String> {
    let mut grids = Vec::with_capacity(stored.part_of.len() / inputs.max(1));
    for (row, of_row) in stored.part_of.chunks(inputs).enumerate() {
        match of_row.iter().all(|&grid| grid == of_row[0]) {
            true => grids.push(stored.points.grids()[of_row[0] as usize]),
            false => return Err(format!("row {} has several scales", row % gates)),
        }
    }
    Ok(grids)
}
