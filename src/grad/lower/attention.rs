//! Attention of operator set 23, as what it stands for.

use crate::grad::Real;
use crate::grad::lower::tensor::Value;
use crate::grad::lower::{Known, Lower};
use crate::grad::op::binary::Function;
use crate::grad::op::select::Select;
use crate::grad::op::softmax::Softmax;
use crate::grad::op::unary::Unary;
use crate::ir::Node;
use crate::tensor::DType;

/// What a score becomes that does not count; its power is 0.
const NEVER: f64 = -1e30;

impl<T: Real> Lower<'_, T> {
    pub fn attention(&mut self, node: &Node) -> Known<Value> {
        let past = (4..node.inputs().len()).any(|slot| node.input(slot).is_some());
        let more = node.outputs().iter().skip(1).any(Option::is_some);
        let capped = node.attr_float("softcap").is_some_and(|cap| cap != 0.0);
        if past || more || capped {
            return Err("there is no kernel for its cache, its softcap or its scores".to_owned());
        }
        let flat = self.input(node, 0)?.rank() == 3;
        let q = self.heads(node, 0, "q_num_heads")?;
        let (k, v) = (self.heads(node, 1, "kv_num_heads")?, self.heads(node, 2, "kv_num_heads")?);
        let (k, v) = (self.shared_heads(k, q.dims[1])?, self.shared_heads(v, q.dims[1])?);
        let size = q.dims[3] as f64;
        let scale = node.attr_float("scale").map_or(1.0 / size.sqrt(), f64::from);
        let turned = self.transposed(&k, &[0, 1, 3, 2]);
        let scores = self.matmul(&q, &turned)?;
        let mut scores = self.unary(Unary::Scale(scale), &scores);
        if node.attr_int("is_causal").unwrap_or(0) != 0 {
            let (rows, columns) = (scores.dims[2], scores.dims[3]);
            let past =
                (0..rows * columns).map(|i| T::of(f64::from(u8::from(i % columns <= i / columns))));
            let buffer = self.tape.constant(past.collect());
            let seen = Value::plain(buffer, &[1, 1, rows, columns], DType::Bool);
            scores = self.where_seen(&seen, &scores)?;
        }
        if let Some(mask) = self.optional(node, 3)? {
            let mask = self.lifted(&mask, 4);
            scores = match mask.dtype {
                DType::Bool => self.where_seen(&mask, &scores)?,
                _ => self.binary(Function::Add, &scores, &mask)?,
            };
        }
        let scores = self.plain(&scores);
        let kernel = Softmax { extents: scores.around(3), log: false };
        let buffer = self.tape.step(kernel, &[scores.buffer], scores.len());
        let result = self.matmul(&Value { buffer, ..scores }, &v)?;
        if !flat {
            return Ok(result);
        }
        let [n, heads, rows, size] = result.dims[..] else { return Err("it has no heads".into()) };
        let together = self.transposed(&result, &[0, 2, 1, 3]);
        Ok(self.reshaped(&together, &[n, rows, heads * size]))
    }

    /// An input as `[batch, heads, rows, size]`.
    fn heads(&mut self, node: &Node, slot: usize, count: &str) -> Known<Value> {
        let value = self.input(node, slot)?;
        let heads = node.attr_int(count).and_then(|n| usize::try_from(n).ok()).filter(|&n| n > 0);
        match (&value.dims[..], heads) {
            ([_, _, _, _], _) => Ok(self.plain(&value)),
            (&[n, rows, all], Some(heads)) if all % heads == 0 => {
                let split = self.reshaped(&value, &[n, rows, heads, all / heads]);
                let turned = self.transposed(&split, &[0, 2, 1, 3]);
                Ok(self.plain(&turned))
            }
            _ => Err("its heads do not fit".to_owned()),
        }
    }

    /// Heads that several of the queries share, once for each.
    fn shared_heads(&mut self, value: Value, heads: usize) -> Known<Value> {
        let own = value.dims[1];
        if own == 0 || !heads.is_multiple_of(own) {
            return Err("its heads do not fit".to_owned());
        }
        let group = heads / own;
        Ok(self.places(&value, 1, (0..heads).map(|head| head / group).collect()))
    }

    /// Scores where a mask is not 0.
    fn where_seen(&mut self, mask: &Value, scores: &Value) -> Known<Value> {
        let never = self.tape.constant(vec![T::of(NEVER)]);
        let (mask, scores) = (self.plain(mask), self.plain(scores));
        let kernel = Select::new(&scores.dims, [&mask.dims, &scores.dims, &[1; 4]]);
        let buffers = [mask.buffer, scores.buffer, never];
        let buffer = self.tape.step(kernel, &buffers, scores.len());
        Ok(Value { buffer, ..scores })
    }
}
