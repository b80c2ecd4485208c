//! If, Loop and Scan: facts in and out of their bodies.

use crate::analysis::shapes::call::Call;
use crate::analysis::shapes::content::Content;
use crate::analysis::shapes::fact::Fact;
use crate::analysis::shapes::term::Term;
use crate::ir::{AttrValue, GraphId, Model, Node, ValueId, position};
use crate::tensor::DType;

/// The body in attribute `name`.
pub(super) fn body(node: &Node, name: &str) -> Option<GraphId> {
    match node.attr(name)? {
        AttrValue::Graph(graph) => Some(*graph),
        _ => None,
    }
}

/// The bodies of a node that can run: for an If whose condition is known, one branch.
pub(super) fn live_bodies(call: &Call<'_>) -> Vec<GraphId> {
    let taken = call.one_int(0).filter(|_| call.node.is("If")).and_then(|condition| {
        body(call.node, if condition != 0 { "then_branch" } else { "else_branch" })
    });
    match taken {
        Some(taken) => vec![taken],
        None => call.node.bodies().collect(),
    }
}

/// What the inputs of a body are. With `settled` false the extents of loop-carried values are
/// guessed to stay as they start, which [`guess_holds`] checks afterwards.
pub(super) fn enter(call: &Call<'_>, body: GraphId, settled: bool) -> Vec<Fact> {
    let count = call.model.graph(body).inputs().len();
    let carried = |slot| {
        let fact = call.fact(slot);
        Fact::new(fact.dtype, fact.dims.clone().filter(|_| !settled))
    };
    let mut facts = if call.node.is("Loop") {
        let counter = Fact::new(Some(DType::Int64), None);
        [counter, running(call, body)].into_iter().chain((2..count).map(carried)).collect()
    } else if call.node.is("Scan") && call.opset >= 9 {
        let states = states(call, count);
        (0..count)
            .map(
                |slot| {
                    if slot < states { carried(slot) } else { sliced(call, slot, slot - states) }
                },
            )
            .collect()
    } else {
        Vec::new()
    };
    facts.resize(count, Fact::default());
    facts
}

/// The condition a Loop hands to its body, which runs only while it is true.
fn running(call: &Call<'_>, body: GraphId) -> Fact {
    let input = call.model.graph(body).inputs().get(1).map(|&input| call.model.value(input));
    let dims = input.and_then(|input| input.tensor_type()?.fixed_dims());
    let unknown = Fact::new(Some(DType::Bool), None);
    dims.map_or(unknown, |dims| {
        Fact::fixed(DType::Bool, &dims).holding(Content::from_ints([Term::ONE]))
    })
}

fn states(call: &Call<'_>, inputs: usize) -> usize {
    inputs.saturating_sub(call.size("num_scan_inputs").extent().unwrap_or(inputs))
}

/// One step of a scanned input.
fn sliced(call: &Call<'_>, slot: usize, scanned: usize) -> Fact {
    let dims = call.dims(slot).and_then(|dims| {
        let axes = call.node.attr_ints("scan_input_axes").unwrap_or_default();
        let axis = position(axes.get(scanned).copied().unwrap_or(0), dims.len())?;
        Some([&dims[..axis], &dims[axis + 1..]].concat())
    });
    Fact::new(call.dtype(slot), dims)
}

/// Pairs of (input slot, output position) of the values a body hands to its next iteration.
fn carried_pairs(call: &Call<'_>, body: GraphId) -> Vec<(usize, usize)> {
    let inputs = call.model.graph(body).inputs().len();
    if call.node.is("Loop") {
        (2..inputs).map(|slot| (slot, slot - 1)).collect()
    } else {
        (0..states(call, inputs)).map(|slot| (slot, slot)).collect()
    }
}

/// True when the body returns its loop-carried values as they were guessed on entry.
pub(super) fn guess_holds(call: &Call<'_>, body: GraphId) -> bool {
    let graph = call.model.graph(body);
    carried_pairs(call, body).into_iter().all(|(slot, position)| {
        let (Some(&inner), Some(output)) =
            (graph.inputs().get(slot), graph.outputs().get(position))
        else {
            return false;
        };
        call.facts[inner.index()].is_implied_by(&call.facts[output.value.index()])
    })
}

/// The outputs of a node whose bodies were walked.
pub(super) fn leave(call: &Call<'_>) -> Vec<Fact> {
    let mut facts = call.unknown_outputs();
    if call.node.is("If") {
        let branches: Vec<Vec<&Fact>> = live_bodies(call)
            .into_iter()
            .map(|body| {
                call.model.graph(body).outputs().iter().map(|o| &call.facts[o.value.index()])
            })
            .map(Iterator::collect)
            .collect();
        for (slot, fact) in facts.iter_mut().enumerate() {
            let each = branches.iter().map(|b| b.get(slot).copied().unwrap_or(Fact::UNKNOWN));
            *fact = each.cloned().reduce(|a, b| a.join(&b)).unwrap_or_default();
        }
    } else if let Some(body) = body(call.node, "body").filter(|_| is_loop(call)) {
        let outputs = call.model.graph(body).outputs();
        let pairs = carried_pairs(call, body);
        let skipped = usize::from(call.node.is("Loop"));
        for (slot, fact) in facts.iter_mut().enumerate() {
            let Some(output) = outputs.get(slot.saturating_add(skipped)) else { continue };
            let inner = &call.facts[output.value.index()];
            *fact = match pairs.get(slot) {
                // The loop may not run even once.
                Some(&(input, _)) => call.fact(input).join(inner).without_content(),
                None => stacked(call, inner, slot - pairs.len()),
            };
        }
    }
    facts
}

fn is_loop(call: &Call<'_>) -> bool {
    call.node.is("Loop") || (call.node.is("Scan") && call.opset >= 9)
}

/// What all iterations return, along a new axis.
fn stacked(call: &Call<'_>, step: &Fact, scanned: usize) -> Fact {
    let dims = step.dims.clone().and_then(|mut dims| {
        let axes = call.node.attr_ints("scan_output_axes").unwrap_or_default();
        let axis = axes.get(scanned).copied().unwrap_or(0);
        let axis = position(axis, dims.len() + 1)?;
        dims.insert(axis, iterations(call.model, call.node, call.facts));
        Some(dims)
    });
    Fact::new(step.dtype, dims)
}

/// How often the body of a Loop or Scan runs, as far as that follows from what is known.
pub(super) fn iterations(model: &Model, node: &Node, facts: &[Fact]) -> Term {
    counted(model, node, facts).unwrap_or_default()
}

fn counted(model: &Model, node: &Node, facts: &[Fact]) -> Option<Term> {
    let fact = |value: ValueId| facts.get(value.index()).unwrap_or(Fact::UNKNOWN);
    let number = |value: ValueId| match fact(value).content.as_ref()?.ints()? {
        [x] => Some(x.clone()),
        _ => None,
    };
    if node.is("Loop") {
        // With a condition that may fail, the count is only an upper bound.
        let holds = |condition| number(condition) == Some(Term::ONE);
        let after = model.graph(body(node, "body")?).outputs().first()?.value;
        let all = node.input(1).is_none_or(holds) && holds(after);
        return number(node.input(0)?).filter(|_| all).map(|n| n.larger(&Term::Known(0)));
    }
    if !node.is("Scan") {
        return None;
    }
    let scanned = usize::try_from(node.attr_int("num_scan_inputs")?).ok()?;
    let slot = node.inputs().len().checked_sub(scanned.max(1))?;
    let dims = fact(node.input(slot)?).dims.as_deref()?;
    let axes = node.attr_ints("scan_input_axes").unwrap_or_default();
    Some(dims[position(axes.first().copied().unwrap_or(0), dims.len())?].clone())
}
