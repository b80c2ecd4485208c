//! `convert-constant`: see `docs/passes/convert-constant.md`.

use crate::analysis::{Shapes, constant};
use crate::ir::{Model, NodeId};
use crate::passes::{Match, Promise, Rule};
use crate::tensor::Tensor;

/// Makes initializers of Constant nodes.
#[derive(Debug, Clone, Copy, Default)]
pub struct ConvertConstant;

/// The node and its tensor.
pub struct Plan {
    node: NodeId,
    tensor: Tensor,
}

impl Rule for ConvertConstant {
    type Plan = Plan;

    fn name(&self) -> &'static str {
        "convert-constant"
    }

    fn summary(&self) -> &'static str {
        "Makes initializers of Constant nodes."
    }

    fn promise(&self) -> Promise {
        Promise::Exact
    }

    fn find(&self, model: &Model, node: NodeId, _: &Shapes) -> Match<Plan> {
        let entry = model.node(node);
        let Some(output) = entry.only_output().filter(|_| entry.is("Constant")) else {
            return Match::No;
        };
        let Some(tensor) = constant(model, output) else { return Match::No };
        if model.value(output).is_output() {
            return Match::Refused(format!(
                "`{}` is an output of the graph, which a node must make",
                model.value(output).name()
            ));
        }
        Match::Yes(Plan { node, tensor })
    }

    fn apply(&self, model: &mut Model, plan: Plan) -> String {
        model.fold_node(plan.node, vec![Some(plan.tensor)]);
        "became an initializer".into()
    }
}
