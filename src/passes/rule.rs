//! A rewrite that looks at one node and its neighbours.

use crate::error::Result;
use crate::ir::{Model, NodeId};
use crate::passes::{Context, Pass, Promise, Report};

/// A local rewrite: `find` decides without editing, `apply` edits and cannot fail. Every rule is a
/// [`Pass`] that visits each node once, in execution order.
pub trait Rule {
    /// What `find` hands to `apply`.
    type Plan;

    /// See [`Pass::name`].
    fn name(&self) -> &'static str;

    /// See [`Pass::summary`].
    fn summary(&self) -> &'static str;

    /// See [`Pass::promise`].
    fn promise(&self) -> Promise;

    /// Decides whether the rule applies at `node`.
    fn find(&self, model: &Model, node: NodeId, cx: &Context<'_>) -> Match<Self::Plan>;

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

    fn run(&self, model: &mut Model, cx: &Context<'_>) -> Result<Report> {
        let mut report = Report::default();
        for node in model.all_nodes() {
            if !model.is_live(node) {
                continue;
            }
            match self.find(model, node, cx) {
                Match::No => {}
                Match::Refused(reason) => report.refuse(model.label(node), reason),
                Match::Yes(plan) => {
                    let place = model.label(node);
                    let text = self.apply(model, plan);
                    report.did(place, text);
                }
            }
        }
        Ok(report)
    }
}
