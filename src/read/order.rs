//! Execution order: nodes that arrive unsorted are sorted stably; a cycle is an error.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use crate::error::{Result, err};
use crate::ir::{Def, GraphId, Model, NodeId, ValueId};

/// Sorts every graph that needs it, and notes it.
pub(super) fn sort(model: &mut Model, notes: &mut Vec<String>) -> Result<()> {
    let captures = captures(model);
    // Position of each node in its graph; nodes of all graphs share one table.
    let mut position = vec![0usize; model.node_count()];
    for graph in model.graphs().collect::<Vec<_>>() {
        let nodes: Vec<NodeId> = model.nodes_of(graph).map(|(id, _)| id).collect();
        for (i, id) in nodes.iter().enumerate() {
            position[id.index()] = i;
        }
        let before = |id: NodeId| {
            let own = model.node(id).inputs().iter().flatten();
            let values = own.chain(captures.get(&id).into_iter().flatten());
            values.filter_map(|&value| match *model.value(value).def() {
                Def::Output { node, .. } if model.value(value).graph() == graph => {
                    Some(position[node.index()])
                }
                _ => None,
            })
        };
        if nodes.iter().enumerate().all(|(i, &id)| before(id).all(|j| j < i)) {
            continue;
        }
        let edges: Vec<Vec<usize>> = nodes.iter().map(|&id| before(id).collect()).collect();
        let order = stable_order(&edges).map_err(|cycle| {
            let names: Vec<String> = cycle.iter().map(|&i| model.label(nodes[i])).collect();
            err!(Invalid, "the graph has a cycle: {}", names.join(" -> "))
        })?;
        let moved = order.iter().enumerate().filter(|&(i, &j)| i != j).count();
        let order: Vec<NodeId> = order.into_iter().map(|i| nodes[i]).collect();
        model.set_order(graph, &order);
        notes.push(format!(
            "graph `{}`: nodes arrived out of order and were sorted ({moved} of {} moved)",
            model.graph(graph).name(),
            nodes.len()
        ));
    }
    Ok(())
}

/// For each node with bodies, the values of its own graph that the bodies read.
fn captures(model: &Model) -> HashMap<NodeId, Vec<ValueId>> {
    let mut captures: HashMap<NodeId, Vec<ValueId>> = HashMap::new();
    let mut capture = |mut graph: GraphId, value: ValueId| {
        while graph != model.value(value).graph() {
            let Some(parent) = model.graph(graph).parent() else { return };
            graph = model.node(parent).graph();
            if graph == model.value(value).graph() {
                captures.entry(parent).or_default().push(value);
            }
        }
    };
    for graph in model.graphs() {
        for (_, node) in model.nodes_of(graph) {
            node.inputs().iter().flatten().for_each(|&value| capture(graph, value));
        }
        model.graph(graph).outputs().iter().for_each(|output| capture(graph, output.value));
    }
    captures
}

/// Kahn's algorithm, always taking the ready node that arrived first; `Err` holds one cycle.
fn stable_order(before: &[Vec<usize>]) -> Result<Vec<usize>, Vec<usize>> {
    let mut after = vec![Vec::new(); before.len()];
    let mut missing: Vec<usize> = before.iter().map(Vec::len).collect();
    for (i, edges) in before.iter().enumerate() {
        edges.iter().for_each(|&j| after[j].push(i));
    }
    let mut ready: BinaryHeap<Reverse<usize>> =
        (0..before.len()).filter(|&i| missing[i] == 0).map(Reverse).collect();
    let mut order = Vec::with_capacity(before.len());
    while let Some(Reverse(i)) = ready.pop() {
        order.push(i);
        for &j in &after[i] {
            missing[j] -= 1;
            if missing[j] == 0 {
                ready.push(Reverse(j));
            }
        }
    }
    if order.len() == before.len() { Ok(order) } else { Err(cycle(before, &missing)) }
}

/// Walks backwards among the nodes that never became ready until one repeats.
fn cycle(before: &[Vec<usize>], missing: &[usize]) -> Vec<usize> {
    let mut path: Vec<usize> = Vec::new();
    let mut seen = HashMap::new();
    let mut at = missing.iter().position(|&m| m > 0);
    while let Some(i) = at {
        if let Some(&start) = seen.get(&i) {
            let mut cycle: Vec<usize> = path.split_off(start);
            cycle.push(i);
            cycle.reverse();
            return cycle;
        }
        seen.insert(i, path.len());
        path.push(i);
        at = before[i].iter().copied().find(|&j| missing[j] > 0);
    }
    path
}
