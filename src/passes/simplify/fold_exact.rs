//! `fold-exact`: see `docs/passes/fold-exact.md`.

use std::rc::Rc;

use crate::analysis::exact;
use crate::error::Result;
use crate::ir::Model;
use crate::passes::simplify::folding::{Computed, Growth, Ledger, fold};
use crate::passes::{Context, Pass, Promise, Report};

/// Computes nodes whose inputs are all constants and whose results are defined bit by bit, without an
/// engine, unless that makes the file grow too much. One instance is for one model: it counts the
/// growth of all its runs.
#[derive(Debug, Clone, Default)]
pub struct FoldExact {
    pub(in crate::passes) ledger: Rc<Ledger>,
}

impl FoldExact {
    /// With these limits.
    pub fn within(limits: Growth) -> Self {
        Self { ledger: Rc::new(Ledger::within(limits)) }
    }
}

impl Pass for FoldExact {
    fn name(&self) -> &'static str {
        "fold-exact"
    }

    fn summary(&self) -> &'static str {
        "Computes nodes of constants whose results are the same bits everywhere."
    }

    fn promise(&self) -> Promise {
        Promise::Exact
    }

    fn run(&self, model: &mut Model, cx: &Context<'_>) -> Result<Report> {
        let report = fold(model, cx, &self.ledger, |model, node, inputs| {
            exact(model, node, inputs).map_or(Computed::Left, Computed::Outputs)
        });
        // Why a node stays is for `fold-constant` to say, which has the engine, too.
        Ok(Report { refused: Vec::new(), ..report })
    }
}
