//! What is minimized, and what is measured on samples held out.

use crate::distill::LossName;
use crate::distill::lessons::{Lessons, Target};
use crate::grad::loss;

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
}

/// All losses, with their targets.
pub struct Objective {
    pub terms: Vec<Term>,
    pub targets: Vec<Target>,
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
    /// The losses of a value for `samples`, of which it holds the numbers, one after the other. Adds the
    /// gradient, when that is wanted, of the mean over `batch` samples.
    pub fn losses(
        &self,
        wanted: usize,
        samples: &[usize],
        values: &[f32],
        gradient: &mut [f32],
        batch: usize,
    ) -> Score {
        let mut score = Score::default();
        let share = 1.0 / batch as f64;
        for term in self.terms.iter().filter(|term| term.wanted == wanted) {
            let target = &self.targets[term.target];
            let len = target.len();
            for (row, &sample) in samples.iter().enumerate() {
                let (values, wanted) = (&values[row * len..][..len], target.of(sample));
                let gradient = &mut gradient[row * len..][..len];
                let weight = term.weight * share;
                let loss = match term.name {
                    LossName::Squares => loss::squares(values, wanted, weight, gradient),
                    LossName::Features => known_squares(values, wanted, weight, gradient),
                    LossName::Divergence => {
                        loss::divergence(values, wanted, self.temperature, weight, gradient)
                    }
                    LossName::CrossEntropy => {
                        let label = self.labels.as_ref().and_then(|labels| labels.get(sample));
                        let label = label.copied().unwrap_or(usize::MAX);
                        loss::cross_entropy(values, label, weight, gradient)
                    }
                };
                score.loss += loss / share;
                score.output += if term.output { loss / share } else { 0.0 };
            }
        }
        if let Some((_, target)) = self.classes.filter(|classes| classes.0 == wanted) {
            let target = &self.targets[target];
            let len = target.len();
            let best =
                |values: &[f32]| (1..len).fold(0, |b, i| if values[i] > values[b] { i } else { b });
            for (row, &sample) in samples.iter().enumerate() {
                score.agreed +=
                    usize::from(best(&values[row * len..][..len]) == best(target.of(sample)));
            }
        }
        score
    }
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

impl Lessons {
    /// Labels that a number of classes has.
    pub fn labels_below(&self, classes: usize) -> Result<Vec<usize>, usize> {
        let labels = self.labels.clone().unwrap_or_default();
        match labels.iter().find(|&&label| label >= classes) {
            Some(&label) => Err(label),
            None => Ok(labels),
        }
    }
}
