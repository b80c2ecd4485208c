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

/// Extents of a value: what is before its channels, the channels, and what is behind.
pub type Extents = [usize; 3];

/// Where attention is: the sum of squares over the channels, for each place, all together of length 1 (Zagoruyko
/// and Komodakis, 2017).
pub fn attention_map<T: Real>(values: &[T], extents: Extents) -> Vec<f64> {
    let (mut map, length) = energies(values, extents);
    map.iter_mut().for_each(|x| *x /= length);
    map
}

fn energies<T: Real>(values: &[T], [outer, channels, inner]: Extents) -> (Vec<f64>, f64) {
    let mut map = vec![0.0; outer * inner];
    for (row, values) in values.chunks_exact(inner.max(1)).enumerate() {
        let places = &mut map[row / channels.max(1) * inner..][..inner];
        places.iter_mut().zip(values).for_each(|(sum, x)| *sum += x.wide() * x.wide());
    }
    let length = map.iter().map(|x| x * x).sum::<f64>().sqrt().max(1e-30);
    (map, length)
}

/// The squared distance between where the attention is and where it should be.
pub fn attention<T: Real>(
    values: &[T],
    extents: Extents,
    target: &[T],
    weight: f64,
    gradient: &mut [T],
) -> f64 {
    let (energy, length) = energies(values, extents);
    let [_, channels, inner] = extents;
    let apart: Vec<f64> =
        energy.iter().zip(target).map(|(e, t)| 2.0 * (e / length - t.wide())).collect();
    let along: f64 = energy.iter().zip(&apart).map(|(e, d)| e / length * d).sum();
    let slope = |place: usize| (apart[place] - energy[place] / length * along) / length;
    let rows = gradient.chunks_exact_mut(inner.max(1)).zip(values.chunks_exact(inner.max(1)));
    for (row, (gradient, values)) in rows.enumerate() {
        let first = row / channels.max(1) * inner;
        for (i, (g, x)) in gradient.iter_mut().zip(values).enumerate() {
            *g += T::of(2.0 * weight * slope(first + i) * x.wide());
        }
    }
    weight * apart.iter().map(|d| d * d / 4.0).sum::<f64>()
}

/// How much less alike samples are than they should be: squared differences of the cosines between them, for
/// all pairs, as a mean over the samples (Tung and Mori, 2019).
pub fn relation<T: Real>(rows: &[&[T]], targets: &[&[T]], weight: f64, gradient: &mut [T]) -> f64 {
    let count = rows.len();
    let dot = |a: &[T], b: &[T]| a.iter().zip(b).map(|(a, b)| a.wide() * b.wide()).sum::<f64>();
    let lengths = |rows: &[&[T]]| -> Vec<f64> {
        rows.iter().map(|row| dot(row, row).sqrt().max(1e-30)).collect()
    };
    let (ours, theirs) = (lengths(rows), lengths(targets));
    let pairs = (count * count.saturating_sub(1) / 2).max(1) as f64;
    let weight = weight * count as f64 / pairs;
    let mut sum = 0.0;
    for i in 0..count {
        for j in 0..i {
            let like = dot(rows[i], rows[j]) / (ours[i] * ours[j]);
            let apart = like - dot(targets[i], targets[j]) / (theirs[i] * theirs[j]);
            sum += weight * apart * apart;
            for (a, b) in [(i, j), (j, i)] {
                let len = rows[a].len();
                let along = T::of(2.0 * weight * apart / (ours[a] * ours[b]));
                let back = T::of(-2.0 * weight * apart * like / (ours[a] * ours[a]));
                let gradient = gradient[a * len..][..len].iter_mut();
                for ((g, &own), &other) in gradient.zip(rows[a]).zip(rows[b]) {
                    *g += along * other + back * own;
                }
            }
        }
    }
    sum
}

/// How much differently the values of samples change than they should, when the samples are changed a little; the second
/// half of the rows is the first one changed. Relative to the change that should be: to first order the distance
/// between the gradients with respect to what is fed (Srinivas and Fleuret, 2018).
pub fn changes<T: Real>(rows: &[&[T]], targets: &[&[T]], weight: f64, gradient: &mut [T]) -> f64 {
    let half = rows.len() / 2;
    let change = |rows: &[&[T]], row: usize, i: usize| (rows[row + half][i] - rows[row][i]).wide();
    let len = rows.first().map_or(0, |row| row.len());
    let each = || (0..half).flat_map(|row| (0..len).map(move |i| (row, i)));
    let power: f64 = each().map(|(row, i)| change(targets, row, i).powi(2)).sum();
    let weight = weight * rows.len() as f64 / power.max(1e-30);
    let mut sum = 0.0;
    for (row, i) in each() {
        let apart = change(rows, row, i) - change(targets, row, i);
        sum += weight * apart * apart;
        gradient[(row + half) * len + i] += T::of(2.0 * weight * apart);
        gradient[row * len + i] += T::of(-2.0 * weight * apart);
    }
    sum
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
        let map = attention_map(&target, [1, 2, 2]);
        check(|v, g| attention(v, [1, 2, 2], &map, 0.7, g));
        let map = attention_map(&target, [2, 2, 1]);
        check(|v, g| attention(v, [2, 2, 1], &map, 0.7, g));
        let (first, second) = target.split_at(2);
        check(|v, g| relation(&[&v[..2], &v[2..]], &[first, second], 0.7, g));
        check(|v, g| changes(&[&v[..2], &v[2..]], &[first, second], 0.7, g));
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
