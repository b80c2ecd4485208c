//! `fold-if`: see `docs/passes/fold-if.md`.

use crate::analysis::{Shapes, constant};
use crate::ir::{AttrValue, GraphId, Model, NodeId};
use crate::passes::{Match, Promise, Rule};

/// Replaces an If whose condition is always the same by the branch that runs.
#[derive(Debug, Clone, Copy, Default)]
pub struct FoldIf;

/// The node and the branch.
pub struct Plan {
    node: NodeId,
    branch: GraphId,
    taken: &'static str,
}

impl Rule for FoldIf {
    type Plan = Plan;

    fn name(&self) -> &'static str {
        "fold-if"
    }

    fn summary(&self) -> &'static str {
        "Replaces an If whose condition is always the same by the branch that runs."
    }

    fn promise(&self) -> Promise {
        Promise::Exact
    }

    fn find(&self, model: &Model, node: NodeId, shapes: &Shapes) -> Match<Plan> {
        let entry = model.node(node);
        let Some(condition) = entry.input(0).filter(|_| entry.is("If")) else { return Match::No };
        let tensor = constant(model, condition).or_else(|| shapes.tensor(condition));
        let taken = match tensor.and_then(|tensor| tensor.to_i64().ok()).as_deref() {
            Some(&[0]) => "else_branch",
            Some(&[_]) => "then_branch",
            _ => return Match::No,
        };
        let Some(&AttrValue::Graph(branch)) = entry.attr(taken) else { return Match::No };
        if !model.can_hoist(node, branch) {
            return Match::Refused("its branch carries what only stands in bodies".into());
        }
        Match::Yes(Plan { node, branch, taken })
    }

    fn apply(&self, model: &mut Model, plan: Plan) -> String {
        model.hoist(plan.node, plan.branch);
        format!("replaced by its {}", plan.taken)
    }
}
