//! Nodes of constants whose results are defined bit by bit, computed without an engine.
//!
//! The rules that follow the elements of small tensors compute nothing that engines could differ in,
//! so they compute these nodes, too. Operators that only move elements move any type: the rule is
//! asked where the numbers of the elements go, and the elements go there.

use crate::analysis::shapes::call::Call;
use crate::analysis::shapes::content::Content;
use crate::analysis::shapes::fact::Fact;
use crate::analysis::shapes::table::{Rule, rule};
use crate::ir::{Model, NodeId};
use crate::tensor::Tensor;

/// Elements that a node may read or make: what is larger takes an engine. An element takes 24 bytes
/// while it is followed.
const MOST_ELEMENTS: usize = 1 << 20;

/// Operators that give the elements of their first input other extents.
const VIEWS: &[&str] = &["Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze"];

/// The outputs of `node` for these inputs, in slot order, when they are the same bits on every
/// engine; `None` for anything else.
pub fn exact(
    model: &Model,
    node: NodeId,
    inputs: &[Option<Tensor>],
) -> Option<Vec<Option<Tensor>>> {
    let entry = model.node(node);
    let op = entry.op();
    let elements: usize = inputs.iter().flatten().map(Tensor::len).sum();
    let view = VIEWS.contains(&op);
    if !entry.is_standard() || !(view || elements <= MOST_ELEMENTS) {
        return None;
    }
    let moved = moved(op, inputs.len());
    let mut parts = Vec::new();
    let mut start = 0;
    let mut facts = Vec::with_capacity(inputs.len());
    for (slot, input) in inputs.iter().enumerate() {
        let Some(tensor) = input else {
            facts.push(Fact::default());
            continue;
        };
        let fact = Fact::fixed(tensor.dtype(), tensor.dims());
        facts.push(if moved.contains(&slot) {
            let end = start + tensor.len();
            let numbers = (!view).then(|| Content::from_ints(start..end)).flatten();
            start = end;
            parts.push(tensor.clone());
            fact.holding(numbers)
        } else {
            fact.holding(Content::of_tensor(tensor, MOST_ELEMENTS))
        });
    }
    let call = Call {
        model,
        node: entry,
        opset: model.opset_in_force(),
        facts: &[],
        given: Some(&facts),
        limit: MOST_ELEMENTS,
    };
    let results = match rule(entry.domain(), op)? {
        Rule::One(rule) => vec![rule(&call)],
        Rule::Many(rule) => rule(&call),
    };
    let outputs = entry.outputs().iter().enumerate().map(|(slot, output)| {
        if output.is_none() {
            return Some(None);
        }
        let fact = results.get(slot)?;
        let dims = fact.fixed_dims()?;
        if view {
            return parts.first()?.reshaped(dims).ok().map(Some);
        }
        let content = fact.content.as_ref()?;
        if moved.is_empty() {
            return content.to_tensor(fact.dtype?, &dims).map(Some);
        }
        let picked: Option<Vec<usize>> = content.ints()?.iter().map(|i| i.extent()).collect();
        Tensor::select(&parts, &picked?, dims).map(Some)
    });
    outputs.collect()
}

/// The inputs whose elements an operator only moves.
fn moved(op: &str, inputs: usize) -> Vec<usize> {
    match op {
        _ if VIEWS.contains(&op) => vec![0],
        "DepthToSpace" | "Expand" | "Gather" | "Slice" | "SpaceToDepth" | "Split" | "Tile"
        | "Transpose" => vec![0],
        "Concat" => (0..inputs).collect(),
        "Where" => vec![1, 2],
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::{At, NewNode};
    use crate::tensor::DType;

    /// The first output of `node` on these tensors.
    fn run(op: &str, inputs: &[Tensor], attributes: &[(&str, i64)]) -> Option<Tensor> {
        let mut model = Model::new(8, 17);
        let main = model.main();
        let values: Vec<_> =
            inputs.iter().map(|t| model.add_initializer(main, "x", t.clone())).collect();
        let mut node = NewNode::new(op, &values, "y");
        for &(name, value) in attributes {
            node = node.attr(name, value);
        }
        let node = model.add_node(main, At::End, node);
        let inputs: Vec<_> = inputs.iter().cloned().map(Some).collect();
        exact(&model, node, &inputs)?.remove(0)
    }

    #[test]
    fn every_type_is_moved() {
        let strings = ["a", "b", "c", "d"].map(|s| bytes::Bytes::from_static(s.as_bytes()));
        let strings = Tensor::from_strings(vec![2, 2], strings.to_vec()).unwrap();
        let turned = run("Transpose", &[strings], &[]).unwrap();
        assert_eq!(turned.strings().unwrap().concat(), b"acbd");
        for &dtype in DType::ALL.iter().filter(|&&dtype| dtype != DType::String) {
            let bytes: Vec<u8> = (1..=dtype.byte_len(4).unwrap() as u8).collect();
            let x = Tensor::new(dtype, vec![4], bytes.into()).unwrap();
            let order = Tensor::from_i64(&[4], &[3, -2, 1, 0]);
            let there = run("Gather", &[x.clone(), order.clone()], &[]).unwrap();
            let back = run("Gather", &[there.clone(), order], &[]).unwrap();
            assert_eq!(back.bytes(), x.bytes(), "{dtype}");
            assert_eq!(there.dtype(), dtype);
            let both = run("Concat", &[x.clone(), there.clone()], &[("axis", 0)]).unwrap();
            assert_eq!(both.dims(), [8]);
        }
    }

    #[test]
    fn arithmetic_rounds_once() {
        let half = |x: f32| Tensor::from_f32_as(DType::Float16, &[1], &[x]).unwrap();
        let sum = run("Add", &[half(2048.0), half(1.0)], &[]).unwrap();
        assert_eq!(sum.to_f32().unwrap(), [2048.0]);
        let quotient =
            run("Div", &[Tensor::from_f32(&[1], &[1.0]), Tensor::from_f32(&[1], &[3.0])], &[]);
        assert_eq!(quotient.unwrap().to_f32().unwrap(), [1.0 / 3.0]);
        let large = Tensor::from_i64(&[1], &[(1 << 60) + 1]);
        assert_eq!(run("Cast", &[large], &[("to", 1)]), None);
        let wrapped = Tensor::from_u8(&[1], &[255]);
        assert_eq!(run("Add", &[wrapped.clone(), wrapped], &[]), None);
    }

    #[test]
    fn what_engines_differ_in_is_left_to_them() {
        let one = |x: f32| Tensor::from_f32(&[1], &[x]);
        assert_eq!(run("Max", &[one(0.0), one(-0.0)], &[]), None);
        assert_eq!(run("Min", &[one(f32::NAN), one(1.0)], &[]), None);
        assert_eq!(run("Exp", &[one(1.0)], &[]), None);
        assert_eq!(run("Sum", &[one(1.0), one(1e-8), one(1e-8)], &[]), None);
        let infinite =
            run("Where", &[Tensor::from_bools(&[1], &[true]), one(f32::INFINITY), one(0.0)], &[]);
        assert_eq!(infinite.unwrap().to_f32().unwrap(), [f32::INFINITY]);
    }
}
