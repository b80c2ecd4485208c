//! Normalizations of activations.

use crate::grad::Real;
use crate::grad::lower::node::{axis_of, float};
use crate::grad::lower::tensor::Value;
use crate::grad::lower::{Known, Lower};
use crate::grad::op::batch_norm::BatchNorm;
use crate::grad::op::binary::Function;
use crate::grad::op::standardize::Standardize;
use crate::ir::{Node, NodeId, ops};

impl<T: Real> Lower<'_, T> {
    pub fn batch_norm(&mut self, id: NodeId) -> Known<Value> {
        let form = "it is not for inference";
        let norm = ops::BatchNorm::of(self.model, id).ok_or(form)?;
        let node = self.model.node(id);
        let x = self.get(norm.x)?;
        let x = self.last(&x);
        let (gamma, beta) = (self.get(norm.scale)?, self.get(norm.bias)?);
        let mean = self.numbers(node, 3)?.ok_or(form)?;
        let var = self.numbers(node, 4)?.ok_or(form)?;
        if x.rank() < 2 || mean.len() != x.dims[1] || var.len() != mean.len() {
            return Err("its statistics do not fit".to_owned());
        }
        let epsilon = f64::from(norm.epsilon);
        let inv = var.iter().map(|var| 1.0 / (var + epsilon).sqrt()).collect();
        let buffers = [x.buffer, gamma.buffer, beta.buffer];
        let buffer = self.tape.step(BatchNorm { mean, inv }, &buffers, x.len());
        Ok(Value { buffer, ..x })
    }

    /// Rows of `len` numbers standardized; the numbers are in the order of the axes.
    fn standardized(&mut self, value: &Value, len: usize, epsilon: f64, centred: bool) -> Value {
        let value = self.plain(value);
        let kernel = Standardize { len: len.max(1), epsilon, centred };
        let buffer = self.tape.step(kernel, &[value.buffer], value.len());
        Value { buffer, ..value }
    }

    /// Scale and offset of a node, the offset perhaps left out, seen with other extents.
    fn scaled(
        &mut self,
        node: &Node,
        value: &Value,
        slots: [usize; 2],
        seen: Option<&[usize]>,
    ) -> Known<Value> {
        let mut result = value.clone();
        for (slot, function) in slots.into_iter().zip([Function::Mul, Function::Add]) {
            let Some(operand) = self.optional(node, slot)? else { continue };
            let operand = match seen {
                Some(dims) if dims.iter().product::<usize>() == operand.len() => {
                    self.reshaped(&operand, dims)
                }
                Some(_) => return Err("its scale does not fit".to_owned()),
                None => operand,
            };
            result = self.binary(function, &result, &operand)?;
        }
        Ok(result)
    }

    pub fn norm(&mut self, node: &Node) -> Known<Value> {
        if node.outputs().iter().skip(1).any(Option::is_some) {
            return Err("its mean or deviation is asked for".to_owned());
        }
        let value = self.input(node, 0)?;
        let epsilon = float(node, "epsilon", 1e-5);
        let rank = value.rank();
        match node.op() {
            "InstanceNormalization" => {
                let len = value.dims.iter().skip(2).product();
                let result = self.standardized(&value, len, epsilon, true);
                let channels = [vec![value.dims[1]], vec![1; rank - 2]].concat();
                self.scaled(node, &result, [1, 2], Some(&channels))
            }
            "GroupNormalization" => {
                let groups = node.attr_int("num_groups").and_then(|n| usize::try_from(n).ok());
                let groups = groups.filter(|&n| n > 0).ok_or("it has no groups")?;
                let len = value.len() / (value.dims[0] * groups).max(1);
                let result = self.standardized(&value, len, epsilon, true);
                // Until operator set 21, each group had one scale.
                if self.opset < 21 {
                    let grouped = self.reshaped(&result, &[value.dims[0], groups, len]);
                    let scaled = self.scaled(node, &grouped, [1, 2], Some(&[groups, 1]))?;
                    return Ok(self.reshaped(&scaled, &value.dims));
                }
                let channels = [vec![value.dims[1]], vec![1; rank - 2]].concat();
                self.scaled(node, &result, [1, 2], Some(&channels))
            }
            op => {
                let axis = axis_of(node.attr_int("axis").unwrap_or(-1), rank)?;
                let len = value.dims[axis..].iter().product();
                let result = self.standardized(&value, len, epsilon, op == "LayerNormalization");
                self.scaled(node, &result, [1, 2], None)
            }
        }
    }

    /// LayerNormalization of a sum, of ONNX Runtime.
    pub fn skip_norm(&mut self, node: &Node) -> Known<Vec<Option<Value>>> {
        if node.output(1).is_some() || node.output(2).is_some() {
            return Err("its mean or deviation is asked for".to_owned());
        }
        let centred = node.op() == "SkipLayerNormalization";
        let (value, skip) = (self.input(node, 0)?, self.input(node, 1)?);
        let mut sum = self.binary(Function::Add, &value, &skip)?;
        if let Some(bias) = self.optional(node, if centred { 4 } else { 3 })? {
            sum = self.binary(Function::Add, &sum, &bias)?;
        }
        let len = *sum.dims.last().ok_or("it has no axes")?;
        let result = self.standardized(&sum, len, float(node, "epsilon", 1e-5), centred);
        let slots = if centred { [2, 3] } else { [2, usize::MAX] };
        let result = self.scaled(node, &result, slots, None)?;
        Ok(vec![Some(result), None, None, Some(sum)])
    }
}
