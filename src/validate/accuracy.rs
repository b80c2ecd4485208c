//! Accuracy on labelled samples.

use serde::Serialize;

/// Hits of original and candidate among the first `k` classes, and how often both name the same
/// first class.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Score {
    /// Share of samples whose label is among the original's first `k` classes.
    pub original: f64,
    /// The same for the candidate.
    pub candidate: f64,
    /// Share of samples for which both name the same `k` classes first, in any order.
    pub agreement: f64,
}

/// Counts for one value of `k`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Accuracy {
    samples: u64,
    original: u64,
    candidate: u64,
    agreement: u64,
}

impl Accuracy {
    /// Counts one sample: the scores of both models for each class.
    pub fn count(&mut self, k: usize, label: i64, original: &[f32], candidate: &[f32]) {
        let (mut a, mut b) = (first(original, k), first(candidate, k));
        let hit = |classes: &[usize]| classes.iter().any(|&c| i64::try_from(c) == Ok(label));
        self.samples += 1;
        self.original += u64::from(hit(&a));
        self.candidate += u64::from(hit(&b));
        a.sort_unstable();
        b.sort_unstable();
        self.agreement += u64::from(a == b);
    }

    /// The counts of both parts.
    #[must_use]
    pub fn merge(self, other: Self) -> Self {
        Self {
            samples: self.samples + other.samples,
            original: self.original + other.original,
            candidate: self.candidate + other.candidate,
            agreement: self.agreement + other.agreement,
        }
    }

    /// The counts as shares of the samples.
    pub fn score(&self) -> Score {
        let share =
            |hits: u64| if self.samples == 0 { 0.0 } else { hits as f64 / self.samples as f64 };
        Score {
            original: share(self.original),
            candidate: share(self.candidate),
            agreement: share(self.agreement),
        }
    }
}

/// The `k` classes with the highest scores, best first; among equals the first class wins, and a
/// NaN never does.
fn first(scores: &[f32], k: usize) -> Vec<usize> {
    let key =
        |class: &usize| if scores[*class].is_nan() { f32::NEG_INFINITY } else { scores[*class] };
    let mut classes: Vec<usize> = (0..scores.len()).collect();
    classes.sort_by(|a, b| key(b).total_cmp(&key(a)).then(a.cmp(b)));
    classes.truncate(k);
    classes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_go_to_the_first_class_and_nan_loses() {
        assert_eq!(first(&[1.0, 3.0, 3.0, f32::NAN], 2), [1, 2]);
    }

    #[test]
    fn counts() {
        let mut top1 = Accuracy::default();
        top1.count(1, 1, &[0.0, 1.0], &[1.0, 0.0]);
        top1.count(1, 0, &[2.0, 1.0], &[1.0, 0.0]);
        let score = top1.score();
        assert_eq!((score.original, score.candidate, score.agreement), (1.0, 0.5, 0.5));
    }
}
