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
    /// Whether the original is hardly more often right than chance is.
    pub at_chance: bool,
}

/// Counts for one value of `k`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Accuracy {
    samples: u64,
    original: u64,
    candidate: u64,
    agreement: u64,
    /// Classes that a sample may have, and how many of them are named.
    classes: usize,
    named: usize,
}

/// Samples from which on accuracy is told from chance.
const TELLING: u64 = 10;
/// Of what chance misses, the share that an original gets right which is hardly better; and for many classes
/// how many times as often as chance.
const HARDLY: (f64, f64) = (0.1, 5.0);

impl Accuracy {
    /// Counts one sample: the scores of both models for each class.
    pub fn count(&mut self, k: usize, label: i64, original: &[f32], candidate: &[f32]) {
        let (mut a, mut b) = (first(original, k), first(candidate, k));
        let hit = |classes: &[usize]| classes.iter().any(|&c| i64::try_from(c) == Ok(label));
        (self.classes, self.named) = (original.len(), k);
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
            classes: self.classes.max(other.classes),
            named: self.named.max(other.named),
        }
    }

    /// Whether the original is hardly more often right than chance is: most likely it is not fed what it was
    /// trained on.
    fn is_at_chance(&self) -> bool {
        let chance = self.named as f64 / self.classes.max(1) as f64;
        let more = (HARDLY.0 * (1.0 - chance)).min(HARDLY.1 * chance);
        let found = self.original as f64 / self.samples.max(1) as f64;
        self.samples >= TELLING && self.classes > self.named && found <= chance + more
    }

    /// The counts as shares of the samples.
    pub fn score(&self) -> Score {
        let share =
            |hits: u64| if self.samples == 0 { 0.0 } else { hits as f64 / self.samples as f64 };
        Score {
            original: share(self.original),
            candidate: share(self.candidate),
            agreement: share(self.agreement),
            at_chance: self.is_at_chance(),
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
    fn chance_depends_on_the_number_of_classes() {
        let at_chance = |classes: usize, right: u64, samples: u64| {
            let known =
                Accuracy { samples, original: right, classes, named: 1, ..Accuracy::default() };
            known.score().at_chance
        };
        assert!(at_chance(10, 14, 100) && !at_chance(10, 25, 100));
        assert!(at_chance(2, 53, 100) && !at_chance(2, 60, 100));
        assert!(at_chance(1000, 1, 300) && !at_chance(1000, 10, 300));
        assert!(!at_chance(10, 0, 5), "too few to tell");
        assert!(!at_chance(1, 100, 100));
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
