//! `eliminate-identity`: see `docs/passes/eliminate-identity.md`.

use crate::analysis::Shapes;
use crate::ir::{Model, NodeId, ValueId};
use crate::passes::{Match, Promise, Rule};

/// Removes Identity nodes.
#[derive(Debug, Clone, Copy, Default)]
pub struct EliminateIdentity;

/// The node, what it reads, what it makes.
pub struct Plan {
    node: NodeId,
    from: ValueId,
    to: ValueId,
}

impl Rule for EliminateIdentity {
    type Plan = Plan;

    fn name(&self) -> &'static str {
        "eliminate-identity"
    }

    fn summary(&self) -> &'static str {
        "Removes Identity nodes."
    }

    fn promise(&self) -> Promise {
        Promise::Exact
    }

    fn find(&self, model: &Model, node: NodeId, _: &Shapes) -> Match<Plan> {
        let entry = model.node(node);
        let (true, Some(to), Some(from)) =
            (entry.is("Identity"), entry.input(0), entry.only_output())
        else {
            return Match::No;
        };
        if !model.can_substitute(from, to) {
            return Match::Refused(format!(
                "`{}` must keep its name, and `{}` cannot take it",
                model.value(from).name(),
                model.value(to).name()
            ));
        }
        Match::Yes(Plan { node, from, to })
    }

    fn apply(&self, model: &mut Model, plan: Plan) -> String {
        model.substitute(plan.from, plan.to);
        model.remove_node(plan.node);
        "removed".into()
    }
}
