//! Turns files into named, batched tensors, and is strict about shapes and types.
//!
//! A `.npz` or `.npy` file (or `random:N`) is opened against the inputs of a model with
//! [`Samples::open`]; the result hands out one [`Run`] after the other, in parallel if wanted.
//! Arrays stay in the element type of the file and are converted sample by sample.

mod convert;
mod feed;
mod npy;
mod npy_header;
mod npz;
mod options;
mod preprocess;
mod random;
mod samples;
mod shape;
mod source;
mod strided;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use npy::read_npy;
pub use npy_header::{MAX_HEADER, MAX_RANK};
pub use npz::Npz;
pub use options::{InputSpec, Limits, Options};
pub use preprocess::{Channels, Layout, Preprocess, parse_number, parse_numbers};
pub use samples::{Run, Samples};
