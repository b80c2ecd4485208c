//! The bodies of the targets, shared with the tests of `cargo test` (`tests/it/fuzz`).

#[path = "../../tests/it/fuzz/bodies/mod.rs"]
pub mod bodies;
