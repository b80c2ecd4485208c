//! Covariances of few vectors.
//!
//! Of fewer vectors than they have elements, covariances say that most directions never vary, and of a few more
//! that some do far less than others: both by chance. What is between such a covariance `C` and a simple target
//! `T`, its diagonal or a multiple of the identity, comes closer to that of other vectors (Ledoit and Wolf, "A
//! well-conditioned estimator for large-dimensional covariance matrices", 2004). How far to go to the target is
//! told by vectors that are held out: `<C - T, C' - T'>` is what both have in common but for chance, and what
//! `|C - T|²` has beyond that is noise. Vectors of one sample may be alike; whole samples are held out.

use super::Moments;

/// Mean and covariance.
#[derive(Debug, Clone, PartialEq)]
pub struct Estimate {
    /// The mean.
    pub mean: Vec<f64>,
    /// The covariance, row by row.
    pub covariance: Vec<f64>,
}

/// What a covariance is pulled towards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    Diagonal,
    Identity,
}

/// How far a covariance is pulled.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Pull {
    target: Target,
    /// Noise by what is known, of the covariance off its target.
    noise: f64,
}

impl Estimate {
    /// Of vectors that something is fitted to, with advice of those held out, which are not in it. `None`
    /// without second moments.
    pub fn of_fitting(fitting: &Moments, held_out: &Moments) -> Option<Self> {
        let pull = pull(fitting, held_out)?;
        Self::pulled(fitting, pull.share(1.0))
    }

    /// Of all vectors.
    pub fn of_all(fitting: &Moments, held_out: &Moments) -> Option<Self> {
        let pull = pull(fitting, held_out)?;
        let mut all = fitting.clone();
        all.merge(held_out);
        // Noise falls with the number of vectors.
        let fewer = fitting.rows() as f64 / all.rows().max(1) as f64;
        Self::pulled(&all, pull.share(fewer))
    }

    fn pulled(moments: &Moments, (target, share): (Target, f64)) -> Option<Self> {
        let mean = moments.mean();
        let mut covariance = moments.about(&mean)?;
        let n = mean.len();
        let common = trace(&covariance, n) / n.max(1) as f64;
        for i in 0..n {
            for j in 0..n {
                let at = i * n + j;
                let to = match target {
                    _ if i != j => 0.0,
                    Target::Diagonal => covariance[at],
                    Target::Identity => common,
                };
                covariance[at] += share * (to - covariance[at]);
            }
        }
        Some(Self { mean, covariance })
    }

    /// The mean of the products of all elements: the covariance and that of the mean.
    pub fn second_moments(&self) -> Vec<f64> {
        let n = self.mean.len();
        let products = self.covariance.iter().enumerate();
        products.map(|(at, c)| c + self.mean[at / n.max(1)] * self.mean[at % n.max(1)]).collect()
    }
}

impl Pull {
    /// The share of the way to the target, with so much of the noise.
    fn share(self, fewer: f64) -> (Target, f64) {
        let noise = self.noise * fewer;
        (self.target, if noise.is_finite() { noise / (1.0 + noise) } else { 1.0 })
    }
}

fn trace(matrix: &[f64], n: usize) -> f64 {
    (0..n).map(|i| matrix[i * (n + 1)]).sum()
}

/// How far the covariance of `fitting` is best pulled.
fn pull(fitting: &Moments, held_out: &Moments) -> Option<Pull> {
    let n = fitting.columns();
    let mean = fitting.mean();
    let known = fitting.about(&mean)?;
    if held_out.rows() == 0 {
        let noise = n as f64 / fitting.rows().max(1) as f64;
        return Some(Pull { target: Target::Diagonal, noise });
    }
    let other = held_out.about(&mean)?;
    let of = |target: Target| {
        let [common, others] = [&known, &other].map(|matrix| trace(matrix, n) / n.max(1) as f64);
        let (mut whole, mut shared) = (0.0, 0.0);
        for (at, (&a, &b)) in known.iter().zip(&other).enumerate() {
            let (a, b) = match target {
                _ if at / n != at % n => (a, b),
                Target::Diagonal => continue,
                Target::Identity => (a - common, b - others),
            };
            whole += a * a;
            shared += a * b;
        }
        // What is left of the squared distance to the other vectors' covariance at the best share.
        let gain = if whole > 0.0 { shared.max(0.0).powi(2) / whole } else { 0.0 };
        let noise = match (whole > 0.0, shared > 0.0) {
            (false, _) => 0.0,
            (true, false) => f64::INFINITY,
            (true, true) => (whole / shared - 1.0).max(0.0),
        };
        (gain, Pull { target, noise })
    };
    let (diagonal, identity) = (of(Target::Diagonal), of(Target::Identity));
    // To the diagonal goes what the elements of the diagonal are; they have to predict those held out.
    let off: f64 = (0..n).map(|i| (known[i * (n + 1)] - other[i * (n + 1)]).powi(2)).sum();
    let mean = trace(&known, n) / n.max(1) as f64;
    let flat: f64 = (0..n).map(|i| (mean - other[i * (n + 1)]).powi(2)).sum();
    Some(if off - diagonal.0 <= flat - identity.0 { diagonal.1 } else { identity.1 })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers in -1..1 that follow from a seed.
    fn numbers(count: usize, mut state: u32) -> Vec<f32> {
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        };
        (0..count).map(|_| next()).collect()
    }

    /// Vectors that depend on a few hidden numbers, and noise.
    fn vectors(rows: usize, columns: usize, seed: u32) -> Moments {
        let (mix, hidden) = (numbers(columns * 3, 5), numbers(rows * 3, seed));
        let noise = numbers(rows * columns, seed ^ 999);
        let mut moments = Moments::second(columns);
        for row in 0..rows {
            let x = (0..columns).map(|c| {
                let sum: f32 = (0..3).map(|h| mix[c * 3 + h] * hidden[row * 3 + h]).sum();
                1.0 + sum + 0.3 * noise[row * columns + c]
            });
            moments.add(&x.collect::<Vec<f32>>());
        }
        moments
    }

    fn distance(a: &[f64], b: &[f64]) -> f64 {
        a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt()
    }

    #[test]
    fn of_few_vectors_the_estimate_is_nearer_than_the_covariance() {
        let columns = 24;
        let truth = vectors(40_000, columns, 11);
        let truth = truth.about(&truth.mean()).unwrap();
        let (mut plain, mut pulled) = (0.0, 0.0);
        for seed in 1..9 {
            let (fitting, held_out) = (vectors(9, columns, seed), vectors(3, columns, seed + 100));
            plain += distance(&fitting.about(&fitting.mean()).unwrap(), &truth);
            let found = Estimate::of_fitting(&fitting, &held_out).unwrap();
            pulled += distance(&found.covariance, &truth);
            let all = Estimate::of_all(&fitting, &held_out).unwrap();
            assert!(all.covariance.iter().all(|x| x.is_finite()));
        }
        assert!(pulled < plain, "{pulled} {plain}");
    }

    #[test]
    fn of_many_vectors_the_covariance_stays_what_it_is() {
        let (fitting, held_out) = (vectors(3000, 8, 3), vectors(1000, 8, 4));
        let found = Estimate::of_fitting(&fitting, &held_out).unwrap();
        let plain = fitting.about(&fitting.mean()).unwrap();
        let size = distance(&plain, &[0.0; 64]);
        assert!(distance(&found.covariance, &plain) < 0.05 * size);
        let second = fitting.about(&[0.0; 8]).unwrap();
        assert!(distance(&found.second_moments(), &second) < 0.05 * size);
    }
}
