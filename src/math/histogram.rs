//! Histograms that merge exactly.
//!
//! Bins are as wide as a power of two and aligned at 0: element `x` is counted in bin
//! `k = trunc(x / 2^e)`. The exponent follows from smallest and largest element alone, and a
//! coarser histogram from a finer one, since `trunc(trunc(x / 2^e) / 2) = trunc(x / 2^(e+1))`. So
//! one pass over the data is enough, and neither its order nor how it was cut up leaves a trace.
//! The inner bin 0 reaches from `-2^e` to `2^e` and has 0, which every quantization grid holds, in
//! its middle.

/// Most bins from the smallest to the largest element (and 0): at least half of them are used, 8 for
/// each step of an 8-bit grid.
pub const BINS: usize = 4096;

/// Binary logarithm of [`BINS`].
const LOG_BINS: i32 = BINS.ilog2() as i32;

/// Least exponent of the width of a bin: what is far below every scale in use is counted as 0, and
/// `2^-e` stays finite.
const LEAST_EXPONENT: i32 = -100;

/// Tables that are counted into in turn: equal neighbours (zeros, mostly) would wait for each other.
const TABLES: usize = 4;

/// Elements counted before the 32-bit tables are emptied.
const CHUNK: usize = 1 << 30;

/// How often which elements were seen. All is derived from the smallest and largest element, and
/// the counts.
#[derive(Debug, Clone, PartialEq)]
pub struct Histogram {
    min: f32,
    max: f32,
    counts: Vec<u64>,
}

/// Exponent of the width, number of the first bin, and number of bins for elements `min..=max`.
fn layout(min: f32, max: f32) -> (i32, i32, usize) {
    let (low, high) = (f64::from(min.min(0.0)), f64::from(max.max(0.0)));
    let largest = high.max(-low);
    let mut exponent = LEAST_EXPONENT;
    if largest > 0.0 {
        // Below, the larger side alone would have too many bins.
        exponent = exponent.max(largest.log2().floor() as i32 - LOG_BINS);
    }
    let bin = |x: f64, exponent: i32| (x * f64::from(-exponent).exp2()) as i32;
    while bin(high, exponent) - bin(low, exponent) >= BINS as i32 {
        exponent += 1;
    }
    let first = bin(f64::from(min), exponent);
    let last = bin(f64::from(max), exponent);
    (exponent, first, (last - first) as usize + 1)
}

impl Histogram {
    /// Counts `elements`, which lie in `min..=max`, both finite.
    pub fn of(elements: &[f32], min: f32, max: f32) -> Self {
        let (exponent, first, bins) = layout(min, max);
        let scale = (-exponent as f32).exp2();
        let mut counts = vec![0u64; bins];
        for chunk in elements.chunks(CHUNK) {
            let mut tables = [[0u32; BINS]; TABLES];
            let (groups, rest) = chunk.as_chunks::<TABLES>();
            // The mask only tells the compiler what holds anyway: no bin lies outside.
            let bin = |x: f32| ((x * scale) as i32 - first) as usize & (BINS - 1);
            for group in groups {
                let at = group.map(bin);
                for (table, at) in tables.iter_mut().zip(at) {
                    table[at] += 1;
                }
            }
            for &x in rest {
                tables[0][bin(x)] += 1;
            }
            for table in &tables {
                counts.iter_mut().zip(table).for_each(|(sum, &count)| *sum += u64::from(count));
            }
        }
        Self { min, max, counts }
    }

    /// A histogram from what [`min`](Self::min), [`max`](Self::max) and [`counts`](Self::counts)
    /// said; `None` when they cannot belong together.
    pub fn from_parts(min: f32, max: f32, counts: Vec<u64>) -> Option<Self> {
        let ordered = min.is_finite() && max.is_finite() && min <= max;
        let fits = ordered && layout(min, max).2 == counts.len();
        let total = counts.iter().try_fold(0u64, |sum, &count| sum.checked_add(count));
        let ends = counts.first().is_some_and(|&n| n > 0) && counts.last().is_some_and(|&n| n > 0);
        (fits && ends && total.is_some()).then_some(Self { min, max, counts })
    }

    /// The histogram of the elements of both.
    #[must_use]
    pub fn merge(&self, other: &Self) -> Self {
        let (min, max) = (self.min.min(other.min), self.max.max(other.max));
        let (exponent, first, bins) = layout(min, max);
        let mut counts = vec![0u64; bins];
        for part in [self, other] {
            let (from, start, _) = layout(part.min, part.max);
            let halvings = (exponent - from) as u32;
            for (i, &count) in part.counts.iter().enumerate() {
                let bin = start + i as i32;
                // Towards 0, as elements are.
                let coarse = bin.signum() * (bin.abs() >> halvings.min(i32::BITS - 1));
                let sum = &mut counts[(coarse - first) as usize];
                *sum = sum.saturating_add(count);
            }
        }
        Self { min, max, counts }
    }

    /// Smallest element.
    pub fn min(&self) -> f32 {
        self.min
    }

    /// Largest element.
    pub fn max(&self) -> f32 {
        self.max
    }

    /// How many elements are in each bin, from that of the smallest to that of the largest.
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// Number of elements.
    pub fn total(&self) -> u64 {
        self.counts.iter().fold(0, |sum, &count| sum.saturating_add(count))
    }

    /// Width of a bin; the one around 0 is twice as wide.
    pub fn width(&self) -> f64 {
        f64::from(layout(self.min, self.max).0).exp2()
    }

    /// The same in `parts` equal parts of the range, for the eye: the elements of a bin are where its
    /// middle is.
    pub fn coarse(&self, parts: usize) -> Vec<u64> {
        let mut counts = vec![0u64; parts];
        let (low, high) = (f64::from(self.min), f64::from(self.max));
        for bin in self.bins() {
            let share = if high > low { (bin.middle() - low) / (high - low) } else { 0.0 };
            // A negative share becomes 0.
            let at = ((share * parts as f64) as usize).min(parts.saturating_sub(1));
            if let Some(sum) = counts.get_mut(at) {
                *sum = sum.saturating_add(bin.count as u64);
            }
        }
        counts
    }

    /// The bins that hold elements, in order.
    pub fn bins(&self) -> impl Iterator<Item = Bin> {
        let (exponent, first, _) = layout(self.min, self.max);
        let width = f64::from(exponent).exp2();
        self.counts.iter().enumerate().filter(|&(_, &count)| count > 0).map(move |(i, &count)| {
            let k = first + i as i32;
            let low = if k <= 0 { f64::from(k - 1) } else { f64::from(k) } * width;
            let high = if k >= 0 { f64::from(k + 1) } else { f64::from(k) } * width;
            Bin { low, high, zero: k == 0, count: count as f64 }
        })
    }
}

/// A bin that holds elements.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bin {
    /// Where it begins.
    pub low: f64,
    /// Where it ends.
    pub high: f64,
    /// It is the one around 0; its elements count as 0.
    pub zero: bool,
    /// Number of elements.
    pub count: f64,
}

impl Bin {
    /// Where its elements are on average.
    pub fn middle(&self) -> f64 {
        f64::midpoint(self.low, self.high)
    }

    /// Mean square of its elements, spread evenly.
    pub fn mean_square(&self) -> f64 {
        if self.zero { 0.0 } else { self.middle().powi(2) + (self.high - self.low).powi(2) / 12.0 }
    }

    /// The share of its elements below `x`.
    pub fn share_below(&self, x: f64) -> f64 {
        let at = if self.zero {
            f64::from(u8::from(x > 0.0))
        } else {
            (x - self.low) / (self.high - self.low)
        };
        at.clamp(0.0, 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn coarse_counts_keep_all_elements() {
        let elements: Vec<f32> = (0..1000).map(|i| i as f32 / 100.0 - 2.0).collect();
        let coarse = Histogram::of(&elements, -2.0, 7.99).coarse(10);
        assert_eq!(coarse.iter().sum::<u64>(), 1000);
        assert!(coarse.iter().all(|&count| (98..=102).contains(&count)), "{coarse:?}");
        assert_eq!(Histogram::of(&[3.0; 5], 3.0, 3.0).coarse(4), [5, 0, 0, 0]);
    }

    fn histogram(elements: &[f32]) -> Histogram {
        let min = elements.iter().copied().fold(f32::INFINITY, f32::min);
        let max = elements.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        Histogram::of(elements, min + 0.0, max + 0.0)
    }

    #[test]
    fn bins_are_powers_of_two_aligned_at_zero() {
        let found = histogram(&[0.0, 0.0, 1.0, -1.0, 0.5]);
        // 2^-10: 1024 bins on each side, and the one in the middle.
        assert_eq!((found.width(), found.counts().len(), found.total()), (1.0 / 1024.0, 2049, 5));
        let bins: Vec<(f64, f64)> = found.bins().map(|bin| (bin.low, bin.count)).collect();
        let w = 1.0 / 1024.0;
        assert_eq!(bins, [(-1.0 - w, 1.0), (-w, 2.0), (0.5, 1.0), (1.0, 1.0)]);
    }

    #[test]
    fn extremes_have_a_layout() {
        for elements in [
            &[0.0f32][..],
            &[f32::MAX, f32::MIN, 1.0],
            &[f32::MIN_POSITIVE, 1e-45],
            &[f32::MAX, -1e-45],
            &[5.0, 5.0],
            &[-3.0],
            &[1e30, 1.0000001e30],
        ] {
            let found = histogram(elements);
            assert_eq!(found.total(), elements.len() as u64, "{elements:?}");
            assert!(found.counts().len() <= BINS);
            let again = Histogram::from_parts(found.min(), found.max(), found.counts().to_vec());
            assert_eq!(again, Some(found));
        }
    }

    #[test]
    fn parts_that_do_not_belong_together_are_refused() {
        let (min, max, counts) = (0.0, 1.0, histogram(&[0.0, 1.0]).counts().to_vec());
        assert!(Histogram::from_parts(min, max, counts.clone()).is_some());
        assert!(Histogram::from_parts(min, 2.5, counts.clone()).is_none());
        assert!(Histogram::from_parts(max, min, counts.clone()).is_none());
        assert!(Histogram::from_parts(f32::NAN, max, counts.clone()).is_none());
        assert!(Histogram::from_parts(min, max, vec![u64::MAX; counts.len()]).is_none());
        assert!(Histogram::from_parts(min, max, vec![0; counts.len()]).is_none());
    }

    /// Numbers of very different sizes, denormal ones too.
    fn number() -> impl Strategy<Value = f32> {
        prop_oneof![
            -1f32..1.0,
            -1e6f32..1e6,
            Just(0.0),
            Just(-0.0),
            any::<f32>().prop_filter("finite", |x| x.is_finite())
        ]
    }

    proptest! {
        #[test]
        fn parts_merge_to_the_whole_in_any_order(
            elements in prop::collection::vec(number(), 3..60),
            cuts in (0usize..1000, 0usize..1000),
        ) {
            let (a, b) = (1 + cuts.0 % (elements.len() - 2), 1 + cuts.1 % (elements.len() - 2));
            let (a, b) = (a.min(b), a.max(b) + 1);
            let parts = [&elements[..a], &elements[a..b], &elements[b..]];
            let parts: Vec<Histogram> =
                parts.into_iter().filter(|part| !part.is_empty()).map(histogram).collect();
            let whole = histogram(&elements);
            let forward = parts.iter().skip(1).fold(parts[0].clone(), |sum, part| sum.merge(part));
            let mut rest = parts.iter().rev();
            let last = rest.next().cloned().expect("one part at least");
            let backward = rest.fold(last, |sum, part| part.merge(&sum));
            prop_assert_eq!(&forward, &whole);
            prop_assert_eq!(&backward, &whole);
        }

        #[test]
        fn elements_lie_in_their_bins(elements in prop::collection::vec(-1e3f32..1e3, 1..40)) {
            let found = histogram(&elements);
            for bin in found.bins() {
                let inside = |&&x: &&f32| {
                    let x = f64::from(x);
                    if bin.zero { bin.low < x && x < bin.high }
                    else if bin.high <= 0.0 { bin.low < x && x <= bin.high }
                    else { bin.low <= x && x < bin.high }
                };
                prop_assert_eq!(elements.iter().filter(inside).count() as f64, bin.count);
            }
        }
    }
}
