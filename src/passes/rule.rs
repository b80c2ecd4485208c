//! A rewrite that looks at one node and its neighbours.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashSet};

use crate::analysis::Shapes;
use crate::error::{Result, err};
use crate::ir::{Model, NodeId};
use crate::passes::{Context, Pass, Promise, Report};

/// A local rewrite: `find` decides without editing, `apply` edits and cannot fail. Every rule is a
/// [`Pass`] that visits each node in execution order, and again when something near it was edited,
/// until nothing is left to do.
///
/// An edit must not change what an existing value is: neither its element type nor its extents. So
/// `shapes`, inferred before the first edit, stays true for the values it knows; those made since
/// are unknown to it.
pub trait Rule {
    /// What `find` hands to `apply`.
    type Plan;

    /// See [`Pass::name`].
    fn name(&self) -> &'static str;

    /// See [`Pass::summary`].
    fn summary(&self) -> &'static str;

    /// See [`Pass::promise`].
    fn promise(&self) -> Promise;

    /// See [`Pass::reach`].
    fn reach(&self) -> usize {
        1
    }

    /// Decides whether the rule applies at `node`.
    fn find(&self, model: &Model, node: NodeId, shapes: &Shapes) -> Match<Self::Plan>;

    /// Carries out the plan and says in a few words what was done.
    fn apply(&self, model: &mut Model, plan: Self::Plan) -> String;
}

/// Outcome of [`Rule::find`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Match<P> {
    /// The rule has nothing to do with this node.
    No,
    /// The pattern is there, but the rewrite would be wrong: the reason, for the report.
    Refused(String),
    /// The rewrite to be applied.
    Yes(P),
}

impl<P> From<Result<P, String>> for Match<P> {
    fn from(plan: Result<P, String>) -> Self {
        plan.map_or_else(Self::Refused, Self::Yes)
    }
}

/// Edits of one rule for each node of the model, beyond which it is not expected to end.
const EDITS_PER_NODE: usize = 16;

impl<R: Rule> Pass for R {
    fn name(&self) -> &'static str {
        Rule::name(self)
    }

    fn summary(&self) -> &'static str {
        Rule::summary(self)
    }

    fn promise(&self) -> Promise {
        Rule::promise(self)
    }

    fn reach(&self) -> usize {
        Rule::reach(self)
    }

    fn run(&self, model: &mut Model, cx: &Context<'_>) -> Result<Report> {
        let nodes = cx.near.map_or_else(|| model.all_nodes(), <[_]>::to_vec);
        let shapes = &*cx.shapes_of(model);
        let mut work = Work::new(nodes);
        let mut report = Report::default();
        let mut refused: BTreeMap<NodeId, String> = BTreeMap::new();
        let most = EDITS_PER_NODE.saturating_mul(model.node_count() + 1);
        while let Some(node) = work.next() {
            refused.remove(&node);
            if !model.is_live(node) || is_dead(model, node) || model.is_kept(node) {
                continue;
            }
            match self.find(model, node, shapes) {
                Match::No => {}
                Match::Refused(reason) => {
                    refused.insert(node, reason);
                }
                Match::Yes(plan) => {
                    let (place, mark) = (model.label(node), model.edits());
                    let text = self.apply(model, plan);
                    report.did(place, text);
                    work.again(model.edited_since(mark, self.reach()));
                }
            }
            if report.done.len() > most {
                return Err(err!(Invalid, "does not end: {most} edits were made (a bug)"));
            }
        }
        for (node, reason) in refused {
            if model.is_live(node) {
                report.refuse(model.label(node), reason);
            }
        }
        Ok(report)
    }
}

/// Nodes to visit: first those given, in order; then those near edits.
struct Work {
    given: std::vec::IntoIter<NodeId>,
    waiting: HashSet<NodeId>,
    again: BinaryHeap<Reverse<NodeId>>,
}

impl Work {
    fn new(nodes: Vec<NodeId>) -> Self {
        Self {
            waiting: nodes.iter().copied().collect(),
            given: nodes.into_iter(),
            again: BinaryHeap::new(),
        }
    }

    fn next(&mut self) -> Option<NodeId> {
        let node = self.given.next().or_else(|| self.again.pop().map(|Reverse(node)| node))?;
        self.waiting.remove(&node);
        Some(node)
    }

    fn again(&mut self, nodes: Vec<NodeId>) {
        let new = nodes.into_iter().filter(|&node| self.waiting.insert(node));
        self.again.extend(new.map(Reverse));
    }
}

/// A node whose outputs nobody uses.
pub(in crate::passes) fn is_dead(model: &Model, node: NodeId) -> bool {
    let mut outputs = model.node(node).outputs().iter().flatten().peekable();
    outputs.peek().is_some() && outputs.all(|&output| model.value(output).uses().is_empty())
}
