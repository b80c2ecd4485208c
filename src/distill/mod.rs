//! A student learns from a teacher: its constants are trained so that it computes what the teacher computes.
//!
//! [`distill`] makes a [program](crate::grad) of the student, runs the teacher once on all samples with an
//! engine, and descends. A fifth of the samples is held out by the digest of their contents; the best state
//! on them is kept, and the result is never worse on them than the student was. Only numbers of constants
//! change: no node, no extent, no element type, and no zero of a sparse weight.

mod agreement;
mod coded;
mod descent;
mod guard;
mod lessons;
mod matched;
mod objective;
mod options;
mod random;
mod score;
mod student;
mod told;
mod train;
mod vary;
mod weights;

pub use options::{Augment, Loss, LossName, Options};
pub use train::{Data, Distilled, Moment, Moved, distill};
