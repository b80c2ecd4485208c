//! Weights of layers in different widths.

use std::path::PathBuf;

use clap::Args;
use onnxpress::compress::{Aim, FLOAT, Widths};
use onnxpress::passes::{Amount, Width};
use onnxpress::read::Loaded;
use onnxpress::{Error, ErrorKind, Result};

use super::budget::amount;
use super::compare::share;
use super::io;
use super::quantization::{Quantization, Weights, weights};

const HEADING: &str = "Mixed precision, of --mode weights";
/// Below so many bits in the mean, 4-bit integers alone cannot do.
const NARROW: f64 = 4.0;

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
    #[arg(long, help_heading = HEADING, value_name = "SHARE", default_value = "2%", value_parser = share, conflicts_with = "mixed")]
    pub widen: f64,
}

/// A width, or none.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Float,
    Stored(Weights),
}

fn kind(text: &str) -> Result<Kind, String> {
    if text == FLOAT { Ok(Kind::Float) } else { weights(text).map(Kind::Stored) }
}

fn bits(text: &str) -> Result<f64, String> {
    let bits = text.parse().ok().filter(|bits| (1.0..=32.0).contains(bits));
    bits.ok_or_else(|| format!("`{text}`; expected a number of bits from 1 to 32"))
}

impl WidthArgs {
    /// Whether layers may differ.
    pub fn is_mixed(&self) -> bool {
        self.average_bits.is_some() || self.size.is_some() || self.assignment.is_some()
    }

    /// Whether a file of so many bytes is larger than was asked for.
    pub fn exceeded(&self, original: &Loaded, bytes: usize) -> bool {
        self.size.is_some_and(|most| bytes as u64 > most.of(original.byte_size))
    }

    /// What was asked for.
    ///
    /// # Errors
    /// When a file cannot be read, or types do not fit the other options.
    pub fn widths(&self, quantization: &Quantization, original: &Loaded) -> Result<Option<Widths>> {
        let aim = match (self.average_bits, self.size, &self.assignment) {
            (Some(bits), ..) => Aim::AverageBits(bits),
            (None, Some(most), _) => Aim::Bytes(most.of(original.byte_size)),
            (None, None, Some(path)) => Aim::Given(io::part_of_report(
                path,
                &["assignment", "widths"],
                "widths of layers by name",
            )?),
            (None, None, None) => return Ok(None),
        };
        let narrow = self.average_bits.is_some_and(|bits| bits < NARROW);
        let kinds = match (&aim, self.widths.is_empty()) {
            (Aim::Given(given), _) => {
                let mut names: Vec<&String> = given.values().collect();
                names.sort_unstable();
                names.dedup();
                let kind =
                    |name: &&String| kind(name).map_err(|text| Error::new(ErrorKind::Usage, text));
                names.iter().map(kind).collect::<Result<Vec<Kind>>>()?
            }
            (_, false) => self.widths.clone(),
            (_, true) => {
                let usual: &[&str] = if narrow {
                    &[FLOAT, "int8", "int4", "int2"]
                } else {
                    &[FLOAT, "int8", "int4"]
                };
                usual.iter().filter_map(|name| kind(name).ok()).collect()
            }
        };
        let width = |kind: &Kind| match *kind {
            Kind::Float => None,
            Kind::Stored(weights) => Some(quantization.width(weights)),
        };
        let widths: Vec<Width> = kinds.iter().filter_map(width).collect::<Result<_>>()?;
        let float = widths.len() < kinds.len();
        Ok(Some(Widths { widths, float, aim }))
    }
}
