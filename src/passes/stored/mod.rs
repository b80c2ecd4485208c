//! Quantized layers beside what they were before: for passes that make quantization more accurate.

mod bias;
mod coded;
mod gridded;
mod layer;
mod share;
mod weight;

pub(super) use bias::Bias;
pub(super) use coded::{Code, Layout, Writer, shared_bytes};
pub(super) use gridded::{Gridded, Unpacking};
pub(super) use layer::{ChangedLayer, Linear, MOST_COLUMNS, StoredLayer, in_chunks};
pub(super) use share::Share;
pub(crate) use weight::StoredWeight;
