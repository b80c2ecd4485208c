//! Losses: how far a student's numbers are from what they should be, and the gradient of that.
//!
//! Each function takes the numbers of one sample, adds its gradient, both times `weight`, and gives the loss
//! times `weight`.

use crate::grad::Real;

/// The sum of squared differences.
pub fn squares<T: Real>(values: &[T], target: &[T], weight: f64, gradient: &mut [T]) -> f64 {
    let factor = T::of(2.0 * weight);
    let mut sum = 0.0;
    for ((&v, &t), g) in values.iter().zip(target).zip(gradient) {
        let difference = v - t;
        sum += difference.wide() * difference.wide();
        *g += factor * difference;
    }
    sum * weight
}

/// The divergence of Kullback and Leibler between the distributions that both give at a temperature, times its
/// square (Hinton and others, 2015).
pub fn divergence<T: Real>(
    values: &[T],
    target: &[T],
    temperature: f64,
    weight: f64,
    gradient: &mut [T],
) -> f64 {
    let scale = 1.0 / temperature;
    let (shift_v, shift_t) = (log_sum(values, scale), log_sum(target, scale));
    let mut sum = 0.0;
    for ((&v, &t), g) in values.iter().zip(target).zip(gradient) {
        let (log_v, log_t) = (v.wide() * scale - shift_v, t.wide() * scale - shift_t);
        let (share_v, share_t) = (log_v.exp(), log_t.exp());
        sum += share_t * (log_t - log_v);
        *g += T::of(weight * temperature * (share_v - share_t));
    }
    sum * weight * temperature * temperature
}

/// The cross entropy of a label.
pub fn cross_entropy<T: Real>(values: &[T], label: usize, weight: f64, gradient: &mut [T]) -> f64 {
    let shift = log_sum(values, 1.0);
    for (i, (&v, g)) in values.iter().zip(gradient).enumerate() {
        let share = (v.wide() - shift).exp();
        *g += T::of(weight * if i == label { share - 1.0 } else { share });
    }
    values.get(label).map_or(0.0, |v| weight * (shift - v.wide()))
}

/// The logarithm of the sum of powers.
fn log_sum<T: Real>(values: &[T], scale: f64) -> f64 {
    let top = values.iter().fold(f64::NEG_INFINITY, |top, v| top.max(v.wide() * scale));
    top + values.iter().map(|v| (v.wide() * scale - top).exp()).sum::<f64>().ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The gradient of a loss against differences.
    fn check(loss: impl Fn(&[f64], &mut [f64]) -> f64) {
        let mut values = vec![0.3, -1.2, 2.0, 0.1];
        let mut gradient = vec![0.0; 4];
        loss(&values, &mut gradient);
        for i in 0..4 {
            let (kept, mut ignored) = (values[i], vec![0.0; 4]);
            let mut moved = |by: f64| {
                values[i] = kept + by;
                loss(&values, &mut ignored)
            };
            let expected = (moved(1e-5) - moved(-1e-5)) / 2e-5;
            values[i] = kept;
            assert!((gradient[i] - expected).abs() < 1e-8, "{i}: {} {expected}", gradient[i]);
        }
    }

    #[test]
    fn gradients_are_those_of_the_losses() {
        let target = [1.0, 0.5, -0.5, 2.5];
        check(|v, g| squares(v, &target, 0.7, g));
        check(|v, g| divergence(v, &target, 4.0, 0.7, g));
        check(|v, g| cross_entropy(v, 2, 0.7, g));
    }

    #[test]
    fn equal_numbers_are_no_loss() {
        let values = [1.0f64, 2.0, 3.0];
        let mut gradient = [0.0; 3];
        assert_eq!(squares(&values, &values, 1.0, &mut gradient), 0.0);
        assert!(divergence(&values, &values, 4.0, 1.0, &mut gradient).abs() < 1e-12);
        assert!(gradient.iter().all(|g| g.abs() < 1e-12));
    }
}
