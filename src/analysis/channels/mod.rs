//! What can be cut out of a model: channels, hidden units, attention heads.
//!
//! An element is an index along an axis of a value. Each operator says which elements of its inputs
//! and outputs belong together (one rule for each, the table is in `rules`); what is joined so, over
//! all operators, is an **orbit**: all of it is cut or nothing. Residual sums, Concat, Split, channel
//! shuffles, groups, heads and normalisations need no case of their own: they follow from the
//! relations. A sum of products (Conv, Gemm, MatMul) ends an orbit: with an index of both its operands
//! gone, its result is what it was with zeros there.
//!
//! What must not be cut is **frozen**, with the reason, and so is every orbit that it touches: inputs
//! and outputs of the model, positions, what a softmax or a normalisation runs over, and everything
//! that an operator without a rule reads or makes. Axes of open extents are never cut.

mod carried;
mod extents;
mod follow;
mod form;
mod groups;
mod layers;
mod reason;
mod rules;
mod site;
mod space;

pub use carried::Carried;
pub use extents::Spot;
pub use follow::{Contraction, Follow, Operand};
pub use groups::{Channels, Group, Member, Orbit};
pub use reason::{Frozen, Reason};
pub use space::{Axis, AxisId};

use crate::analysis::Shapes;
use crate::analysis::channels::site::{Relations, Site};
use crate::analysis::channels::space::Space;
use crate::ir::{Constant, Def, Model, Use};

/// What may be cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Cut what a normalisation takes its statistics over (a residual stream through
    /// LayerNormalization). The statistics of what is left change then, so a cut is more than zeroed weights.
    pub normalized: bool,
    /// Of an axis of heads and their dimensions, cut whole heads; else dimensions of all heads.
    pub heads: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { normalized: false, heads: true }
    }
}

impl Channels {
    /// What can be cut out of `model`, of which `shapes` were inferred. Linear in the extents of all
    /// axes together.
    pub fn of(model: &Model, shapes: &Shapes, options: Options) -> Self {
        let mut relations = Relations {
            space: Space::new(model, shapes),
            follow: Vec::new(),
            contractions: Vec::new(),
            forms: Vec::new(),
        };
        boundary(model, &mut relations.space);
        for (id, _) in model.nodes_of(model.main()) {
            let mut site = Site::new(model, shapes, options, id, &mut relations);
            rules::apply(&mut site);
            site.finish();
        }
        form::decide(&mut relations.space, &relations.forms, options.heads);
        groups::collect(relations)
    }
}

/// Freezes what others than nodes of the main graph read or give.
fn boundary(model: &Model, space: &mut Space) {
    for (id, value) in model.values() {
        if value.is_input() {
            space.freeze_value(id, None, &Reason::Input);
        }
        if matches!(value.def(), Def::Initializer(Constant::Sparse(_))) {
            space.freeze_value(id, None, &Reason::Sparse);
        }
        for user in value.uses() {
            match *user {
                Use::Output { .. } => space.freeze_value(id, None, &Reason::Output),
                Use::Carried { .. } => space.freeze_value(id, None, &Reason::Pinned),
                Use::Input { node, .. } if model.node(node).graph() != model.main() => {
                    space.freeze_value(id, Some(node), &Reason::Captured);
                }
                Use::Input { .. } => {}
            }
        }
    }
}
