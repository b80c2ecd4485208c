//! Layers that multiply by constants, and how a factor and an offset per output channel go into
//! them.

use crate::analysis::constant;
use crate::ir::ops::{BatchNorm, Conv, Gemm};
use crate::ir::{Model, NodeId, ValueId};
use crate::tensor::{DType, Tensor};

/// `y = factor · x + offset`, for each channel.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::passes) struct Affine {
    pub factor: Vec<f64>,
    pub offset: Vec<f64>,
}

/// A layer that can take up an [`Affine`] behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::passes) struct Layer {
    pub node: NodeId,
    kind: Kind,
    /// The weight: of a normalization, its factors.
    pub weight: ValueId,
    /// The offset.
    bias: Option<ValueId>,
    /// What it makes.
    pub y: ValueId,
    /// Axis of the output that counts channels: from the front, or from the back when negative.
    pub axis: isize,
    /// Number of channels.
    pub channels: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Conv,
    /// Weights are `[C, M/group, k…]`.
    ConvTranspose {
        group: usize,
    },
    Gemm {
        axis: usize,
    },
    MatMul,
    BatchNorm,
    /// LayerNormalization or RMSNormalization over the last axis.
    Norm {
        biased: bool,
    },
}

/// Where all layers have their weight.
pub(in crate::passes) const WEIGHT_SLOT: usize = 1;
/// Where they have their bias, if they can have one.
pub(in crate::passes) const BIAS_SLOT: usize = 2;

/// Most bytes of a shared parameter that gets a copy of its own for a layer that changes it, 4 KiB:
/// biases and factors of channels, no weights.
const LARGEST_COPY: usize = 4 << 10;

/// New parameters of a layer.
pub(in crate::passes) struct Absorbed {
    layer: Layer,
    /// `None` where it stays as it is.
    weight: Option<Tensor>,
    /// `None` where the layer has none and needs none.
    bias: Option<Tensor>,
}

impl Layer {
    /// The view, when `node` is a layer with a constant weight.
    pub fn of(model: &Model, node: NodeId) -> Option<Self> {
        let dims = |value: ValueId| Some(constant(model, value)?.dims().to_vec());
        if let Some(conv) = Conv::of(model, node) {
            let weight = dims(conv.w)?;
            let (kind, channels) = match conv.transposed {
                false => (Kind::Conv, *weight.first()?),
                true => {
                    let kind = Kind::ConvTranspose { group: conv.group };
                    (kind, weight.get(1)?.checked_mul(conv.group)?)
                }
            };
            let (weight, bias, y) = (conv.w, conv.b, conv.y);
            return Some(Self { node, kind, weight, bias, y, axis: 1, channels });
        }
        if let Some(gemm) = Gemm::of(model, node) {
            // The factors of product and bias would have to be divided out.
            let plain = gemm.alpha == 1.0 && gemm.beta == 1.0;
            let axis = gemm.output_axis();
            let channels = *dims(gemm.b).filter(|dims| plain && dims.len() == 2)?.get(axis)?;
            let (kind, weight, bias) = (Kind::Gemm { axis }, gemm.b, gemm.c);
            return Some(Self { node, kind, weight, bias, y: gemm.y, axis: -1, channels });
        }
        if let Some(norm) = BatchNorm::of(model, node) {
            let channels = *dims(norm.scale)?.first()?;
            let (weight, bias) = (norm.scale, Some(norm.bias));
            let kind = Kind::BatchNorm;
            return Some(Self { node, kind, weight, bias, y: norm.y, axis: 1, channels });
        }
        let entry = model.node(node);
        if entry.is("MatMul") {
            let (weight, y) = (entry.input(1)?, entry.only_output()?);
            let channels = *dims(weight).filter(|dims| dims.len() >= 2)?.last()?;
            let kind = Kind::MatMul;
            return Some(Self { node, kind, weight, bias: None, y, axis: -1, channels });
        }
        let biased = entry.is("LayerNormalization");
        if biased || entry.is("RMSNormalization") {
            // Extents of 1 may stand before the last one only when they are normalized over, too.
            let (weight, y) = (entry.input(1)?, entry.output(0)?);
            let last = entry.attr_int("axis").unwrap_or(-1) == -1;
            let &[channels] = dims(weight).filter(|_| last)?.as_slice() else { return None };
            let (kind, bias) = (Kind::Norm { biased }, entry.input(2).filter(|_| biased));
            return Some(Self { node, kind, weight, bias, y, axis: -1, channels });
        }
        None
    }

    /// The largest magnitude of the weights of each output channel.
    ///
    /// # Errors
    /// When the weight is not a constant of `float` or `double`.
    pub fn magnitudes(&self, model: &Model) -> Result<Vec<f64>, String> {
        let weight = parameter(model, self.weight)?;
        let values = weight.to_f64().map_err(|error| error.to_string())?;
        let mut largest = vec![0f64; self.channels];
        self.each(weight.dims(), |i, channel| {
            largest[channel] = largest[channel].max(values[i].abs());
        });
        Ok(largest)
    }

    /// The parameters with `affine` taken up.
    ///
    /// # Errors
    /// Why that would be wrong or inexact.
    pub fn absorb(self, model: &Model, affine: &Affine) -> Result<Absorbed, String> {
        let name = |value: ValueId| model.value(value).name();
        for value in [Some(self.weight), self.bias].into_iter().flatten() {
            let small = constant(model, value)
                .is_some_and(|t| t.dims().len() < 2 && t.byte_size() <= LARGEST_COPY);
            if model.value(value).only_consumer().is_none() && !small {
                return Err(format!("parameter `{}` is shared", name(value)));
            }
        }
        let weight = parameter(model, self.weight)?;
        if weight.is_empty() || affine.factor.len() != self.channels {
            return Err(format!(
                "the layer has {} channels, found {} factors",
                self.channels,
                affine.factor.len()
            ));
        }
        let bias = self.new_bias(model, affine)?;
        let bias = match (self.kind, bias) {
            (Kind::MatMul, Some(_)) => return Err("MatMul has no bias".into()),
            (Kind::Norm { biased: false }, Some(_)) => {
                return Err("RMSNormalization has no bias".into());
            }
            (_, bias) => bias.map(|bias| store(&weight, &[self.channels], &bias)).transpose()?,
        };
        // A weight of a gigabyte is not copied to be multiplied by 1.
        let scaled = affine.factor.iter().any(|&x| x != 1.0);
        let weight = scaled.then(|| self.scaled(&weight, affine)).transpose()?;
        Ok(Absorbed { layer: self, weight, bias })
    }

    /// The weight with the factors of its output channels.
    fn scaled(&self, weight: &Tensor, affine: &Affine) -> Result<Tensor, String> {
        let mut values = weight.to_f64().map_err(|error| error.to_string())?;
        self.each(weight.dims(), |i, channel| values[i] *= affine.factor[channel]);
        store(weight, weight.dims(), &values)
    }

    /// The index of each element of a weight of `dims`, with its output channel.
    fn each(&self, dims: &[usize], mut of: impl FnMut(usize, usize)) {
        let (axis, group) = match self.kind {
            Kind::Conv | Kind::BatchNorm | Kind::Norm { .. } => (0, 1),
            Kind::ConvTranspose { group } => (1, group),
            Kind::Gemm { axis } => (axis, 1),
            Kind::MatMul => (dims.len() - 1, 1),
        };
        let inner: usize = dims[axis + 1..].iter().product();
        let row: usize = dims[1..].iter().product();
        // Output channel m of group g of a ConvTranspose stands in slice m of the rows of that group.
        let rows = dims[0] / group.max(1);
        for i in 0..dims.iter().product() {
            let within = i / inner.max(1) % dims[axis];
            let group = if group > 1 { i / row.max(1) / rows.max(1) } else { 0 };
            of(i, group * dims[axis] + within);
        }
    }

    /// The bias after `affine`; `None` when the layer has none and none is needed.
    fn new_bias(&self, model: &Model, affine: &Affine) -> Result<Option<Vec<f64>>, String> {
        let before = match self.bias {
            None if affine.offset.iter().all(|&x| x == 0.0) => return Ok(None),
            None => vec![0.0; self.channels],
            Some(bias) => {
                let tensor = parameter(model, bias)?;
                let values = tensor.to_f64().map_err(|error| error.to_string())?;
                // A Gemm broadcasts its bias; only one number for each column can be scaled so.
                let single = values.len() == 1 && matches!(self.kind, Kind::Gemm { .. });
                match values.len() == self.channels && tensor.dims().last() == Some(&self.channels)
                {
                    true => values,
                    false if single => vec![values[0]; self.channels],
                    false => {
                        return Err(format!(
                            "bias `{}` has dims {:?}, expected [{}]",
                            model.value(bias).name(),
                            tensor.dims(),
                            self.channels
                        ));
                    }
                }
            }
        };
        let terms = before.iter().zip(&affine.factor).zip(&affine.offset);
        Ok(Some(terms.map(|((b, factor), offset)| b * factor + offset).collect()))
    }
}

impl Absorbed {
    /// Gives the layer its new parameters, and returns its name for the report.
    pub fn apply(self, model: &mut Model) -> String {
        let Layer { node, weight, bias, .. } = self.layer;
        let place = model.label(node);
        if let Some(tensor) = self.weight {
            put(model, node, WEIGHT_SLOT, weight, tensor);
        }
        if let Some(tensor) = self.bias {
            match bias {
                Some(bias) => put(model, node, BIAS_SLOT, bias, tensor),
                None => {
                    let graph = model.node(node).graph();
                    let layer = model.value(weight).name();
                    let name = match layer.strip_suffix("weight") {
                        Some(layer) => format!("{layer}bias"),
                        None => format!("{layer}_bias"),
                    };
                    let bias = model.add_initializer(graph, &name, tensor);
                    model.set_input(node, BIAS_SLOT, Some(bias));
                }
            }
        }
        place
    }
}

/// Puts a tensor where a parameter stands: into the initializer, or into a new one when a node makes
/// the parameter or others read it too.
pub(in crate::passes) fn put(
    model: &mut Model,
    node: NodeId,
    slot: usize,
    old: ValueId,
    tensor: Tensor,
) {
    let same_dims = constant(model, old).is_some_and(|t| t.dims() == tensor.dims());
    let own =
        model.value(old).initializer().is_some() && model.value(old).only_consumer().is_some();
    if own && same_dims {
        model.set_tensor(old, tensor);
    } else {
        let (graph, name) =
            (model.node(node).graph(), format!("{}_fused", model.value(old).name()));
        let new = model.add_initializer(graph, &name, tensor);
        model.set_input(node, slot, Some(new));
    }
}

/// A constant of a floating-point type that can be scaled without another rounding to few bits.
pub(in crate::passes) fn parameter(model: &Model, value: ValueId) -> Result<Tensor, String> {
    let name = model.value(value).name();
    let tensor = constant(model, value).ok_or_else(|| format!("`{name}` is not a constant"))?;
    match tensor.dtype() {
        DType::Float | DType::Double => Ok(tensor),
        dtype => Err(format!("`{name}` is {dtype}; folding would round it again")),
    }
}

/// A tensor of the type of `like`; refused when an element is not finite.
pub(in crate::passes) fn store(
    like: &Tensor,
    dims: &[usize],
    values: &[f64],
) -> Result<Tensor, String> {
    let tensor = match like.dtype() {
        DType::Double => Tensor::from_f64(dims, values),
        _ => Tensor::from_f32(dims, &values.iter().map(|&x| x as f32).collect::<Vec<_>>()),
    };
    let finite = tensor.to_f64().is_ok_and(|values| values.iter().all(|x| x.is_finite()));
    finite.then_some(tensor).ok_or_else(|| "a folded parameter is not finite".to_owned())
}

/// A constant that varies along one axis only, as one number for each channel.
pub(in crate::passes) fn along(
    model: &Model,
    value: ValueId,
    axis: isize,
    rank: usize,
    channels: usize,
) -> Result<Vec<f64>, String> {
    let tensor = parameter(model, value)?;
    let dims = tensor.dims();
    if tensor.len() > channels {
        return Err("the constant has more elements than channels".into());
    }
    let values = tensor.to_f64().map_err(|error| error.to_string())?;
    // Position of the channel axis among the constant's own axes, aligned at the end.
    let axis = if axis < 0 { rank.checked_add_signed(axis) } else { Some(axis.unsigned_abs()) };
    let own = axis.and_then(|axis| (axis + dims.len()).checked_sub(rank));
    let others = dims.iter().enumerate().filter(|&(i, _)| Some(i) != own).all(|(_, &d)| d == 1);
    if dims.len() > rank || !others {
        return Err("the constant varies along other axes".into());
    }
    match values.len() {
        1 => Ok(vec![values[0]; channels]),
        n if n == channels => Ok(values),
        n => Err(format!("the constant has {n} elements, the layer {channels} channels")),
    }
}

/// Whether what `layer` makes is read only by `node`, in the same graph, and `output` of that node
/// can stand in its place.
///
/// # Errors
/// Why not.
pub(in crate::passes) fn adjacent(
    model: &Model,
    layer: &Layer,
    node: NodeId,
    output: ValueId,
) -> Result<(), String> {
    let name = |value: ValueId| model.value(value).name();
    if model.node(layer.node).graph() != model.node(node).graph() {
        return Err("the layer stands in another graph".into());
    }
    if model.value(layer.y).is_output() {
        return Err(format!("`{}` before it is an output of the graph", name(layer.y)));
    }
    if model.value(layer.y).only_consumer().is_none() {
        return Err(format!("`{}` before it is used elsewhere too", name(layer.y)));
    }
    if !model.can_substitute(output, layer.y) {
        return Err(format!("output `{}` cannot be renamed", name(output)));
    }
    Ok(())
}
