//! Lets all that read one constant agree on how it is stored: a weight is in the file once.

use std::collections::{HashMap, HashSet};

use crate::analysis::{ConstantFloats, constant, constant_floats, origin};
use crate::ir::{Model, NodeId, Use, ValueId};
use crate::passes::Report;
use crate::passes::quantize::quantize_static::lookup::reader;
use crate::passes::quantize::quantize_static::plan::{Plan, PlannedNode, Weight};
use crate::passes::quantize::quantize_static::{QuantizeStatic, candidate};
use crate::passes::rewrite::pattern::fitting;
use crate::passes::stored::Share;

/// Gives each constant that is a weight one way to be stored, and lets whoever else reads it read the floats that
/// its integers stand for. Where somebody must read the constant as it is, it stays, and so do all of its readers.
pub(super) fn settle(
    model: &Model,
    options: &QuantizeStatic,
    plan: &mut Plan,
    report: &mut Report,
) {
    let mut roots: Vec<ValueId> = Vec::new();
    let mut known: HashMap<ValueId, Wanted> = HashMap::new();
    for (node, weight) in plan.weights() {
        if !candidate::is_worth_storing(weight) {
            // A second copy of it is smaller than what would tie its readers together.
            continue;
        }
        let Some((root, path)) = origin(model, weight.value) else { continue };
        let wanted = known.entry(root).or_insert_with(|| {
            roots.push(root);
            Wanted::default()
        });
        wanted.readers.insert((node, weight.slot));
        wanted.values.insert(weight.value);
        wanted.passing.extend(path.into_iter().chain(weight.turned));
    }
    for root in roots {
        let wanted = &known[&root];
        if model.value(root).uses().len() == 1 && wanted.passing.is_empty() {
            continue;
        }
        match others(model, root, wanted, options) {
            Err(reason) => leave(model, plan, wanted, &reason, report),
            Ok(others) if others.is_empty() && wanted.readers.len() == 1 => {}
            Ok(others) => agree(model, plan, wanted, &others, options, report),
        }
    }
}

/// What is planned for one constant.
#[derive(Default)]
struct Wanted {
    /// Nodes and slots.
    readers: HashSet<(NodeId, usize)>,
    /// What they read, as it stands in front of a Transpose.
    values: HashSet<ValueId>,
    /// Operators on the way to them.
    passing: HashSet<NodeId>,
}

/// A node, the slot in which it reads a value, and the value.
type Other = (NodeId, usize, ValueId);

/// Who else reads the constant, or what is moved or cast of it on the way to those that are planned.
///
/// # Errors
/// Why somebody must read it as it is.
fn others(
    model: &Model,
    root: ValueId,
    wanted: &Wanted,
    options: &QuantizeStatic,
) -> Result<Vec<Other>, String> {
    let (mut found, mut open, mut seen) = (Vec::new(), vec![root], HashSet::new());
    while let Some(value) = open.pop() {
        let name = model.value(value).name();
        for &by in model.value(value).uses() {
            let Use::Input { node, slot } = by else {
                return Err(format!(
                    "stays in float: `{name}` is an output, or named in carried data"
                ));
            };
            let output = model.node(node).output(0);
            if wanted.readers.contains(&(node, slot)) {
                continue;
            }
            if slot == 0 && wanted.passing.contains(&node) {
                open.extend(output.filter(|&output| seen.insert(output)));
                continue;
            }
            let reader = model.label(node);
            if let Some(pattern) = fitting(model, node, &options.keep) {
                return Err(format!(
                    "stays in float: {reader} reads `{name}`, too, and is kept by `{pattern}`"
                ));
            }
            if !options.looks_at(model, node) || !wanted.values.contains(&value) {
                return Err(format!("stays in float: {reader} reads `{name}`, too"));
            }
            found.push((node, slot, value));
        }
    }
    let bits = constant(model, root).map_or(0, |tensor| tensor.dtype().bits());
    if wanted.values.len() > 1 && wanted.values.len() * options.weights().dtype.bits() >= bits {
        let (name, count) = (model.value(root).name(), wanted.values.len());
        return Err(format!("stays in float: `{name}` is read in {count} forms"));
    }
    Ok(found)
}

/// Takes what reads a constant out of the plan.
fn leave(model: &Model, plan: &mut Plan, wanted: &Wanted, reason: &str, report: &mut Report) {
    let reads = |node: NodeId, slot: usize| wanted.readers.contains(&(node, slot));
    plan.nodes.retain_mut(|planned| {
        let before = planned.weights.len();
        planned.weights.retain(|weight| !reads(planned.node, weight.slot));
        let changed = planned.weights.len() < before;
        if changed {
            report.refuse(model.label(planned.node), reason);
        }
        !changed || !planned.kernel && !planned.weights.is_empty()
    });
    plan.lookups.retain(|lookup| {
        let stays = !reads(lookup.node, lookup.weight.slot);
        if !stays {
            report.refuse(model.label(lookup.node), reason);
        }
        stays
    });
}

/// Puts all readers of a constant on the same grids.
fn agree(
    model: &Model,
    plan: &mut Plan,
    wanted: &Wanted,
    others: &[Other],
    options: &QuantizeStatic,
    report: &mut Report,
) {
    let reads = |node: NodeId, slot: usize| wanted.readers.contains(&(node, slot));
    let is_layer = |planned: &PlannedNode| {
        let layer = !model.node(planned.node).is("Gather");
        layer && planned.weights.iter().any(|weight| reads(planned.node, weight.slot))
    };
    let any_layer = plan.nodes.iter().any(is_layer);
    let rules = options.target.rules();
    if !any_layer && !others.is_empty() && !rules.unpacks_at_load {
        // A whole table would become floats in every run.
        return leave(model, plan, wanted, "its table is read by other nodes, too", report);
    }
    if any_layer || !others.is_empty() {
        // Floats are made of the whole table anyway.
        let lookups = std::mem::take(&mut plan.lookups);
        let (ours, rest): (Vec<_>, Vec<_>) =
            lookups.into_iter().partition(|lookup| reads(lookup.node, lookup.weight.slot));
        plan.lookups = rest;
        plan.nodes.extend(ours.into_iter().map(|lookup| reader(lookup.node, lookup.weight)));
    }
    for &value in &wanted.values {
        agree_on(model, plan, value, options);
        let readers = others.iter().filter(|(.., read)| *read == value);
        for &(node, slot, _) in readers {
            let first = plan.weights().find(|(_, weight)| weight.value == value);
            let (Some((_, first)), Some(floats)) = (first, constant_floats(model, value)) else {
                continue;
            };
            let ConstantFloats { tensor, dtype } = floats;
            let (dims, share) = (first.dims.clone(), first.share);
            let shared =
                Weight { slot, value, tensor, dtype, dims, share, turned: None, shared: true };
            let text = "reads the floats that integers stand for".to_owned();
            plan.nodes.push(PlannedNode { text, ..reader(node, shared) });
        }
    }
}

/// Puts all readers of a value on the same grids.
fn agree_on(model: &Model, plan: &mut Plan, value: ValueId, options: &QuantizeStatic) {
    let of_rows: Vec<Share> = plan
        .lookups
        .iter()
        .filter(|lookup| lookup.weight.value == value)
        .map(|lookup| lookup.weight.share)
        .collect();
    let alike = of_rows.iter().all(|share| *share == of_rows[0]);
    for lookup in plan.lookups.iter_mut().filter(|lookup| lookup.weight.value == value) {
        if !alike {
            (lookup.weight.share, lookup.columns) = (Share::Tensor, None);
        }
    }
    let readers = || {
        let nodes = plan.nodes.iter();
        nodes.flat_map(|node| node.weights.iter().map(move |weight| (node, weight)))
    };
    let readers = || readers().filter(|(_, weight)| weight.value == value);
    let kernels: Vec<Share> =
        readers().filter(|(node, _)| node.kernel).map(|(_, weight)| weight.share).collect();
    let is_table = |node: &PlannedNode| model.node(node.node).is("Gather");
    let layers = readers().filter(|(node, _)| !is_table(node));
    let first = layers.chain(readers()).next().map(|(_, weight)| weight.share);
    let share = match kernels[..] {
        [] => first,
        [share, ref rest @ ..] if rest.iter().all(|other| *other == share) => Some(share),
        _ => Some(Share::Tensor),
    };
    let Some(share) = share else { return };
    for planned in &mut plan.nodes {
        let table = model.node(planned.node).is("Gather");
        for weight in planned.weights.iter_mut().filter(|weight| weight.value == value) {
            let changed = weight.share != share;
            (weight.share, weight.shared) = (share, true);
            let away = planned.bias.as_ref().is_some_and(|bias| bias.node != planned.node);
            if changed && away {
                // An Add behind a MatMul has an integer bias only beside scales of columns.
                planned.bias = None;
            }
            let what = candidate::what(weight, options);
            planned.text = match (table, planned.kernel) {
                (true, _) => what.replace("weight", "table"),
                (_, true) => what,
                _ => format!("{what}; computes with floats"),
            };
        }
    }
}

impl Plan {
    /// All weights with their nodes.
    fn weights(&self) -> impl Iterator<Item = (NodeId, &Weight)> {
        let layers = self.nodes.iter();
        let layers = layers.flat_map(|layer| layer.weights.iter().map(|w| (layer.node, w)));
        layers.chain(self.lookups.iter().map(|lookup| (lookup.node, &lookup.weight)))
    }
}
