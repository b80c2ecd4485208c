//! Gradients: a model as a list of kernels that run forward and back.
//!
//! [`lower`] turns a model, for one size of its inputs, into a [`Program`]. Kernels are those of the families
//! in `op`; values with channels are kept channels last between them. A program knows no engine, never
//! changes, and allocates nothing while it runs in a [`Workspace`]. It is generic over the numbers: `f32`
//! trains, `f64` checks every rule by differences.
//!
//! An operator without a kernel is no error by itself: what depends on it is unknown, and named when it is
//! asked for. An operator without a gradient is computed and stops the way back: [`Program::trained`] says
//! which parameters nothing reaches. So no gradient is silently zero.

#[cfg(test)]
mod check;
mod kernel;
pub mod loss;
mod lower;
mod op;
pub mod optimizer;
mod plan;
mod program;
mod real;
mod tape;
mod walk;
mod windows;

pub use lower::{Lowered, Parameter, Request, lower, stops};
pub use program::{Given, Program, Workspace};
pub use real::{Product, Real, View};
