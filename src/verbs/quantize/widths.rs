//! Weights of layers in different widths.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::compress::{Aim, FLOAT, Widths};
use crate::error::{Error, ErrorKind, Result};
use crate::passes::{Amount, Width};
use crate::read::Loaded;
use crate::verbs::quantize::scheme::{Scheme, WeightType};

/// Below so many bits in the mean, 4-bit integers alone cannot do.
const NARROW: f64 = 4.0;

/// Layers whose weights may differ in width.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mixed {
    /// How much may stay.
    pub aim: MixedAim,
    /// What layers may get; when empty float, int8, int4, and below 4 bits in the mean int2.
    #[serde(default)]
    pub widths: Vec<Kind>,
}

/// How much may stay.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MixedAim {
    /// So many bits for each weight in the mean, without scales.
    AverageBits(f64),
    /// The file: a share of the original's bytes, or a number of them.
    Size(Amount),
    /// For layers by name the name of a width, or `float`, as a report gives them; all others stay in float.
    Assignment(BTreeMap<String, String>),
}

/// A width, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Kind {
    /// Weights stay as they are.
    Float,
    /// Weights are stored as this.
    Stored(WeightType),
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == FLOAT { Ok(Self::Float) } else { text.parse().map(Self::Stored) }
    }
}

impl TryFrom<String> for Kind {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Kind> for String {
    fn from(kind: Kind) -> Self {
        kind.to_string()
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Float => f.write_str(FLOAT),
            Self::Stored(weights) => weights.fmt(f),
        }
    }
}

impl Mixed {
    /// Whether a file of so many bytes is larger than was asked for.
    pub(super) fn exceeded(&self, original: &Loaded, bytes: usize) -> bool {
        match self.aim {
            MixedAim::Size(most) => bytes as u64 > most.of(original.byte_size),
            MixedAim::AverageBits(_) | MixedAim::Assignment(_) => false,
        }
    }

    /// What was asked for.
    ///
    /// # Errors
    /// When types do not fit the scheme.
    pub(super) fn widths(&self, scheme: &Scheme, original: &Loaded) -> Result<Widths> {
        let kinds = match (&self.aim, self.widths.is_empty()) {
            (MixedAim::Assignment(given), _) => {
                let mut names: Vec<&String> = given.values().collect();
                names.sort_unstable();
                names.dedup();
                let kind = |name: &&String| {
                    name.parse().map_err(|text: String| Error::new(ErrorKind::Usage, text))
                };
                names.iter().map(kind).collect::<Result<Vec<Kind>>>()?
            }
            (_, false) => self.widths.clone(),
            (aim, true) => {
                let narrow = matches!(aim, MixedAim::AverageBits(bits) if *bits < NARROW);
                let usual = [FLOAT, "int8", "int4", "int2"];
                let usual = &usual[..if narrow { 4 } else { 3 }];
                usual.iter().filter_map(|name| name.parse().ok()).collect()
            }
        };
        let width = |kind: &Kind| match *kind {
            Kind::Float => None,
            Kind::Stored(weights) => Some(scheme.width(weights)),
        };
        let widths: Vec<Width> = kinds.iter().filter_map(width).collect::<Result<_>>()?;
        let float = widths.len() < kinds.len();
        let aim = match &self.aim {
            MixedAim::AverageBits(bits) => Aim::AverageBits(*bits),
            MixedAim::Size(most) => Aim::Bytes(most.of(original.byte_size)),
            MixedAim::Assignment(given) => Aim::Given(given.clone()),
        };
        Ok(Widths { widths, float, aim })
    }
}
