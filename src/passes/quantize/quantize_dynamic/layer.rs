//! What a layer of stored integers becomes.

use crate::analysis::{constant, turned};
use crate::ir::ops::{Conv, Gemm};
use crate::ir::{Attribute, Model, NodeId, ValueId};
use crate::math::Grid;
use crate::passes::rewrite::summand::Summand;
use crate::passes::stored::StoredWeight;
use crate::tensor::{DType, Tensor};

/// A layer as a product of integers.
pub(super) struct Layer {
    pub node: NodeId,
    /// MatMulInteger or ConvInteger.
    pub op: &'static str,
    pub attributes: Vec<Attribute>,
    /// The floats that become integers in each run.
    pub activation: ValueId,
    /// These are transposed before the product.
    pub transposed: bool,
    pub weight: Weight,
    /// Scales of the product beside that of the activation: one, or along the output channels.
    pub scale: Tensor,
    /// The type of what it reads and gives.
    pub dtype: DType,
    pub summand: Option<Summand>,
}

/// The constant factor.
pub(super) struct Weight {
    /// It is the left factor.
    pub left: bool,
    pub integers: ValueId,
    /// In the order and of the type that the product reads, when they are stored otherwise.
    pub reordered: Option<Reordered>,
    /// Nothing when all are 0.
    pub zero_point: Option<Tensor>,
}

/// Integers that are stored in another order.
pub(super) enum Reordered {
    /// These take their place.
    Stored(Tensor),
    /// Others read them as they are: a Transpose, which a runtime computes when it loads the model.
    Computed,
}

impl Layer {
    /// What the layer becomes.
    ///
    /// # Errors
    /// Why it cannot compute with integers.
    pub fn find(model: &Model, node: NodeId) -> Result<Self, String> {
        match (Conv::of(model, node), Gemm::of(model, node)) {
            (Some(conv), _) => of_conv(model, node, &conv),
            (_, Some(gemm)) => of_gemm(model, node, &gemm),
            _ => of_matmul(model, node),
        }
    }

    /// What the report says.
    pub fn text(&self) -> String {
        format!("{}: reads uint8 on a range that each run takes", self.op)
    }
}

fn of_conv(model: &Model, node: NodeId, conv: &Conv) -> Result<Layer, String> {
    let (stored, integers) = weight(model, conv.w)?;
    let channels = stored.dims[0];
    let mut along = vec![1; stored.dims.len() - 1];
    along[0] = channels;
    let grids = by_channel(&stored, Some(0))?;
    let summand = match conv.b {
        None => None,
        Some(bias) => {
            let tensor = constant(model, bias).and_then(|bias| bias.reshaped(along.clone()).ok());
            let tensor = tensor.ok_or("its bias is not a constant")?;
            Some(Summand::Constant(bias, tensor))
        }
    };
    let zero_point = match zero_points(&stored, &grids) {
        Some(zeros) if zeros.len() > 1 => {
            return Err("ConvInteger has one zero point for all channels".into());
        }
        zeros => zeros,
    };
    Ok(Layer {
        node,
        op: "ConvInteger",
        attributes: model.node(node).attributes().to_vec(),
        activation: conv.x,
        transposed: false,
        weight: Weight { left: false, integers, reordered: None, zero_point },
        scale: scales(&grids, 1.0, &along),
        dtype: stored.dtype,
        summand,
    })
}

fn of_gemm(model: &Model, node: NodeId, gemm: &Gemm) -> Result<Layer, String> {
    let (stored, integers) = weight(model, gemm.b)?;
    let grids = by_channel(&stored, Some(gemm.output_axis()))?;
    let summand = Summand::of_gemm(model, gemm);
    let reordered = gemm.trans_b.then(|| reordered(model, gemm.b, &stored)).flatten();
    Ok(Layer {
        node,
        op: "MatMulInteger",
        attributes: Vec::new(),
        activation: gemm.a,
        transposed: gemm.trans_a,
        weight: Weight {
            left: false,
            integers,
            reordered,
            zero_point: zero_points(&stored, &grids),
        },
        scale: scales(&grids, gemm.alpha, &[grids.len()]),
        dtype: stored.dtype,
        summand,
    })
}

fn of_matmul(model: &Model, node: NodeId) -> Result<Layer, String> {
    let operand = |slot: usize| model.node(node).input(slot).ok_or("an input is missing");
    let (a, b) = (operand(0)?, operand(1)?);
    let by_rows = turned(model, b).map(|(_, before)| before);
    let by_rows = match by_rows {
        Some(before) => StoredWeight::behind(model, before)?.map(|_| before),
        None => None,
    };
    if let Some(before) = by_rows {
        let (stored, integers) = weight(model, before)?;
        let grids = by_channel(&stored, Some(0))?;
        let zero_point = zero_points(&stored, &grids);
        let reordered = Some(Reordered::Computed);
        return Ok(Layer {
            node,
            op: "MatMulInteger",
            attributes: Vec::new(),
            activation: a,
            transposed: false,
            weight: Weight { left: false, integers, reordered, zero_point },
            scale: scales(&grids, 1.0, &[grids.len()]),
            dtype: stored.dtype,
            summand: None,
        });
    }
    let left = StoredWeight::behind(model, b)?.is_none();
    let (x, (stored, integers)) = match left {
        true => (b, weight(model, a)?),
        false => (a, weight(model, b)?),
    };
    let rank = stored.dims.len();
    // Columns of the right factor are those of the product; rows of the left one are not its last axis.
    let grids = by_channel(&stored, (!left).then_some(rank - 1))?;
    let weight = match left {
        true => of_left(&stored, integers, &grids),
        false => match zero_points(&stored, &grids) {
            Some(zeros) if zeros.len() > 1 && rank > 2 => {
                return Err("its weight has several axes and several zero points".into());
            }
            zero_point => Weight { left, integers, reordered: None, zero_point },
        },
    };
    Ok(Layer {
        node,
        op: "MatMulInteger",
        attributes: Vec::new(),
        activation: x,
        transposed: false,
        weight,
        scale: scales(&grids, 1.0, &[grids.len()]),
        dtype: stored.dtype,
        summand: None,
    })
}

/// A left factor, unsigned: ONNX Runtime has no kernel for int8 on the left of uint8.
fn of_left(stored: &StoredWeight, integers: ValueId, grids: &[Grid]) -> Weight {
    let signed = matches!(stored.on_grids(), Some((_, DType::Int8)));
    let raised = |q: &i32| if signed { q - i32::from(i8::MIN) } else { *q };
    let unsigned =
        |dims: &[usize], numbers: Vec<i32>| Tensor::from_integers(DType::Uint8, dims, &numbers);
    let numbers = || unsigned(&stored.dims, stored.integers.iter().map(raised).collect());
    let zero = grids.first().map_or(0, |grid| raised(&grid.zero_point));
    Weight {
        left: true,
        integers,
        reordered: signed.then(numbers).map(Reordered::Stored),
        zero_point: Some(unsigned(&[], vec![zero])),
    }
}

/// The stored weight that `floats` are made of, and its integers.
pub(super) fn weight(model: &Model, floats: ValueId) -> Result<(StoredWeight, ValueId), String> {
    let found = StoredWeight::behind(model, floats)?;
    let stored = found.ok_or("its weight is not stored as integers")?;
    let (integers, dtype) = stored.on_grids().ok_or("its weight is stored as indices")?;
    if !matches!(dtype, DType::Int8 | DType::Uint8) {
        return Err(format!("no operator on integers reads weights of {dtype}"));
    }
    if stored.dims.len() < 2 || stored.integers.is_empty() {
        return Err(format!("its weight has dims {:?}", stored.dims));
    }
    Ok((stored, integers))
}

/// The grid of each slice along an axis; a single one when all elements share it.
fn by_channel(stored: &StoredWeight, axis: Option<usize>) -> Result<Vec<Grid>, String> {
    let grids = stored.points.grids();
    if let [grid] = *grids {
        return Ok(vec![grid]);
    }
    let odd = || "its weight has scales that are not those of output channels".to_owned();
    let axis = axis.ok_or_else(odd)?;
    let (extent, inner) = (stored.dims[axis], stored.dims[axis + 1..].iter().product::<usize>());
    let mut found: Vec<Option<u32>> = vec![None; extent];
    for (i, &grid) in stored.part_of.iter().enumerate() {
        if *found[i / inner % extent].get_or_insert(grid) != grid {
            return Err(odd());
        }
    }
    let grid = |grid: Option<u32>| grids.get(grid? as usize).copied();
    found.into_iter().map(grid).collect::<Option<_>>().ok_or_else(odd)
}

/// Zero points as a scalar when they are equal, else one for each channel; nothing when all are 0.
fn zero_points(stored: &StoredWeight, grids: &[Grid]) -> Option<Tensor> {
    let zeros: Vec<i32> = grids.iter().map(|grid| grid.zero_point).collect();
    match zeros.iter().all(|zero| zero == &zeros[0]) {
        true if zeros[0] == 0 => None,
        true => integers(stored, &[], &zeros[..1]),
        false => integers(stored, &[zeros.len()], &zeros),
    }
}

/// Integers of the type of a weight.
pub(super) fn integers(stored: &StoredWeight, dims: &[usize], integers: &[i32]) -> Option<Tensor> {
    let (_, dtype) = stored.on_grids()?;
    Some(Tensor::from_integers(dtype, dims, integers))
}

fn scales(grids: &[Grid], factor: f32, along: &[usize]) -> Tensor {
    let scales: Vec<f32> = grids.iter().map(|grid| grid.scale * factor).collect();
    Tensor::from_f32(if scales.len() == 1 { &[] } else { along }, &scales)
}

/// The integers of `floats` by columns.
fn reordered(model: &Model, floats: ValueId, stored: &StoredWeight) -> Option<Reordered> {
    match model.value(floats).only_consumer() {
        Some(_) => transposed(stored).map(Reordered::Stored),
        None => Some(Reordered::Computed),
    }
}

/// Integers of a matrix, by columns.
fn transposed(stored: &StoredWeight) -> Option<Tensor> {
    let (rows, columns) = (stored.dims[0], stored.dims[1]);
    let at = |i: usize| stored.integers[i % rows * columns + i / rows];
    let by_column: Vec<i32> = (0..stored.integers.len()).map(at).collect();
    integers(stored, &[columns, rows], &by_column)
}
