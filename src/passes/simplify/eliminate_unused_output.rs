//! `eliminate-unused-output`: see `docs/passes/eliminate-unused-output.md`.

use crate::analysis::Shapes;
use crate::ir::schema::{self, Role};
use crate::ir::{Model, NodeId};
use crate::passes::{Match, Promise, Rule};

/// Leaves out optional outputs that nobody uses, such as the mask of Dropout.
#[derive(Debug, Clone, Copy, Default)]
pub struct EliminateUnusedOutput;

/// It trains when it has more than one output (before operator set 14).
const MODE_BY_OUTPUTS: &str = "BatchNormalization";

/// The node and the output slots.
pub struct Plan {
    node: NodeId,
    slots: Vec<usize>,
}

impl Rule for EliminateUnusedOutput {
    type Plan = Plan;

    fn name(&self) -> &'static str {
        "eliminate-unused-output"
    }

    fn summary(&self) -> &'static str {
        "Leaves out optional outputs that nobody uses."
    }

    fn promise(&self) -> Promise {
        Promise::Exact
    }

    fn find(&self, model: &Model, node: NodeId, _: &Shapes) -> Match<Plan> {
        let entry = model.node(node);
        if entry.outputs().len() < 2
            || entry.is(MODE_BY_OUTPUTS)
            || model.function_of(entry).is_some()
        {
            return Match::No;
        }
        let version = model.opset_of(entry.domain()).unwrap_or(1);
        let Some(operator) = schema::find(entry.domain(), entry.op(), version) else {
            return Match::No;
        };
        let optional =
            |slot: usize| operator.output(slot).is_some_and(|o| o.role == Role::Optional);
        let unused = |slot: &usize| {
            entry.output(*slot).is_some_and(|value| model.value(value).uses().is_empty())
        };
        let slots: Vec<usize> =
            (0..entry.outputs().len()).filter(unused).filter(|&s| optional(s)).collect();
        if slots.is_empty() || slots.len() == entry.outputs().iter().flatten().count() {
            return Match::No;
        }
        Match::Yes(Plan { node, slots })
    }

    fn apply(&self, model: &mut Model, plan: Plan) -> String {
        plan.slots.iter().for_each(|&slot| model.clear_output(plan.node, slot));
        let slots: Vec<String> = plan.slots.iter().map(ToString::to_string).collect();
        format!("output {} left out", slots.join(", "))
    }
}
