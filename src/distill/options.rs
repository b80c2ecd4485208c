//! What the caller says.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result, err};

/// A loss by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum LossName {
    /// Divergence of the distributions that both give at a temperature.
    #[serde(rename = "kl")]
    Divergence,
    /// Cross entropy of the labels.
    #[serde(rename = "ce")]
    CrossEntropy,
    /// Squared differences of the outputs, relative to those of the teacher.
    #[serde(rename = "mse")]
    Squares,
    /// The same of values inside that both models have.
    #[serde(rename = "feature")]
    Features,
    /// Where in these values the attention is, whatever channels they have.
    #[serde(rename = "attention")]
    Attention,
    /// How alike samples are in them.
    #[serde(rename = "relation")]
    Relation,
    /// How outputs change when samples change a little: the gradients with respect to what is fed.
    #[serde(rename = "gradient")]
    Gradient,
}

impl LossName {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Divergence,
        Self::CrossEntropy,
        Self::Squares,
        Self::Features,
        Self::Attention,
        Self::Relation,
        Self::Gradient,
    ];

    /// Its name in options and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Divergence => "kl",
            Self::CrossEntropy => "ce",
            Self::Squares => "mse",
            Self::Features => "feature",
            Self::Attention => "attention",
            Self::Relation => "relation",
            Self::Gradient => "gradient",
        }
    }

    /// Whether it is about values inside.
    pub(super) fn is_inside(self) -> bool {
        matches!(self, Self::Features | Self::Attention | Self::Relation)
    }
}

/// A loss with its weight among others.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Loss {
    /// Which one.
    pub name: LossName,
    /// What it is multiplied with.
    pub weight: f64,
}

impl FromStr for Loss {
    type Err = Error;

    /// `NAME` or `NAME=WEIGHT`.
    fn from_str(text: &str) -> Result<Self> {
        let (name, weight) = text.split_once('=').unwrap_or((text, "1"));
        let known = LossName::ALL.into_iter().find(|known| known.name() == name.trim());
        let names = LossName::ALL.map(LossName::name).join(", ");
        let name = known.ok_or_else(|| err!(Usage, "`{name}`; expected one of {names}"))?;
        let weight = weight.trim().parse().ok().filter(|w: &f64| w.is_finite() && *w > 0.0);
        let weight = weight.ok_or_else(|| err!(Usage, "`{text}`; expected a weight above 0"))?;
        Ok(Self { name, weight })
    }
}

/// How images are changed before both models see them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Augment {
    /// Half of them from left to right.
    Flip,
    /// Moved by up to an eighth of their extents; what comes in is reflected.
    Shift,
    /// Two of them added, mostly one (Zhang and others, 2018).
    Mixup,
}

impl FromStr for Augment {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Ok(match text.trim() {
            "flip" => Self::Flip,
            "shift" => Self::Shift,
            "mixup" => Self::Mixup,
            _ => return Err(err!(Usage, "`{text}`; expected one of flip, shift, mixup")),
        })
    }
}

/// How a student learns.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Losses; when empty, features and divergence where the output gives classes, else squares, and cross
    /// entropy when there are labels.
    pub losses: Vec<Loss>,
    /// Steps; when neither this nor minutes are given, as many as the size of the student leaves room for.
    pub steps: Option<usize>,
    /// Minutes that all may take.
    pub minutes: Option<f64>,
    /// Rate of the steps, for weights of usual size; by default 1e-3.
    pub rate: Option<f64>,
    /// Samples of a step.
    pub batch: usize,
    /// Temperature of the divergence.
    pub temperature: f64,
    /// How images are changed.
    pub augment: Vec<Augment>,
    /// How far every other sample of a step is moved, each of its numbers by so much, to where the student is worse
    /// (Goodfellow and others, 2015).
    pub adversarial: Option<f64>,
    /// Values of the student and of the teacher that should be the same.
    pub matches: Vec<(String, String)>,
    /// Train only constants of nodes whose names fit one of these patterns.
    pub train: Vec<String>,
    /// Leave constants of these nodes as they are.
    pub freeze: Vec<String>,
    /// Seed of the order of samples.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            losses: Vec::new(),
            steps: None,
            minutes: None,
            rate: None,
            batch: 32,
            temperature: 4.0,
            augment: Vec::new(),
            adversarial: None,
            matches: Vec::new(),
            train: Vec::new(),
            freeze: Vec::new(),
            seed: 0,
        }
    }
}

impl Options {
    /// Refuses what makes no sense.
    pub(super) fn check(&self) -> Result<()> {
        let positive = |x: f64| x.is_finite() && x > 0.0;
        if self.batch == 0 || self.steps == Some(0) {
            return Err(err!(Usage, "batch and steps must be at least 1"));
        }
        if !positive(self.temperature) {
            return Err(err!(Usage, "temperature {}; expected more than 0", self.temperature));
        }
        if let Some(rate) = self.rate.filter(|&rate| !positive(rate)) {
            return Err(err!(Usage, "learning rate {rate}; expected more than 0"));
        }
        if let Some(eps) = self.adversarial.filter(|&eps| !positive(eps)) {
            return Err(err!(Usage, "adversarial {eps}; expected more than 0"));
        }
        if let Some(minutes) = self.minutes.filter(|&minutes| !positive(minutes)) {
            return Err(err!(Usage, "{minutes} minutes; expected more than 0"));
        }
        Ok(())
    }
}
