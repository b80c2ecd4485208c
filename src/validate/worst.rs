//! The samples on which two models differ most.

use crate::math::Distance;

/// One sample.
#[derive(Debug, Clone, PartialEq)]
pub struct SampleDrift {
    /// Its position among the samples, from 0. When outputs belong to a whole run: that of the first
    /// sample of the run.
    pub sample: usize,
    /// How far the candidate's outputs are from the original's: of the output with the lowest
    /// signal-to-noise ratio.
    pub distance: Distance,
    /// Its label, when the samples have some.
    pub label: Option<i64>,
    /// The classes that original and candidate put first, when there is an output with class scores.
    pub classes: Option<[usize; 2]>,
}

/// So many samples at most, the one with the lowest signal-to-noise ratio first.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Worst {
    most: usize,
    samples: Vec<SampleDrift>,
}

impl Worst {
    /// None yet; at most `most` will be kept.
    pub fn new(most: usize) -> Self {
        Self { most, samples: Vec::new() }
    }

    /// Whether samples are looked at at all.
    pub(super) fn wanted(&self) -> bool {
        self.most > 0
    }

    /// Adds a sample if it is among the worst. Among equals the first stays.
    pub fn add(&mut self, sample: SampleDrift) {
        let key = |sample: &SampleDrift| (sample.distance.sqnr_db(), sample.sample);
        let (ratio, number) = key(&sample);
        let at = self.samples.partition_point(|known| {
            let (known, before) = key(known);
            known.total_cmp(&ratio).then(before.cmp(&number)).is_lt()
        });
        self.samples.insert(at, sample);
        self.samples.truncate(self.most);
    }

    /// The worst of both.
    #[must_use]
    pub fn merge(mut self, other: Self) -> Self {
        self.most = self.most.max(other.most);
        other.samples.into_iter().for_each(|sample| self.add(sample));
        self
    }

    /// The samples, the worst first.
    pub fn samples(&self) -> &[SampleDrift] {
        &self.samples
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drift(sample: usize, error: f32) -> SampleDrift {
        let distance = Distance::between(&[1.0], &[1.0 + error]);
        SampleDrift { sample, distance, label: None, classes: None }
    }

    #[test]
    fn the_worst_stay_in_order_whatever_the_order_of_parts() {
        let errors = [0.5, 0.0, 0.25, 0.5, 1.0];
        let numbers = |worst: &Worst| worst.samples().iter().map(|s| s.sample).collect::<Vec<_>>();
        let mut whole = Worst::new(3);
        errors.iter().enumerate().for_each(|(i, &e)| whole.add(drift(i, e)));
        assert_eq!(numbers(&whole), [4, 0, 3]);
        let (mut a, mut b) = (Worst::new(3), Worst::new(3));
        for (i, &e) in errors.iter().enumerate() {
            if i % 2 == 0 { a.add(drift(i, e)) } else { b.add(drift(i, e)) }
        }
        assert_eq!(numbers(&b.merge(a)), [4, 0, 3]);
    }
}
