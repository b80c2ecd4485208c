//! Turns files into named, batched tensors, and is strict about shapes and types.
//!
//! An array file (`.npz`, `.npy`), images, ONNX test data or `random:N` are opened against the
//! inputs of a model with [`Samples::open`]; the result hands out one [`Run`] after the other, in
//! parallel if wanted. Values stay in the element type of the file and are converted sample by
//! sample. Images, test data and large arrays that are not compressed stay in their files until a
//! run asks for them.

mod array;
mod convert;
mod fed;
mod feed;
mod files;
mod folder;
mod geometry;
mod images;
mod npy;
mod npy_header;
mod npz;
mod options;
mod picture;
mod preprocess;
mod preset;
mod random;
mod samples;
mod shape;
mod source;
mod strided;
mod tensor_proto;
mod test_data;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_files;

pub use fed::{Fed, FedInput};
pub use geometry::{Resize, Size};
pub use npy::read_npy;
pub use npy_header::{MAX_HEADER, MAX_RANK};
pub use npz::Npz;
pub use options::{InputSpec, Limits, Options};
pub use preprocess::{Channels, Layout, Preprocess, parse_number, parse_numbers};
pub use preset::Preset;
pub use random::{random_below, random_tensor};
pub use samples::{Run, Samples};
pub use source::is_random;
