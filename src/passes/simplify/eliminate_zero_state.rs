//! `eliminate-zero-state`: see `docs/passes/eliminate-zero-state.md`.

use crate::analysis::{Shapes, constant};
use crate::ir::{Model, NodeId, ValueId};
use crate::passes::{Match, Promise, Rule};

/// Leaves out initial states of RNN, GRU and LSTM that are zero, which is what a missing one means.
/// Exporters compute them from the batch.
#[derive(Debug, Clone, Copy, Default)]
pub struct EliminateZeroState;

/// The node and the input slots.
pub struct Plan {
    node: NodeId,
    slots: Vec<usize>,
}

/// Slots of the initial states: hidden, and of LSTM also the cell.
const STATES: &[(&str, &[usize])] = &[("RNN", &[5]), ("GRU", &[5]), ("LSTM", &[5, 6])];

/// Nodes looked through for zeros.
const MAX_CHAIN: usize = 8;

impl Rule for EliminateZeroState {
    type Plan = Plan;

    fn name(&self) -> &'static str {
        "eliminate-zero-state"
    }

    fn summary(&self) -> &'static str {
        "Leaves out initial states of RNN, GRU and LSTM that are zero."
    }

    fn promise(&self) -> Promise {
        Promise::Exact
    }

    fn reach(&self) -> usize {
        MAX_CHAIN
    }

    fn find(&self, model: &Model, node: NodeId, _: &Shapes) -> Match<Plan> {
        let entry = model.node(node);
        let Some((_, slots)) = STATES.iter().find(|(op, _)| entry.is(op)) else {
            return Match::No;
        };
        let zero = |slot: &usize| entry.input(*slot).is_some_and(|value| is_zero(model, value));
        let slots: Vec<usize> = slots.iter().copied().filter(zero).collect();
        if slots.is_empty() { Match::No } else { Match::Yes(Plan { node, slots }) }
    }

    fn apply(&self, model: &mut Model, plan: Plan) -> String {
        plan.slots.iter().for_each(|&slot| model.set_input(plan.node, slot, None));
        model.trim_inputs(plan.node);
        "left out an initial state of zeros".into()
    }
}

/// Whether a value is zero everywhere in every run: a constant, what ConstantOfShape makes, or a
/// part or another form of one of these.
fn is_zero(model: &Model, value: ValueId) -> bool {
    let mut at = value;
    for _ in 0..MAX_CHAIN {
        if let Some(tensor) = constant(model, at) {
            return tensor.to_f64().is_ok_and(|xs| xs.iter().all(|x| x.to_bits() == 0));
        }
        let Some(node) = model.value(at).producer().map(|node| model.node(node)) else {
            return false;
        };
        if node.is("ConstantOfShape") {
            return node.attr_tensor("value").is_none_or(|tensor| {
                tensor.to_f64().is_ok_and(|xs| xs.iter().all(|x| x.to_bits() == 0))
            });
        }
        const MOVES: &[&str] = &[
            "Slice",
            "Expand",
            "Reshape",
            "Transpose",
            "Unsqueeze",
            "Squeeze",
            "Tile",
            "Gather",
            "Identity",
        ];
        match node.input(0) {
            Some(input) if MOVES.iter().any(|op| node.is(op)) => at = input,
            _ => return false,
        }
    }
    false
}
