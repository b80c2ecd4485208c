//! `fuse-clip`: see `docs/passes/fuse-clip.md`.

use crate::analysis::{Shapes, constant};
use crate::ir::{Model, NodeId, ValueId};
use crate::passes::{Match, Promise, Rule};

/// Removes a Relu or Clip in front of or behind another one that makes it needless.
#[derive(Debug, Clone, Copy, Default)]
pub struct FuseClip;

/// What is bypassed.
pub enum Plan {
    /// The later node changes nothing any more.
    Later { node: NodeId, from: ValueId, to: ValueId },
    /// The later node cuts more than the earlier: it reads what that one read.
    Earlier { node: NodeId, from: ValueId },
}

/// Smallest and largest number that passes.
#[derive(Clone, Copy)]
struct Bounds(f64, f64);

impl Rule for FuseClip {
    type Plan = Plan;

    fn name(&self) -> &'static str {
        "fuse-clip"
    }

    fn summary(&self) -> &'static str {
        "Removes a Relu or Clip that another one makes needless."
    }

    fn promise(&self) -> Promise {
        Promise::Exact
    }

    fn find(&self, model: &Model, node: NodeId, _: &Shapes) -> Match<Plan> {
        let Some((middle, outer)) = clip(model, node) else { return Match::No };
        let Some(first) = model.value(middle).producer() else { return Match::No };
        let Some((from, inner)) = clip(model, first) else { return Match::No };
        let Some(to) = model.node(node).only_output() else { return Match::No };
        if outer.holds(inner) && model.can_substitute(to, middle) {
            return Match::Yes(Plan::Later { node, from: to, to: middle });
        }
        if inner.holds(outer) {
            return Match::Yes(Plan::Earlier { node, from });
        }
        Match::No
    }

    fn apply(&self, model: &mut Model, plan: Plan) -> String {
        match plan {
            Plan::Later { node, from, to } => {
                model.substitute(from, to);
                model.remove_node(node);
                "removed: what it reads lies within its bounds".into()
            }
            Plan::Earlier { node, from } => {
                model.set_input(node, 0, Some(from));
                "bypassed the node before it, which cuts less".into()
            }
        }
    }
}

impl Bounds {
    /// Everything that passes `other` passes here; bounds in the wrong order or NaN are left alone.
    fn holds(self, other: Self) -> bool {
        self.0 <= other.0 && other.1 <= self.1 && self.0 <= self.1 && other.0 <= other.1
    }
}

/// Input and bounds of a Relu or Clip.
fn clip(model: &Model, node: NodeId) -> Option<(ValueId, Bounds)> {
    let entry = model.node(node);
    let input = entry.input(0)?;
    if entry.is("Relu") {
        return Some((input, Bounds(0.0, f64::INFINITY)));
    }
    if !entry.is("Clip") {
        return None;
    }
    let bound =
        |name: &str, slot: usize, open: f64| match (entry.attr_float(name), entry.input(slot)) {
            (Some(x), _) => Some(f64::from(x)),
            (None, None) => Some(open),
            (None, Some(value)) => match constant(model, value)?.to_f64().ok()?[..] {
                [x] => Some(x),
                _ => None,
            },
        };
    let bounds = Bounds(bound("min", 1, f64::NEG_INFINITY)?, bound("max", 2, f64::INFINITY)?);
    Some((input, bounds))
}
