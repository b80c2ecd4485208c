//! The range whose grid tells most about the elements.
//!
//! Migacz, "8-bit inference with TensorRT", 2017: of the clipped distribution P and its quantized
//! form Q, the divergence `KL(P || Q)` is what Q loses. As there, the reference P has the outliers in
//! its edge bins, while Q is made of the inner counts alone: only so does clipping cost anything.

use crate::math::Histogram;
use crate::math::calibrate::{Form, Interval, within};

/// Ranges that are tried, from as many bins as there are levels to all of them.
const CANDIDATES: usize = 128;

/// What a level without inner elements counts as when outliers fall on its edge: less than one, and
/// not nothing, which would make the divergence infinite for a single outlier.
const UNSEEN: f64 = 0.5;

/// Shrinks both ends by one factor and takes the range with the least divergence; that of all
/// elements when the histogram has no more bins than the grid has levels. Elements that are 0 are
/// left out: they are on every grid.
pub fn entropy(histogram: &Histogram, form: Form) -> Interval {
    let (low, high) = match form.symmetric {
        true => {
            let largest = histogram.max().max(-histogram.min());
            (f64::from(-largest), f64::from(largest))
        }
        false => (f64::from(histogram.min()).min(0.0), f64::from(histogram.max()).max(0.0)),
    };
    let width = histogram.width();
    let all = ((high - low) / width).ceil();
    let levels = form.levels as usize;
    if all <= levels as f64 {
        return within(histogram, (low, high));
    }
    // Bins on a line without the doubled one around 0, whose elements do not count.
    let below = (-low / width).ceil() as usize;
    let mut line = vec![0.0; below + (high / width).floor() as usize + 1];
    for bin in histogram.bins().filter(|bin| !bin.zero) {
        let at = (bin.low / width + below as f64) as usize;
        if let Some(count) = line.get_mut(at) {
            *count += bin.count;
        }
    }
    let least = levels as f64 / all;
    let mut best = (f64::INFINITY, 1.0);
    for i in 0..=CANDIDATES {
        let share = 1.0 - (1.0 - least) * i as f64 / CANDIDATES as f64;
        let from = below.saturating_sub((-low * share / width).ceil() as usize);
        let to = (below + (high * share / width).ceil() as usize).clamp(from + 1, line.len());
        let found = divergence(&line, from, if i == 0 { line.len() } else { to }, levels);
        if found < best.0 {
            best = (found, share);
        }
    }
    within(histogram, (low * best.1, high * best.1))
}

/// `KL(P || Q)` of the bins `from..to` on `levels` levels.
fn divergence(line: &[f64], from: usize, to: usize, levels: usize) -> f64 {
    let inner = &line[from..to];
    let outside = [line[..from].iter().sum::<f64>(), line[to..].iter().sum::<f64>()];
    let kept: f64 = inner.iter().sum();
    let total = kept + outside[0] + outside[1];
    if kept == 0.0 {
        return f64::INFINITY;
    }
    let last = inner.len() - 1;
    let reference = |i: usize| {
        let edges =
            if i == 0 { outside[0] } else { 0.0 } + if i == last { outside[1] } else { 0.0 };
        inner[i] + edges
    };
    let mut sum = 0.0;
    let mut start = 0;
    for level in 1..=levels {
        let end = inner.len() * level / levels;
        let (mut mass, mut quantized, mut used) = (0.0, 0.0, 0.0);
        for (i, &count) in inner.iter().enumerate().take(end).skip(start) {
            let p = reference(i);
            if p > 0.0 {
                sum += p * p.ln();
                mass += p;
                used += 1.0;
            }
            quantized += count;
        }
        start = end;
        if mass > 0.0 {
            // Within a level Q is the same for all bins that hold elements.
            sum -= mass * (quantized.max(UNSEEN) / used).ln();
        }
    }
    // Both normalized: Σ p/T · ln((p/T) / (q/K)).
    sum / total - (total / kept).ln()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::math::calibrate::testing::{BYTE, SYMMETRIC, histogram, normal};

    #[test]
    fn divergence_of_known_distributions() {
        // Two bins on a level: Q is their mean.
        let line = [1.0, 3.0, 2.0, 2.0];
        let expected = (1.0 * 0.5f64.ln() + 3.0 * 1.5f64.ln()) / 8.0;
        assert!((divergence(&line, 0, 4, 2) - expected).abs() < 1e-12);
        // As many levels as bins lose nothing; outliers in the edge do.
        assert!(divergence(&line, 0, 4, 4).abs() < 1e-12);
        let clipped = (1.0 * (1.0 / 8.0 / (1.0 / 6.0f64)).ln()
            + 3.0 * (3.0 / 8.0 / (3.0 / 6.0f64)).ln()
            + 4.0 * (4.0 / 8.0 / (2.0 / 6.0f64)).ln())
            / 8.0;
        assert!((divergence(&line, 0, 3, 3) - clipped).abs() < 1e-12);
        assert!(divergence(&line, 0, 3, 3) > 0.0);
    }

    #[test]
    fn far_outliers_are_clipped_and_even_ones_are_not() {
        let mut elements = normal(200_000);
        elements.push(80.0);
        for form in [BYTE, SYMMETRIC] {
            let (_, max) = entropy(&histogram(&elements), form);
            assert!((3.0..70.0).contains(&max), "{max}");
        }
        let even: Vec<f32> = (0..100_000).map(|i| i as f32 / 1000.0).collect();
        let (min, max) = entropy(&histogram(&even), BYTE);
        assert!(min == 0.0 && max > 95.0, "{max}");
    }

    #[test]
    fn few_bins_keep_all() {
        assert_eq!(entropy(&histogram(&[0.0, 0.0]), BYTE), (0.0, 0.0));
        let many = Form { levels: 1 << 16, symmetric: false };
        assert_eq!(entropy(&histogram(&normal(1000)), many).1, histogram(&normal(1000)).max());
    }
}
