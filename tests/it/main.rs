//! The integration tests, one binary, one module for each capability.

mod diff;
mod house;
mod isolated;
mod markdown;
mod passes;
mod text;
