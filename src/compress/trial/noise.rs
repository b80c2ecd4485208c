//! How fast the noise in the outputs grows with what a layer or a group loses.

/// Noise that nobody could measure, relative to the signal.
const SILENT: f64 = 1e-12;

/// Power of the noise relative to the signal at a ratio in decibel.
pub(in crate::compress) fn noise_power(sqnr_db: f64) -> f64 {
    10f64.powf(-sqnr_db / 10.0)
}

/// Powers of what is lost by which noise may grow, and the one where only one point was measured.
#[derive(Debug, Clone, Copy)]
pub(in crate::compress) struct Powers {
    pub least: f64,
    pub most: f64,
    pub usual: f64,
}

/// Noise in the outputs, relative to the signal, when `lost` is gone: through the `measured` pairs of
/// what was gone, rising, and noise, and by powers between and beyond them. No noise where nothing is gone;
/// nothing is known when nothing was measured.
pub(in crate::compress) fn noise(
    measured: &[(f64, f64)],
    lost: f64,
    powers: Powers,
) -> Option<f64> {
    let mut points: Vec<(f64, f64)> = Vec::new();
    for &(gone, noise) in measured {
        let (before, least) = points.last().copied().unwrap_or((0.0, SILENT));
        // More lost is not less noise, however it came out on a few samples.
        if gone > before {
            points.push((gone, noise.max(least)));
        }
    }
    if lost <= 0.0 {
        return Some(0.0);
    }
    let power = |a: (f64, f64), b: (f64, f64)| {
        ((b.1 / a.1).ln() / (b.0 / a.0).ln()).clamp(powers.least, powers.most)
    };
    let along = |from: (f64, f64), power: f64| from.1 * (lost / from.0).powf(power);
    Some(match *points {
        [] => return None,
        [one] => along(one, powers.usual),
        [first, second, ..] if lost <= first.0 => along(first, power(first, second)),
        [.., before, last] if lost >= last.0 => along(last, power(before, last)),
        _ => {
            let next = points.partition_point(|point| point.0 < lost).max(1);
            let (a, b) = (points[next - 1], points[next]);
            let at = (lost / a.0).ln() / (b.0 / a.0).ln();
            (a.1.ln() * (1.0 - at) + b.1.ln() * at).exp().clamp(a.1, b.1)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const POWERS: Powers = Powers { least: 1.0, most: 4.0, usual: 2.0 };

    #[test]
    fn noise_goes_through_what_was_measured_and_grows() {
        let measured = [(0.25, 1e-3), (0.5, 1e-2), (0.75, 0.8e-2)];
        let at = |lost: f64| noise(&measured, lost, POWERS).unwrap();
        for (lost, expected) in [(0.25, 1e-3), (0.5, 1e-2), (0.75, 1e-2)] {
            assert!((at(lost) / expected - 1.0).abs() < 1e-9, "{lost}");
        }
        assert_eq!(at(0.0), 0.0);
        let all: Vec<f64> = (0..=16).map(|i| at(f64::from(i) / 16.0)).collect();
        assert!(all.is_sorted(), "{all:?}");
        // Beyond the last point it grows all the same.
        assert!(at(0.9) > at(0.75));
        assert_eq!(noise(&[], 0.5, POWERS), None);
        assert_eq!(noise(&[(0.5, 1e-2)], 0.25, POWERS), Some(1e-2 / 4.0));
    }
}
