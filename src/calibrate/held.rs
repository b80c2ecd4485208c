//! Which runs are held out of what is fitted.

use std::collections::BTreeSet;

use rayon::prelude::*;

use crate::calibrate::collect::{HELD_OUT, fingerprint, is_held_out};
use crate::data::Samples;
use crate::error::Result;

/// For each run of the samples whether something is judged on it, and nothing fitted to it: one of four, by
/// digests, so that equal runs stay together. Where chance holds out far more or far fewer, one of four in the
/// order of the digests. None when all runs are equal.
///
/// # Errors
/// When samples cannot be read.
pub fn held_out_runs(samples: &Samples) -> Result<Vec<bool>> {
    let digest = |run| Ok(fingerprint(&samples.run(run)?));
    let digests: Vec<u64> =
        (0..samples.runs()).into_par_iter().map(digest).collect::<Result<_>>()?;
    Ok(chosen(&digests))
}

fn chosen(digests: &[u64]) -> Vec<bool> {
    let different: Vec<u64> =
        digests.iter().copied().collect::<BTreeSet<u64>>().into_iter().collect();
    let all = different.len() as u64;
    let by_chance = different.iter().filter(|&&digest| is_held_out(digest)).count() as u64;
    if (all.div_ceil(2 * HELD_OUT).max(1)..=all.div_ceil(2)).contains(&by_chance) && by_chance < all
    {
        return digests.iter().map(|&digest| is_held_out(digest)).collect();
    }
    let every = HELD_OUT.min(all.max(2));
    let ranked = different.into_iter().zip(0u64..);
    let held: BTreeSet<u64> =
        ranked.filter(|(_, rank)| rank % every == every - 1).map(|(digest, _)| digest).collect();
    digests.iter().map(|digest| held.contains(digest)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_runs_stay_together_and_some_are_held_out() {
        let count = |digests: &[u64]| chosen(digests).iter().filter(|&&held| held).count();
        assert_eq!(
            chosen(&[4, 1, 2, 3, 5, 7, 4, 6]),
            [true, false, false, false, false, false, true, false]
        );
        // By digests alone none, or all.
        let odd: Vec<u64> = (0..16).map(|i| 2 * i + 1).collect();
        let even: Vec<u64> = (0..16).map(|i| 4 * i).collect();
        assert_eq!((count(&odd), count(&even)), (4, 4));
        let mut twice = odd.clone();
        twice.extend(&odd);
        let held = chosen(&twice);
        assert_eq!(held[..16], held[16..]);
        assert_eq!((count(&[9]), count(&[9, 9]), count(&[9, 3]), count(&[8, 4, 12])), (0, 0, 1, 1));
        let shuffled: Vec<u64> = odd.iter().rev().copied().collect();
        let mut other = chosen(&shuffled);
        other.reverse();
        assert_eq!(chosen(&odd), other, "the order of the runs does not matter");
    }
}
