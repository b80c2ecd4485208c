//! What is minimized, and what is measured on samples held out.

use crate::distill::LossName;
use crate::distill::lessons::Target;
use crate::distill::matched::kept_channels;
use crate::grad::loss::{self, Extents};

/// One loss of one value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Term {
    /// Place of the value among those that the program computes, and its target.
    pub wanted: usize,
    pub target: usize,
    pub name: LossName,
    /// What a sum over the numbers of one sample is multiplied with.
    pub weight: f64,
    /// An output: counts when states are compared.
    pub output: bool,
    /// Extents of the value for one sample.
    pub extents: Extents,
}

/// What of a value of the teacher is aimed at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Form {
    /// All of it.
    Same,
    /// On an axis, the channels that the student has.
    Channels(usize, Vec<Option<usize>>),
    /// Where its attention is.
    Map(Extents),
}

impl Form {
    /// Of a value of the teacher.
    pub fn of(&self, target: Target) -> Target {
        match self {
            Self::Same => target,
            Self::Channels(axis, channels) => kept_channels(&target, *axis, channels),
            Self::Map(extents) => {
                let rows = target.numbers.chunks_exact(target.len().max(1));
                let maps = rows.flat_map(|row| loss::attention_map(row, *extents));
                let numbers = maps.map(|x| x as f32).collect();
                Target { dims: vec![extents[0], 1, extents[2]], numbers }
            }
        }
    }
}

/// A target, and how it is made of a value of the teacher.
pub struct Aim {
    /// For all samples.
    pub stored: Target,
    /// Place of the match.
    pub source: usize,
    pub form: Form,
}

/// The targets of a micro-batch.
#[derive(Debug, Clone, Copy)]
pub struct Aims<'a> {
    /// Its samples.
    pub samples: &'a [usize],
    /// What the teacher gives for samples that were changed, one after the other.
    pub fresh: Option<&'a [Target]>,
}

/// All losses, with their targets.
pub struct Objective {
    pub terms: Vec<Term>,
    pub aims: Vec<Aim>,
    pub temperature: f64,
    /// The place of the scores of classes among what the program computes, with their target.
    pub classes: Option<(usize, usize)>,
    /// Only with `ce`.
    pub labels: Option<Vec<usize>>,
}

/// What samples gave.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Score {
    /// Sum of all losses, and of those of the outputs alone.
    pub loss: f64,
    pub output: f64,
    /// Samples for which student and teacher name the same class.
    pub agreed: usize,
    pub samples: usize,
}

impl Score {
    /// Adds that of other samples.
    pub fn add(&mut self, other: Self) {
        self.loss += other.loss;
        self.output += other.output;
        self.agreed += other.agreed;
        self.samples += other.samples;
    }

    /// The loss of one sample.
    pub fn mean(&self) -> f64 {
        self.loss / self.samples.max(1) as f64
    }

    /// The loss of the outputs of one sample.
    pub fn mean_output(&self) -> f64 {
        self.output / self.samples.max(1) as f64
    }

    /// Share of samples that agree.
    pub fn agreement(&self) -> f64 {
        self.agreed as f64 / self.samples.max(1) as f64
    }
}

impl Objective {
    /// What a row of a micro-batch should be.
    fn aim<'a>(&'a self, aims: Aims<'a>, target: usize, row: usize) -> &'a [f32] {
        match aims.fresh {
            Some(fresh) => fresh[target].of(row),
            None => self.aims[target].stored.of(aims.samples[row]),
        }
    }

    /// The losses of a value for a micro-batch, of which it holds the numbers, one sample after the other. Adds the
    /// gradient of the mean over `batch` samples.
    pub fn losses(
        &self,
        wanted: usize,
        aims: Aims<'_>,
        values: &[f32],
        gradient: &mut [f32],
        batch: usize,
    ) -> Score {
        let mut score = Score::default();
        let (share, count) = (1.0 / batch as f64, aims.samples.len());
        for term in self.terms.iter().filter(|term| term.wanted == wanted) {
            let weight = term.weight * share;
            let len: usize = term.extents.iter().product();
            let rows = || values.chunks_exact(len.max(1)).take(count);
            let loss: f64 = match term.name {
                LossName::Relation | LossName::Gradient => {
                    // Samples as they are have no counterpart that is changed.
                    if term.name == LossName::Gradient && aims.fresh.is_none() {
                        continue;
                    }
                    let rows: Vec<&[f32]> = rows().collect();
                    let targets: Vec<&[f32]> =
                        (0..count).map(|row| self.aim(aims, term.target, row)).collect();
                    match term.name {
                        LossName::Relation => loss::relation(&rows, &targets, weight, gradient),
                        _ => loss::changes(&rows, &targets, weight, gradient),
                    }
                }
                _ => rows()
                    .zip(gradient.chunks_exact_mut(len.max(1)))
                    .enumerate()
                    .map(|(row, (values, gradient))| {
                        let target = self.aim(aims, term.target, row);
                        self.of_sample(term, aims.samples[row], (values, target), weight, gradient)
                    })
                    .sum(),
            };
            score.loss += loss / share;
            score.output += if term.output { loss / share } else { 0.0 };
        }
        if let Some((_, target)) = self.classes.filter(|classes| classes.0 == wanted) {
            let len = self.aims[target].stored.len();
            for (row, values) in values.chunks_exact(len.max(1)).take(count).enumerate() {
                score.agreed += usize::from(best(values) == best(self.aim(aims, target, row)));
            }
        }
        score
    }

    /// The loss of one sample.
    fn of_sample(
        &self,
        term: &Term,
        sample: usize,
        (values, target): (&[f32], &[f32]),
        weight: f64,
        gradient: &mut [f32],
    ) -> f64 {
        match term.name {
            LossName::Squares => loss::squares(values, target, weight, gradient),
            LossName::Divergence => {
                loss::divergence(values, target, self.temperature, weight, gradient)
            }
            LossName::CrossEntropy => {
                let label = self.labels.as_ref().and_then(|labels| labels.get(sample));
                let label = label.copied().unwrap_or(usize::MAX);
                loss::cross_entropy(values, label, weight, gradient)
            }
            LossName::Attention => loss::attention(values, term.extents, target, weight, gradient),
            _ => known_squares(values, target, weight, gradient),
        }
    }
}

/// The class with the highest score.
pub fn best(scores: &[f32]) -> usize {
    (1..scores.len()).fold(0, |best, i| if scores[i] > scores[best] { i } else { best })
}

/// Squares, without those of numbers that are not known.
fn known_squares(values: &[f32], target: &[f32], weight: f64, gradient: &mut [f32]) -> f64 {
    let mut sum = 0.0;
    for ((&v, &t), g) in values.iter().zip(target).zip(gradient).filter(|((_, t), _)| !t.is_nan()) {
        sum += f64::from(v - t) * f64::from(v - t);
        *g += (2.0 * weight) as f32 * (v - t);
    }
    sum * weight
}
