//! What may be done for accuracy.

use clap::Args;
use onnxpress::pipeline::{FallBackOptions, Rank, Wanted};

use super::compare::{Bounds, share};

/// Options about layers that stay in float.
#[derive(Debug, Clone, Args)]
pub struct Accuracy {
    /// Keep the N layers in float that harm the outputs most when they alone are quantized, on
    /// held-out calibration samples.
    #[arg(long, value_name = "N", default_value_t = 0)]
    keep_worst: usize,
    /// Compute with floats in layers that bring much of the error and have little of the work, up to
    /// this share of the multiply-accumulates; 0 spares none. Their weights are stored as integers
    /// all the same. Not tried where running the model for each layer would take long.
    #[arg(long, value_name = "SHARE", default_value = "4%", value_parser = share)]
    spare: f64,
    /// Rank the layers by what quantizing each alone does to the outputs.
    #[arg(long)]
    pub sensitivity: bool,
}

impl Accuracy {
    /// The options, with the bounds that the result is to keep: they are met by keeping layers in
    /// float, the worst first. With `explain`, layers are ranked where that is quick.
    pub fn options(&self, bounds: &Bounds, explain: bool) -> FallBackOptions {
        let rank = match (self.sensitivity, explain) {
            (true, _) => Rank::Always,
            (false, true) => Rank::Affordable,
            (false, false) => Rank::Needed,
        };
        FallBackOptions {
            worst: self.keep_worst,
            wanted: Wanted { sqnr_db: bounds.min_sqnr, drop: bounds.max_drop },
            spare: self.spare,
            rank,
        }
    }
}
