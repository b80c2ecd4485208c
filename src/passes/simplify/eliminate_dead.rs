//! `eliminate-dead`: see `docs/passes/eliminate-dead.md`.

use crate::error::Result;
use crate::ir::{Model, NodeId};
use crate::passes::rule::is_dead;
use crate::passes::{Context, Pass, Promise, Report};

/// Removes nodes whose outputs nobody uses, and unused initializers.
#[derive(Debug, Clone, Copy, Default)]
pub struct EliminateDead;

impl Pass for EliminateDead {
    fn name(&self) -> &'static str {
        "eliminate-dead"
    }

    fn summary(&self) -> &'static str {
        "Removes nodes whose outputs nobody uses, and unused initializers."
    }

    fn promise(&self) -> Promise {
        Promise::Exact
    }

    fn run(&self, model: &mut Model, _: &Context<'_>) -> Result<Report> {
        let mut report = Report::default();
        // Consumers come after producers, so one walk from the back frees whole chains; removing a
        // body can free values of the graphs around it, which producers made earlier.
        let mut pending: Vec<NodeId> = model.all_nodes();
        while let Some(node) = pending.pop() {
            if !model.is_live(node) || !is_dead(model, node) {
                continue;
            }
            report.did(model.label(node), "removed: none of its outputs is used");
            // Removing a node may free the producers of what it and its bodies read.
            let freed = model.reads(node);
            let freed: Vec<NodeId> =
                freed.into_iter().filter_map(|value| model.value(value).producer()).collect();
            model.remove_node(node);
            pending.extend(freed);
        }
        let values: Vec<_> = model.values().map(|(id, _)| id).collect();
        for value in values {
            let name = model.value(value).name().to_owned();
            if model.remove_initializer(value) {
                report.did(format!("initializer `{name}`"), "removed: nobody uses it");
            }
        }
        Ok(report)
    }
}
