//! The integration tests, one binary, one module for each capability.

mod diff;
mod house;
mod markdown;
mod model_diff;
mod passes;
mod snapshots_example;
mod text;
