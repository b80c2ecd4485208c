//! What fuzzing checks. Each module takes any bytes and panics when a property does not hold.
//!
//! The targets of `fuzz/` and the tests of this folder run the same code, so nothing here uses a
//! test framework or anything outside this folder.

pub mod bytes;
pub mod draw;
pub mod graphs;
pub mod locations;
pub mod model;
pub mod samples;
pub mod text;
