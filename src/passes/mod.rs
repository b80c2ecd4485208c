//! Edits: each pass changes a model in one way. Passes open no files and know no engine.
//!
//! One folder for each family; [`PASSES`] lists the passes in the order of the documentation. Families use those
//! above them in this list, never those below.

// What all passes are made of.
mod budget;
mod context;
mod pass;
mod report;
mod rule;

// The families, from the ground up.
mod convert;
mod factorize;
mod prune;
mod quantize;
mod refit;
mod rewrite;
mod simplify;
mod stored;

mod registry;

pub use budget::{Allocation, Amount, Budget, Resource};
pub use context::Context;
pub use convert::*;
pub use factorize::{
    Aim, Chosen, Factorize, Form, Known, LayerLoss, Layers, Method, Plan, Ranks, Split, Splittable,
};
pub use pass::{Pass, Promise};
pub use prune::*;
pub use quantize::*;
pub use refit::*;
pub use registry::{Entry, PASSES, find};
pub use report::{LayerNote, Note, Report};
pub use rewrite::*;
pub use rule::{Match, Rule};
pub use simplify::*;
pub(crate) use stored::StoredWeight;
