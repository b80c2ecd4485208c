//! Which family a node belongs to, and what its inputs and attributes are.

use crate::analysis::constant;
use crate::grad::Real;
use crate::grad::lower::tensor::Value;
use crate::grad::lower::{Known, Lower};
use crate::ir::ops::MICROSOFT;
use crate::ir::{Node, NodeId, ValueId};
use crate::tensor::DType;

impl<T: Real> Lower<'_, T> {
    /// Puts a node on the tape; when that is impossible, its outputs are unknown.
    pub fn node(&mut self, id: NodeId) {
        let outputs: Vec<Option<ValueId>> = self.model.node(id).outputs().to_vec();
        let known = |lower: &Self, value: ValueId| {
            let whole = lower.shapes.dtype(value).is_some_and(|dtype| !dtype.is_float());
            whole && lower.shapes.tensor(value).is_some() || constant(lower.model, value).is_some()
        };
        // What is the same in every run is found when it is asked for.
        if outputs.iter().flatten().all(|&value| known(self, value)) {
            return;
        }
        match self.results(id) {
            Ok(results) => {
                for (slot, output) in outputs.iter().enumerate() {
                    let Some(output) = *output else { continue };
                    let label =
                        || format!("{} has no kernel for this output", self.model.label(id));
                    let result = results.get(slot).cloned().flatten().ok_or_else(label);
                    self.values.insert(output, result);
                }
            }
            Err(reason) => {
                let reason = match reason.contains('`') {
                    true => reason,
                    false => format!("{}: {reason}", self.model.label(id)),
                };
                for &output in outputs.iter().flatten() {
                    self.values.insert(output, Err(reason.clone()));
                }
            }
        }
    }

    /// The outputs of a node.
    fn results(&mut self, id: NodeId) -> Known<Vec<Option<Value>>> {
        let model = self.model;
        let node = model.node(id);
        let one = |value: Known<Value>| value.map(|value| vec![Some(value)]);
        if node.domain() == MICROSOFT {
            return match node.op() {
                "Gelu" | "FastGelu" | "BiasGelu" | "QuickGelu" => one(self.biased_gelu(node)),
                "SkipLayerNormalization" | "SkipSimplifiedLayerNormalization" => {
                    self.skip_norm(node)
                }
                "MatMulNBits" => one(self.packed_product(id)),
                "GatherBlockQuantized" => one(self.packed_gather(id)),
                op => Err(format!("there is no kernel for {op}")),
            };
        }
        if !node.is_standard() {
            return Err(format!("there is no kernel for {}", node.op()));
        }
        match node.op() {
            "Identity" | "Dropout" => one(self.input(node, 0)),
            "Relu" | "LeakyRelu" | "Clip" | "Sigmoid" | "Tanh" | "Exp" | "Log" | "Sqrt" | "Erf"
            | "Neg" | "Abs" | "Reciprocal" | "Softplus" | "Softsign" | "Sin" | "Cos"
            | "HardSigmoid" | "HardSwish" | "Gelu" | "Swish" | "Mish" | "Elu" | "Selu" | "Celu"
            | "Floor" | "Ceil" | "Round" | "Sign" | "Not" => one(self.unary_node(node)),
            "Add" | "Sub" | "Mul" | "Div" | "PRelu" | "Equal" | "Less" | "LessOrEqual"
            | "Greater" | "GreaterOrEqual" | "And" | "Or" | "Xor" | "Mod" => {
                one(self.binary_node(node))
            }
            "Pow" => one(self.power(node)),
            "Sum" | "Mean" | "Max" | "Min" => one(self.variadic(node)),
            "Where" => one(self.select(node)),
            "Cast" | "CastLike" => one(self.cast(node)),
            "Reshape" | "Flatten" | "Squeeze" | "Unsqueeze" => one(self.view(node)),
            "Transpose" => one(self.transpose(node)),
            "Slice" => one(self.slice(node)),
            "Split" => self.split(node),
            "LSTM" | "GRU" => self.recurrent(node),
            "Pad" => one(self.pad(node)),
            "Expand" | "Tile" => one(self.repeat(node)),
            "Gather" => one(self.gather(node)),
            "GatherElements" | "GatherND" => one(self.collect(node)),
            "ScatterElements" | "ScatterND" => one(self.scatter(node)),
            "Einsum" => one(self.einsum(node)),
            "Attention" => one(self.attention(node)),
            "If" => self.branches(id),
            "Concat" => one(self.concat(node)),
            "DepthToSpace" => one(self.depth_to_space(node)),
            "SpaceToDepth" => one(self.space_to_depth(node)),
            "ConstantOfShape" => one(self.constant_of_shape(node)),
            "ReduceSum" | "ReduceMean" | "ReduceMax" | "ReduceMin" | "ReduceL1" | "ReduceL2"
            | "ReduceSumSquare" | "ReduceLogSumExp" | "ReduceLogSum" => one(self.reduce_node(node)),
            "GlobalAveragePool" | "GlobalMaxPool" => one(self.global_pool(node)),
            "CumSum" => one(self.cumulative(node)),
            "Softmax" | "LogSoftmax" => one(self.softmax(node)),
            "MatMul" => one(self.matmul_node(node)),
            "Gemm" => one(self.gemm(id)),
            "Conv" => one(self.conv(node)),
            "ConvTranspose" => one(self.conv_transpose(node)),
            "MaxPool" | "AveragePool" => one(self.pool(node)),
            "BatchNormalization" => one(self.batch_norm(id)),
            "LayerNormalization"
            | "RMSNormalization"
            | "SimplifiedLayerNormalization"
            | "InstanceNormalization"
            | "GroupNormalization" => one(self.norm(node)),
            "Resize" | "Upsample" => one(self.resize(node)),
            "QuantizeLinear" => one(self.quantize(node)),
            "DequantizeLinear" => one(self.dequantize(node)),
            op => Err(format!("there is no kernel for {op}")),
        }
    }

    /// An input that must be there.
    pub fn input(&mut self, node: &Node, slot: usize) -> Known<Value> {
        let value = node.input(slot).ok_or_else(|| format!("input {slot} is left out"))?;
        self.get(value)
    }

    /// An input that may be left out.
    pub fn optional(&mut self, node: &Node, slot: usize) -> Known<Option<Value>> {
        node.input(slot).map(|value| self.get(value)).transpose()
    }

    /// Extents of the first output.
    pub fn result_dims(&self, node: &Node) -> Known<Vec<usize>> {
        self.output_dims(node, 0)
    }

    /// Extents of an output.
    pub fn output_dims(&self, node: &Node, slot: usize) -> Known<Vec<usize>> {
        let dims = node.output(slot).and_then(|output| self.shapes.fixed_dims(output));
        dims.ok_or_else(|| "its extents are not known".to_owned())
    }

    /// The integers of an input that are the same in every run; nothing when it is left out.
    pub fn ints(&self, node: &Node, slot: usize) -> Known<Option<Vec<i64>>> {
        let Some(value) = node.input(slot) else { return Ok(None) };
        let tensor = constant(self.model, value).or_else(|| self.shapes.tensor(value));
        let ints = tensor.and_then(|tensor| tensor.to_i64().ok());
        ints.map(Some).ok_or_else(|| format!("input {slot} depends on what is fed"))
    }

    /// The numbers of an input that are the same in every run; nothing when it is left out.
    pub fn numbers(&mut self, node: &Node, slot: usize) -> Known<Option<Vec<f64>>> {
        let Some(value) = self.optional(node, slot)? else { return Ok(None) };
        let numbers = self.tape.always(value.buffer);
        let numbers =
            numbers.ok_or_else(|| format!("input {slot} is not the same in every run"))?;
        Ok(Some(numbers.iter().map(|x| x.wide()).collect()))
    }
}

/// Whether an operator with a kernel has no gradient: it gives steps, truths or integers.
pub fn stops(node: &Node) -> bool {
    let to_integers = || {
        let to = node.attr_int("to").and_then(|to| DType::from_onnx(i32::try_from(to).ok()?));
        to.is_some_and(|dtype| !dtype.is_float())
    };
    match node.op() {
        "Floor" | "Ceil" | "Round" | "Sign" | "Not" | "Equal" | "Less" | "LessOrEqual"
        | "Greater" | "GreaterOrEqual" | "And" | "Or" | "Xor" | "Mod" | "Shape" | "Size" => true,
        "Cast" => to_integers(),
        _ => false,
    }
}

/// An axis that may count from the end.
pub fn axis_of(axis: i64, rank: usize) -> Known<usize> {
    let from_end = if axis < 0 { axis + rank as i64 } else { axis };
    let axis = usize::try_from(from_end).ok().filter(|&axis| axis < rank);
    axis.ok_or_else(|| "an axis does not exist".to_owned())
}

/// An attribute.
pub fn float(node: &Node, name: &str, default: f32) -> f64 {
    f64::from(node.attr_float(name).unwrap_or(default))
}
