//! Parts samples into those that a model is fitted to and others that it is judged on.

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;

use crate::calibrate::fingerprint;
use crate::data::Samples;
use crate::error::Result;

/// Samples that something is fitted to, and others, none of which equals one of those.
#[derive(Debug)]
pub struct Parted {
    /// What something is fitted to.
    pub fit: Samples,
    /// What it is judged on.
    pub judged: Samples,
}

/// For each sample the number of its contents among all different ones, in the order of their digests: the
/// order of the samples says nothing, and equal samples have one number. And how many there are.
fn numbers(samples: &Samples) -> Result<(Vec<usize>, usize)> {
    let digest = |sample: usize| Ok(fingerprint(&samples.only(&[sample]).run(0)?));
    let digests: Vec<u64> =
        (0..samples.len()).into_par_iter().map(digest).collect::<Result<_>>()?;
    let different: BTreeSet<u64> = digests.iter().copied().collect();
    let numbers: BTreeMap<u64, usize> = different.into_iter().zip(0..).collect();
    Ok((digests.iter().map(|digest| numbers[digest]).collect(), numbers.len()))
}

/// The samples without those of which `is_judged` says so, and these; `None` when either is nothing.
fn part(samples: &Samples, numbers: &[usize], is_judged: impl Fn(usize) -> bool) -> Option<Parted> {
    let (judged, fit): (Vec<usize>, Vec<usize>) =
        (0..numbers.len()).partition(|&sample| is_judged(numbers[sample]));
    let some = !judged.is_empty() && !fit.is_empty();
    some.then(|| Parted { fit: samples.only(&fit), judged: samples.only(&judged) })
}

/// Keeps about `count` samples aside, at most half; `None` when there are no two different ones.
///
/// # Errors
/// When samples cannot be read.
pub fn kept_aside(samples: &Samples, count: usize) -> Result<Option<Parted>> {
    let (numbers, different) = numbers(samples)?;
    let every = (samples.len() / count.max(1)).max(2);
    let every = every.min(different.max(1));
    Ok(part(samples, &numbers, |number| number % every == every - 1))
}

/// The first `used` of `of` ways to keep another part of the samples aside each time; none when there are no
/// two different ones.
///
/// # Errors
/// When samples cannot be read.
pub fn folds(samples: &Samples, of: usize, used: usize) -> Result<Vec<Parted>> {
    let (numbers, different) = numbers(samples)?;
    let of = of.min(different).max(1);
    let one = |fold: usize| part(samples, &numbers, |number| number % of == fold);
    Ok((0..used.min(of)).filter_map(one).collect())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::data::{InputSpec, Options};
    use crate::tensor::DType;

    fn samples(count: usize) -> Samples {
        let dims = Some(vec![None, Some(3)]);
        let input = InputSpec { name: "x".into(), dtype: DType::Float, dims };
        Samples::open(Path::new(&format!("random:{count}")), &[input], &Options::default()).unwrap()
    }

    fn contents(samples: &Samples) -> Vec<u64> {
        (0..samples.runs()).map(|run| fingerprint(&samples.run(run).unwrap())).collect()
    }

    #[test]
    fn each_sample_is_judged_once_and_never_fitted_to() {
        let all = samples(18);
        let parts = folds(&all, 4, 4).unwrap();
        let mut judged: Vec<u64> = parts.iter().flat_map(|part| contents(&part.judged)).collect();
        judged.sort_unstable();
        let mut expected = contents(&all);
        expected.sort_unstable();
        assert_eq!(judged, expected);
        for Parted { fit, judged } in &parts {
            let fit = contents(fit);
            assert!(contents(judged).iter().all(|digest| !fit.contains(digest)));
            assert_eq!(fit.len() + judged.len(), 18);
        }
    }

    #[test]
    fn equal_samples_never_straddle() {
        // Each sample three times.
        let thrice: Vec<usize> = (0..18).map(|i| i % 6).collect();
        let repeated = samples(6).only(&thrice);
        for part in folds(&repeated, 4, 4).unwrap() {
            let fit = contents(&part.fit);
            assert!(contents(&part.judged).iter().all(|digest| !fit.contains(digest)));
            assert_eq!(part.judged.len() % 3, 0);
        }
        let aside = kept_aside(&repeated, 3).unwrap().unwrap();
        assert_eq!((aside.fit.len(), aside.judged.len()), (15, 3));
        let same = samples(1).only(&[0, 0, 0]);
        assert!(folds(&same, 4, 4).unwrap().is_empty() && kept_aside(&same, 1).unwrap().is_none());
    }
}
