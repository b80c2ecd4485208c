//! `fold-constant`: see `docs/passes/fold-constant.md`.

use std::rc::Rc;

use crate::analysis::exact;
use crate::error::Result;
use crate::ir::{Model, NodeId};
use crate::passes::simplify::folding::{Computed, Growth, Ledger, fold};
use crate::passes::{Context, FoldExact, Pass, Promise, Report};
use crate::tensor::Tensor;

/// Computes nodes whose inputs are all constants, unless that makes the file grow too much. One
/// instance is for one model: it counts the growth of all its runs.
#[derive(Debug, Clone, Default)]
pub struct FoldConstant {
    ledger: Rc<Ledger>,
}

impl FoldConstant {
    /// With these limits.
    pub fn within(limits: Growth) -> Self {
        Self { ledger: Rc::new(Ledger::within(limits)) }
    }

    /// With the limits of another pass, to which the growth of both counts.
    pub fn beside(exact: &FoldExact) -> Self {
        Self { ledger: exact.ledger.clone() }
    }
}

impl Pass for FoldConstant {
    fn name(&self) -> &'static str {
        "fold-constant"
    }

    fn summary(&self) -> &'static str {
        "Computes nodes whose inputs are all constants, within a growth budget."
    }

    fn promise(&self) -> Promise {
        Promise::Rounding
    }

    fn run(&self, model: &mut Model, cx: &Context<'_>) -> Result<Report> {
        let compute = |model: &Model, node: NodeId, inputs: &[Option<Tensor>]| {
            if let Some(outputs) = exact(model, node, inputs) {
                return Computed::Outputs(outputs);
            }
            let Some(evaluate) = cx.evaluate else {
                return Computed::Failed("there is no engine to compute it with".into());
            };
            match evaluate.evaluate(model, node, inputs) {
                Ok(outputs) if complete(model, node, &outputs) => Computed::Outputs(outputs),
                Ok(_) => Computed::Failed("the engine did not compute every output".into()),
                Err(error) => Computed::Failed(error.to_string()),
            }
        };
        Ok(fold(model, cx, &self.ledger, compute))
    }
}

/// Whether every output that exists was computed.
fn complete(model: &Model, node: NodeId, outputs: &[Option<Tensor>]) -> bool {
    let wanted = model.node(node).outputs().iter().enumerate();
    wanted.filter(|(_, o)| o.is_some()).all(|(i, _)| outputs.get(i).is_some_and(Option::is_some))
}
