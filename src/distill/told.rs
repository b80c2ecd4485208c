//! What is said about a run: constants that moved and that did not, and what to beware of.

use std::collections::{HashSet, VecDeque};

use crate::distill::student::Student;
use crate::distill::{Distilled, Moved};
use crate::grad::stops;
use crate::ir::ops::MICROSOFT;
use crate::ir::{Model, ValueId};

/// Constants that could be trained and are not, and why.
pub fn frozen(model: &Model, learner: &Student<'_>, weights: &[ValueId]) -> Vec<(String, String)> {
    let parameters = &learner.lowered.parameters;
    let place = |value| parameters.iter().position(|p| p.value == value);
    let mut found = Vec::new();
    for &value in weights {
        let reason = match place(value) {
            Some(at) if learner.program().trained()[at] => continue,
            _ => obstacle(model, learner, value),
        };
        found.push((model.value(value).name().to_owned(), reason));
    }
    // Integers in bytes have no gradient, and no place for one.
    for (id, node) in model.nodes_of(model.main()) {
        let packed = match node.op() {
            "MatMulNBits" => node.input(1),
            "GatherBlockQuantized" => node.input(0),
            _ => None,
        };
        if let Some(packed) = packed.filter(|_| node.domain() == MICROSOFT) {
            let reason = format!("{} reads integers that are packed in bytes", model.label(id));
            found.push((model.value(packed).name().to_owned(), reason));
        }
    }
    found
}

/// Why nothing reaches a constant: the first operator behind it that has no kernel, or passes no gradient.
fn obstacle(model: &Model, learner: &Student<'_>, constant: ValueId) -> String {
    let (mut next, mut seen) = (VecDeque::from([constant]), HashSet::new());
    while let Some(value) = next.pop_front() {
        for (id, _) in model.value(value).consumers() {
            if !seen.insert(id) {
                continue;
            }
            let node = model.node(id);
            let outputs = node.outputs().iter().flatten();
            let unknown = |output: &ValueId| learner.lowered.unknown.get(output);
            if let Some(reason) = outputs.clone().find_map(unknown) {
                return reason.clone();
            }
            if stops(node) {
                return format!("{} passes no gradient", model.label(id));
            }
            next.extend(outputs);
        }
    }
    "nothing that is compared depends on it".to_owned()
}

/// How far constants moved, the furthest first.
pub fn moved(model: &Model, learner: &Student<'_>, best: &[Vec<f32>]) -> Vec<Moved> {
    let square = |numbers: &mut dyn Iterator<Item = f32>| -> f64 {
        numbers.map(|x| f64::from(x) * f64::from(x)).sum()
    };
    let each = learner.lowered.parameters.iter().zip(learner.parameters.iter().zip(best));
    let mut found: Vec<Moved> = each
        .filter(|(_, (before, after))| before != after)
        .map(|(parameter, (before, after))| {
            let change = square(&mut before.iter().zip(after).map(|(a, b)| b - a));
            let size = square(&mut before.iter().copied());
            let name = model.value(parameter.value).name().to_owned();
            Moved { name, by: (change / size.max(f64::MIN_POSITIVE)).sqrt() }
        })
        .collect();
    found.sort_by(|a, b| b.by.total_cmp(&a.by).then_with(|| a.name.cmp(&b.name)));
    found
}

/// Times that held-out samples lose more than those that were learned from, from which on that is said.
const GAP: f64 = 2.0;
/// More are not counted: then the others are known by heart.
const COUNTED: f64 = 100.0;

/// A warning when what was learned does not hold for other samples.
pub fn gap(result: &Distilled) -> Option<String> {
    let last = result.curve.last()?;
    let only_outputs = !result.losses.iter().any(|loss| loss.starts_with("feature"));
    (only_outputs && last.held_out > GAP * last.loss).then(|| {
        let times = match last.held_out / last.loss {
            times if times < COUNTED => format!("{times:.1} times"),
            _ => format!("more than {COUNTED} times"),
        };
        format!(
            "the loss on samples held out is {times} that on the others: more samples would help"
        )
    })
}
