//! Tables of numbers that stand for many, with the least squared error.
//!
//! On a line, clusters are intervals, so the best of all is found by dynamic programming (Wang and Song,
//! "Ckmeans.1d.dp", 2011), here on a histogram, by divide and conquer: where the last cluster begins never
//! falls as more numbers are covered. Of many bins only some may end a cluster at first; Lloyd's rounds then
//! move the ends among all.

use std::collections::HashSet;

/// Bins of the histogram: as fine as 256 clusters need when most numbers lie in a hundredth of the range.
const BINS: usize = 1 << 14;
/// Bins that dynamic programming looks at: its time grows with them, times the clusters.
const PLACES: usize = 1 << 11;
/// Most of Lloyd's rounds.
const ROUNDS: usize = 64;

/// At most `entries` numbers, in rising order, with the least sum of `weight · (x - nearest)²` over
/// `(x, weight)`. When there are no more different numbers than that, it is these.
pub fn centroids<I>(numbers: I, entries: usize) -> Vec<f64>
where
    I: Iterator<Item = (f64, f64)> + Clone,
{
    if let Some(all) = few(numbers.clone(), entries) {
        return all;
    }
    let bins = histogram(numbers);
    let sums = Sums::of(&bins);
    let ends = sums.clusters(&places(&bins), entries);
    let ends = sums.settled(&bins, ends);
    let starts = std::iter::once(0).chain(ends.iter().copied());
    starts.zip(&ends).map(|(start, &end)| sums.mean(start, end)).collect()
}

/// All different numbers, if there are at most so many.
fn few(numbers: impl Iterator<Item = (f64, f64)>, most: usize) -> Option<Vec<f64>> {
    let mut seen = HashSet::new();
    for (x, _) in numbers {
        // Both zeros are one number.
        seen.insert((x + 0.0).to_bits());
        if seen.len() > most {
            return None;
        }
    }
    let mut all: Vec<f64> = seen.into_iter().map(f64::from_bits).collect();
    all.sort_by(f64::total_cmp);
    Some(all)
}

/// Weight and mean of the numbers in each bin that holds any, in rising order.
fn histogram(numbers: impl Iterator<Item = (f64, f64)> + Clone) -> Vec<(f64, f64)> {
    let range = numbers
        .clone()
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), (x, _)| (low.min(x), high.max(x)));
    let width = (range.1 - range.0) / BINS as f64;
    let mut bins = vec![(0f64, 0f64); BINS];
    for (x, weight) in numbers {
        let bin = &mut bins[(((x - range.0) / width) as usize).min(BINS - 1)];
        // What weighs nothing still has its place.
        let weight = weight.max(f64::MIN_POSITIVE);
        *bin = (bin.0 + weight, bin.1 + weight * x);
    }
    let filled = bins.into_iter().filter(|bin| bin.0 > 0.0);
    filled.map(|(weight, sum)| (weight, sum / weight)).collect()
}

/// Where clusters may end: at most so many places that bins between two of them make about the same error,
/// for which the cube root of the weight counts (Panter and Dite, "Quantization distortion", 1951).
fn places(bins: &[(f64, f64)]) -> Vec<usize> {
    let total: f64 = bins.iter().map(|bin| bin.0.cbrt()).sum();
    let mut places = vec![0];
    let (mut sum, mut passed) = (0f64, 0f64);
    for (i, bin) in bins.iter().enumerate() {
        sum += bin.0.cbrt();
        if sum >= passed + total / PLACES as f64 || bins.len() <= PLACES || i + 1 == bins.len() {
            places.push(i + 1);
            passed = sum;
        }
    }
    places
}

/// Sums of weights, weighted numbers and weighted squares before each place.
struct Sums(Vec<[f64; 3]>);

impl Sums {
    fn of(bins: &[(f64, f64)]) -> Self {
        let mut sums = Vec::with_capacity(bins.len() + 1);
        let mut sum = [0f64; 3];
        sums.push(sum);
        for &(weight, x) in bins {
            sum = [sum[0] + weight, sum[1] + weight * x, sum[2] + weight * x * x];
            sums.push(sum);
        }
        Self(sums)
    }

    fn mean(&self, start: usize, end: usize) -> f64 {
        let (a, b) = (self.0[start], self.0[end]);
        (b[1] - a[1]) / (b[0] - a[0]).max(f64::MIN_POSITIVE)
    }

    /// The squared error when all from `start` to before `end` become one number.
    fn cost(&self, start: usize, end: usize) -> f64 {
        let (a, b) = (self.0[start], self.0[end]);
        let (weight, sum) = (b[0] - a[0], b[1] - a[1]);
        (b[2] - a[2] - sum * sum / weight.max(f64::MIN_POSITIVE)).max(0.0)
    }

    /// Where each of the best clusters ends, of those that end at `places`.
    fn clusters(&self, places: &[usize], entries: usize) -> Vec<usize> {
        let count = places.len() - 1;
        let entries = entries.min(count);
        let cost = |start: usize, end: usize| self.cost(places[start], places[end]);
        let mut least: Vec<f64> = (0..=count).map(|end| cost(0, end)).collect();
        let mut starts: Vec<Vec<u32>> = Vec::new();
        for clusters in 2..=entries {
            let mut next = least.clone();
            let mut begins = vec![0u32; count + 1];
            // Ends still to be settled, with the bounds of where their last cluster begins.
            let mut open = vec![(clusters, count, clusters - 1, count - 1)];
            while let Some((low, high, first, last)) = open.pop() {
                let end = low + (high - low) / 2;
                let judged = (first..=last.min(end - 1))
                    .map(|start| (least[start] + cost(start, end), start));
                let best = judged.reduce(|a, b| if b.0 < a.0 { b } else { a });
                let best = best.unwrap_or((f64::INFINITY, first));
                next[end] = best.0;
                begins[end] = best.1 as u32;
                if end > low {
                    open.push((low, end - 1, first, best.1));
                }
                if end < high {
                    open.push((end + 1, high, best.1, last));
                }
            }
            least = next;
            starts.push(begins);
        }
        let mut ends = vec![count];
        for begins in starts.iter().rev() {
            let end = ends.last().copied().unwrap_or(count);
            ends.push(begins[end] as usize);
        }
        ends.reverse();
        ends.into_iter().map(|end| places[end]).collect()
    }

    /// The same clusters with each bin in the one whose mean is nearest, until none moves.
    fn settled(&self, bins: &[(f64, f64)], mut ends: Vec<usize>) -> Vec<usize> {
        for _ in 0..ROUNDS {
            let starts = std::iter::once(0).chain(ends.iter().copied());
            let means: Vec<f64> =
                starts.zip(&ends).map(|(start, &end)| self.mean(start, end)).collect();
            let mut next: Vec<usize> = means
                .windows(2)
                .map(|pair| bins.partition_point(|bin| bin.1 < (pair[0] + pair[1]) / 2.0))
                .collect();
            next.push(bins.len());
            if next == ends || next.first() == Some(&0) || next.windows(2).any(|p| p[0] >= p[1]) {
                break;
            }
            ends = next;
        }
        ends
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(numbers: &[(f64, f64)], table: &[f64]) -> f64 {
        let nearest =
            |x: f64| table.iter().map(|t| (x - t) * (x - t)).fold(f64::INFINITY, f64::min);
        numbers.iter().map(|&(x, weight)| weight * nearest(x)).sum()
    }

    fn sample(count: usize) -> Vec<(f64, f64)> {
        let number = |i: usize| ((i * 37 % 101) as f64 / 50.0 - 1.0, 1.0 + (i % 3) as f64);
        (0..count).map(number).map(|(x, weight)| (x * x * x, weight)).collect()
    }

    #[test]
    fn no_partition_into_intervals_is_better() {
        let numbers = sample(14);
        let mut sorted: Vec<(f64, f64)> = numbers.iter().map(|&(x, weight)| (weight, x)).collect();
        sorted.sort_by(|a, b| a.1.total_cmp(&b.1));
        let found = error(&numbers, &centroids(numbers.iter().copied(), 3));
        let sums = Sums::of(&sorted);
        for a in 1..13 {
            for b in a + 1..14 {
                let other = sums.cost(0, a) + sums.cost(a, b) + sums.cost(b, 14);
                assert!(found <= other + 1e-9, "{found} {other}");
            }
        }
    }

    #[test]
    fn few_numbers_stay_what_they_are() {
        let numbers = [(0.1, 1.0), (-0.3, 0.0), (0.1, 2.0), (7.0, 1.0)];
        assert_eq!(centroids(numbers.iter().copied(), 4), [-0.3, 0.1, 7.0]);
        assert_eq!(centroids([(0.0, 1.0), (-0.0, 1.0)].into_iter(), 2), [0.0]);
    }

    #[test]
    fn more_numbers_are_never_worse_and_weights_matter() {
        let numbers = sample(1000);
        let errors: Vec<f64> = (2..20)
            .map(|entries| error(&numbers, &centroids(numbers.iter().copied(), entries)))
            .collect();
        assert!(errors.windows(2).all(|pair| pair[1] <= pair[0] * 1.001), "{errors:?}");
        let heavy = numbers.iter().map(|&(x, _)| (x, if x > 0.5 { 1e6 } else { 1e-6 }));
        let table = centroids(heavy, 4);
        assert!(table.iter().filter(|&&x| x > 0.4).count() >= 3, "{table:?}");
    }
}
