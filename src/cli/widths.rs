//! Weights of layers in different widths.

use std::path::PathBuf;

use clap::Args;
use onnxpress::Result;
use onnxpress::passes::Amount;
use onnxpress::verbs::{Kind, Mixed, MixedAim};

use super::budget::amount;
use super::compare::share;
use super::io;

const HEADING: &str = "Mixed precision, of --mode weights";

/// How much may stay, and in which widths.
#[derive(Debug, Clone, Args)]
pub struct WidthArgs {
    /// At most N bits for each weight in the mean, without scales: each layer gets the width with which
    /// least is lost, by what it does to the outputs on held-out samples.
    #[arg(long, help_heading = HEADING, value_name = "N", value_parser = bits, group = "mixed")]
    average_bits: Option<f64>,
    /// Size of the file at most, likewise: a share of the original's, or a number of bytes such as 800K.
    #[arg(long, help_heading = HEADING, value_name = "SHARE|BYTES", value_parser = amount, allow_negative_numbers = true, group = "mixed")]
    size: Option<Amount>,
    /// The widths of layers as a report (--json) gives them, or its `assignment` alone.
    #[arg(long, help_heading = HEADING, value_name = "FILE.json", group = "mixed")]
    assignment: Option<PathBuf>,
    /// What layers may get: types as --weights takes them, and float [default: float,int8,int4, with int2 below
    /// 4 bits in the mean].
    #[arg(long, help_heading = HEADING, value_name = "TYPE,…", value_delimiter = ',', value_parser = kind, requires = "mixed")]
    widths: Vec<Kind>,
    /// Where all layers have one width of less than 8 bits: store the weights of the smallest layers in 8 bits, as
    /// long as that adds at most this share to what all weights take; 0 stores all alike.
    #[arg(long = "small-layers-8bit", alias = "widen", help_heading = HEADING, value_name = "SHARE", default_value = "2%", value_parser = share, conflicts_with = "mixed")]
    pub widen: f64,
}

fn kind(text: &str) -> Result<Kind, String> {
    text.parse()
}

fn bits(text: &str) -> Result<f64, String> {
    let bits = text.parse().ok().filter(|bits| (1.0..=32.0).contains(bits));
    bits.ok_or_else(|| format!("`{text}`; expected a number of bits from 1 to 32"))
}

impl WidthArgs {
    /// What was asked for.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn mixed(&self) -> Result<Option<Mixed>> {
        let aim = match (self.average_bits, self.size, &self.assignment) {
            (Some(bits), ..) => MixedAim::AverageBits(bits),
            (None, Some(most), _) => MixedAim::Size(most),
            (None, None, Some(path)) => MixedAim::Assignment(io::part_of_report(
                path,
                &["assignment", "widths"],
                "widths of layers by name",
            )?),
            (None, None, None) => return Ok(None),
        };
        Ok(Some(Mixed { aim, widths: self.widths.clone() }))
    }
}
