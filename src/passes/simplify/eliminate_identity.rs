//! `eliminate-identity`: see `docs/passes/eliminate-identity.md`.

use crate::analysis::Shapes;
use crate::ir::{Model, NodeId};
use crate::passes::rewrite::bypass::Bypass;
use crate::passes::{Match, Promise, Rule};

/// Removes Identity nodes.
#[derive(Debug, Clone, Copy, Default)]
pub struct EliminateIdentity;

impl Rule for EliminateIdentity {
    type Plan = Bypass;

    fn name(&self) -> &'static str {
        "eliminate-identity"
    }

    fn summary(&self) -> &'static str {
        "Removes Identity nodes."
    }

    fn promise(&self) -> Promise {
        Promise::Exact
    }

    fn find(&self, model: &Model, node: NodeId, _: &Shapes) -> Match<Bypass> {
        let entry = model.node(node);
        match entry.input(0).filter(|_| entry.is("Identity")) {
            Some(to) => Bypass::find(model, node, to),
            None => Match::No,
        }
    }

    fn apply(&self, model: &mut Model, plan: Bypass) -> String {
        plan.apply(model);
        "removed".into()
    }
}
