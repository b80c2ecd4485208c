//! How far apart the classes are that two classifiers believe in.

/// Sums of the Kullback-Leibler divergence of rows of class scores, in nats.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Divergence {
    rows: u64,
    sum: f64,
    largest: f64,
    agreeing: u64,
}

/// How far the sum of probabilities may be from 1: float16 rounds a thousand of them.
const SUM_TOLERANCE: f64 = 1e-2;
/// The least probability that is told from 0, so that one class that is ruled out is no infinity.
const LEAST: f64 = 1e-12;

impl Divergence {
    /// The divergence of rows of `classes` scores: `reference` and what replaces it. Scores that are
    /// no probabilities go through a Softmax. Rows that are not finite count as the largest divergence
    /// there can be.
    pub fn of_scores(reference: &[f32], candidate: &[f32], classes: usize) -> Self {
        let mut sums = Self::default();
        let rows = reference.chunks_exact(classes.max(1));
        for (a, b) in rows.zip(candidate.chunks_exact(classes.max(1))) {
            let divergence = match is_distribution(a) && is_distribution(b) {
                true => divergence(&floats(a), &floats(b)),
                false => divergence(&softmax(a), &softmax(b)),
            };
            let divergence = if divergence.is_finite() { divergence } else { -LEAST.ln() };
            sums.rows += 1;
            sums.sum += divergence;
            sums.largest = sums.largest.max(divergence);
            sums.agreeing += u64::from(first(a) == first(b));
        }
        sums
    }

    /// The same for rows that are probabilities; `None` when a row of the reference is none.
    pub fn of_distributions(reference: &[f32], candidate: &[f32], classes: usize) -> Option<Self> {
        let mut rows = reference.chunks_exact(classes.max(1));
        let all = classes >= 2 && !reference.is_empty() && rows.all(is_distribution);
        all.then(|| Self::of_scores(reference, candidate, classes))
    }

    /// The sums over both parts.
    #[must_use]
    pub fn merge(self, other: Self) -> Self {
        Self {
            rows: self.rows + other.rows,
            sum: self.sum + other.sum,
            largest: self.largest.max(other.largest),
            agreeing: self.agreeing + other.agreeing,
        }
    }

    /// Number of rows.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Mean over the rows of `Σ p ln(p / q)`, in nats.
    pub fn mean(&self) -> f64 {
        if self.rows == 0 { 0.0 } else { self.sum / self.rows as f64 }
    }

    /// The largest of a row, in nats.
    pub fn largest(&self) -> f64 {
        self.largest
    }

    /// Share of the rows in which both put the same class first.
    pub fn agreement(&self) -> f64 {
        if self.rows == 0 { 1.0 } else { self.agreeing as f64 / self.rows as f64 }
    }
}

/// The class with the highest score; among equals the first, and a NaN never.
pub(super) fn first(scores: &[f32]) -> usize {
    let mut best = 0;
    for (class, &score) in scores.iter().enumerate() {
        if score > scores[best] || scores[best].is_nan() && !score.is_nan() {
            best = class;
        }
    }
    best
}

fn is_distribution(row: &[f32]) -> bool {
    let sum: f64 = row.iter().copied().map(f64::from).sum();
    row.iter().all(|&p| p >= 0.0) && (sum - 1.0).abs() <= SUM_TOLERANCE
}

fn floats(row: &[f32]) -> Vec<f64> {
    row.iter().copied().map(f64::from).collect()
}

fn softmax(row: &[f32]) -> Vec<f64> {
    let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f64> = row.iter().map(|&x| (f64::from(x) - f64::from(largest)).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.into_iter().map(|power| power / sum).collect()
}

fn divergence(p: &[f64], q: &[f64]) -> f64 {
    let of = |(&p, &q): (&f64, &f64)| {
        if p == 0.0 { 0.0 } else { p * (p.max(LEAST) / q.max(LEAST)).ln() }
    };
    // Rounding may bring a sum that is 0 slightly below.
    p.iter().zip(q).map(of).sum::<f64>().max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values() {
        let half = Divergence::of_scores(&[0.5, 0.5], &[0.25, 0.75], 2);
        let expected = 0.5 * 2f64.ln() + 0.5 * (0.5f64 / 0.75).ln();
        assert!((half.mean() - expected).abs() < 1e-12);
        // Logits that differ by a constant are the same classes.
        let shifted = Divergence::of_scores(&[1.0, 3.0, 2.0], &[11.0, 13.0, 12.0], 3);
        assert!(shifted.mean() < 1e-12 && shifted.agreement() == 1.0);
        let both = half.merge(Divergence::of_scores(&[9.0, 1.0], &[1.0, 9.0], 2));
        assert_eq!((both.rows(), both.agreement()), (2, 0.0));
        assert!(both.largest() > 7.0 && both.mean() > 3.5);
    }

    #[test]
    fn only_probabilities_are_distributions() {
        assert!(Divergence::of_distributions(&[0.9, 0.1], &[0.8, 0.2], 2).is_some());
        assert!(Divergence::of_distributions(&[0.9, 0.3], &[0.8, 0.2], 2).is_none());
        assert!(Divergence::of_distributions(&[1.0], &[1.0], 1).is_none());
        assert!(Divergence::of_distributions(&[1.5, -0.5], &[1.0, 0.0], 2).is_none());
    }

    #[test]
    fn rows_that_are_not_finite_are_as_far_as_can_be() {
        let lost = Divergence::of_scores(&[1.0, 2.0], &[f32::NAN, f32::NAN], 2);
        assert!(lost.mean().is_finite() && lost.mean() > 20.0);
        assert_eq!(first(&[f32::NAN, 1.0, 3.0]), 2);
    }
}
