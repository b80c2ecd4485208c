//! The integration tests, one binary, one module for each capability.

mod calibrate;
mod cli;
mod cli_errors;
mod diff;
mod exec;
mod exec_guard;
mod functions;
mod fuzz;
mod house;
mod isolated;
mod markdown;
mod model_diff;
mod passes;
mod pipeline;
mod prune;
mod qoperator;
mod quantize;
mod quantize_targets;
mod quantize_types;
mod random_graphs;
mod roundtrip;
mod simplify;
mod snapshots_example;
mod statistics;
mod support;
mod text;
