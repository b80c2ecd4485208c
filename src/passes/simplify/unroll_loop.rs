//! `unroll-loop`: see `docs/passes/unroll-loop.md`.

use std::cell::Cell;

use crate::analysis::Shapes;
use crate::ir::{At, AttrValue, BodySize, GraphId, Model, NewNode, NodeId, ValueId};
use crate::passes::rewrite::axes::with_axes;
use crate::passes::{Match, Promise, Rule};
use crate::tensor::Tensor;

/// Most nodes that the copies of one body may have together: a loop over the layers or heads of a
/// network fits, one over the samples of a signal does not.
const MOST_NODES: usize = 1024;
/// Most bytes of constants that the copies of one body may have together: 64 KiB, as much as
/// `simplify` lets one folding add.
const MOST_BYTES: usize = 64 << 10;
/// Most nodes that all loops of a model may become: loops in loops multiply.
const MOST_IN_ALL: usize = 16 * MOST_NODES;

/// Replaces a Loop whose number of iterations is known by copies of its body. One instance is for
/// one model: it counts what all its runs made.
#[derive(Debug, Clone, Default)]
pub struct UnrollLoop {
    made: Cell<usize>,
}

/// The Loop, its body, and how often it runs.
pub struct Plan {
    node: NodeId,
    body: GraphId,
    iterations: usize,
    /// What the outputs are that list no iteration at all.
    empty: Vec<(usize, Tensor)>,
    nodes: usize,
}

impl Rule for UnrollLoop {
    type Plan = Plan;

    fn name(&self) -> &'static str {
        "unroll-loop"
    }

    fn summary(&self) -> &'static str {
        "Replaces a Loop that runs a known number of times by copies of its body, within a budget."
    }

    fn promise(&self) -> Promise {
        Promise::Exact
    }

    fn find(&self, model: &Model, node: NodeId, shapes: &Shapes) -> Match<Plan> {
        let entry = model.node(node);
        let Some(&AttrValue::Graph(body)) = entry.attr("body").filter(|_| entry.is("Loop")) else {
            return Match::No;
        };
        let Some(iterations) = iterations(model, node, shapes) else { return Match::No };
        if !is_regular(model, node, body) {
            return Match::Refused("its inputs and outputs are not those of its body".into());
        }
        let Some(BodySize { nodes, bytes }) = model.body_size(body) else {
            return Match::Refused("its body carries what only stands in bodies".into());
        };
        let nodes = (nodes + 1).saturating_mul(iterations);
        if nodes > MOST_NODES || nodes + self.made.get() > MOST_IN_ALL {
            return Match::Refused(format!(
                "{iterations} copies of its body would be {nodes} nodes"
            ));
        }
        let bytes = bytes.saturating_mul(iterations);
        if bytes > MOST_BYTES {
            return Match::Refused(format!(
                "{iterations} copies of its body would have {bytes} bytes of constants"
            ));
        }
        let empty = if iterations == 0 { empty(model, node, shapes) } else { Some(Vec::new()) };
        match empty {
            Some(empty) => Match::Yes(Plan { node, body, iterations, empty, nodes }),
            None => Match::Refused(
                "it does not run, and the extents of what it lists are not known".into(),
            ),
        }
    }

    fn apply(&self, model: &mut Model, plan: Plan) -> String {
        let Plan { node, body, iterations, .. } = plan;
        self.made.set(self.made.get() + plan.nodes);
        let graph = model.node(node).graph();
        let first: Vec<ValueId> =
            model.node(node).inputs().iter().skip(2).flatten().copied().collect();
        let inner = model.graph(body).inputs().to_vec();
        // Runtimes accept one element where the specification asks for a scalar.
        let like = |model: &Model, slot: usize| {
            let ty = inner.get(slot).and_then(|&input| model.value(input).tensor_type());
            ty.and_then(|ty| ty.fixed_dims()).filter(|dims| dims[..] == [1]).unwrap_or_default()
        };
        let mut go = None;
        let given = |model: &mut Model, iteration: usize, last: &[ValueId]| {
            let number = Tensor::from_i64(&like(model, 0), &[iteration as i64]);
            let count = model.add_initializer(graph, "iteration", number);
            let go = *go.get_or_insert_with(|| {
                let yes = Tensor::from_bools(&like(model, 1), &[true]);
                model.add_initializer(graph, "condition", yes)
            });
            let carried = if iteration == 0 { &first } else { &last[1..=first.len()] };
            [count, go].into_iter().chain(carried.iter().copied()).collect()
        };
        let made = model.unroll(node, body, iterations, given);
        let outputs = model.node(node).outputs().to_vec();
        for (slot, output) in outputs.into_iter().enumerate() {
            let Some(output) = output else { continue };
            let value = match first.get(slot) {
                Some(&start) => made.last().map_or(start, |last| last[slot + 1]),
                None if iterations == 0 => {
                    let tensor = plan.empty.iter().find(|(at, _)| *at == slot);
                    let Some((_, tensor)) = tensor else { continue };
                    model.add_initializer(graph, "empty", tensor.clone())
                }
                None => {
                    let parts: Vec<ValueId> = made.iter().map(|all| all[slot + 1]).collect();
                    stack(model, node, &parts)
                }
            };
            let name = model.value(output).name().to_owned();
            let mut copy = NewNode::new("Identity", &[value], &name);
            copy.name = model.node(node).name().to_owned();
            let copy = model.add_node(graph, At::Before(node), copy);
            if let Some(made) = model.node(copy).output(0) {
                model.substitute(output, made);
            }
        }
        model.remove_node(node);
        let plural = if iterations == 1 { "copy" } else { "copies" };
        format!("replaced by {iterations} {plural} of its body")
    }
}

/// How often the body runs, when that is the same in every run.
fn iterations(model: &Model, node: NodeId, shapes: &Shapes) -> Option<usize> {
    let number = |slot: usize| {
        let value = model.node(node).input(slot)?;
        shapes.tensor(value)?.to_i64().ok()?.first().copied()
    };
    let never = number(0).is_some_and(|trips| trips <= 0) || number(1) == Some(0);
    if never { Some(0) } else { shapes.iterations(model, node).extent() }
}

/// Whether node and body agree: trip count, condition and carried values in; condition, carried
/// values and lists out.
fn is_regular(model: &Model, node: NodeId, body: GraphId) -> bool {
    let (entry, graph) = (model.node(node), model.graph(body));
    let carried = graph.inputs().len().saturating_sub(2);
    graph.inputs().len() >= 2
        && entry.inputs().len() == graph.inputs().len()
        && entry.inputs().iter().skip(2).all(Option::is_some)
        && graph.outputs().len() > carried
        && graph.outputs().len() > entry.outputs().len()
        && !model.is_kept(node)
}

/// The lists of a Loop that does not run; nothing when an extent is not known.
fn empty(model: &Model, node: NodeId, shapes: &Shapes) -> Option<Vec<(usize, Tensor)>> {
    let entry = model.node(node);
    let lists = entry.outputs().iter().enumerate().skip(entry.inputs().len().saturating_sub(2));
    let used = lists.filter_map(|(slot, output)| Some((slot, (*output)?)));
    let used = used.filter(|(_, output)| !model.value(*output).uses().is_empty());
    used.map(|(slot, output)| {
        let mut dims = shapes.fixed_dims(output)?;
        *dims.first_mut()? = 0;
        let tensor = Tensor::new(shapes.dtype(output)?, dims, bytes::Bytes::new()).ok()?;
        Some((slot, tensor))
    })
    .collect()
}

/// Puts `parts` one after the other along a new first axis.
fn stack(model: &mut Model, node: NodeId, parts: &[ValueId]) -> ValueId {
    let graph = model.node(node).graph();
    let mut rows = Vec::with_capacity(parts.len());
    for &part in parts {
        let name = model.value(part).name().to_owned();
        let row = with_axes(model, graph, NewNode::new("Unsqueeze", &[part], &name), &[0]);
        let row = model.add_node(graph, At::Before(node), row);
        rows.extend(model.node(row).output(0));
    }
    if let [row] = rows[..] {
        return row;
    }
    let joined = NewNode::new("Concat", &rows, "stacked").attr("axis", 0);
    let joined = model.add_node(graph, At::Before(node), joined);
    model.node(joined).output(0).unwrap_or(rows[0])
}
