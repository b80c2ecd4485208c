//! Runs the samples and collects the moments of what layers read.

use rayon::prelude::*;

use crate::analysis::{RunRows, VectorMoments, Vectors};
use crate::calibrate::Calibration;
use crate::calibrate::held::held_out_runs;
use crate::calibrate::observed::{Ran, Seen};
use crate::calibrate::view::Look;
use crate::error::Result;
use crate::exec::{Observation, Observe};
use crate::ir::Model;
use crate::math::Moments;
use crate::tensor::Tensor;

/// Vectors of a layer that are looked at, in all runs together: several for each element of the usual
/// ones. Neighbouring positions of a feature map say much the same.
const VECTORS: usize = 8192;
/// The same where only their mean is wanted, which needs fewer than all products of elements.
const VECTORS_OF_A_MEAN: usize = 2048;
/// Of one run at least so many, however many runs there are.
const OF_A_RUN: usize = 16;

/// Moments in the making.
pub(super) struct Gathered {
    looks: Vec<Look>,
    /// What is known of these; `None` when they are not what was asked for.
    found: Vec<Option<VectorMoments>>,
}

impl Gathered {
    /// Of nothing yet, from so many runs.
    pub fn new(asked: &[Vectors], runs: usize) -> Self {
        let look = |asked: &Vectors| {
            let unfold = asked.unfold.clone();
            // Products would be larger than the vectors.
            let observe = match asked.products {
                true => Observe::Rows(unfold, of_a_run(VECTORS, runs)),
                false => Observe::Moments(unfold, of_a_run(VECTORS_OF_A_MEAN, runs)),
            };
            (asked.value, observe)
        };
        let none = |asked: &Vectors| Some(VectorMoments::none(asked));
        Self { looks: asked.iter().map(look).collect(), found: asked.iter().map(none).collect() }
    }

    /// What is to be looked at.
    pub fn looks(&self) -> &[Look] {
        &self.looks
    }

    /// Adds what was seen in some runs; `held_out` says on which of them something is judged.
    pub fn add(&mut self, observed: Vec<Seen>, held_out: &[bool]) {
        self.found.par_iter_mut().zip(observed).for_each(|(found, seen)| {
            // A layer in a branch need not be there in every run.
            let there =
                seen.into_iter().zip(held_out).filter_map(|(seen, held)| Some((seen?, held)));
            for (seen, &held_out) in there {
                if found.as_mut().and_then(|found| add(found, seen, held_out)).is_none() {
                    *found = None;
                }
            }
        });
    }

    /// For each that was asked for; `None` when nothing was seen.
    pub fn finish(self) -> Vec<Option<VectorMoments>> {
        let has_rows = |found: &VectorMoments| {
            found.fitting.iter().chain(&found.held_out).any(|moments| moments.rows() > 0)
        };
        self.found.into_iter().map(|found| found.filter(has_rows)).collect()
    }
}

impl Calibration<'_> {
    /// The moments that were asked for, over all samples; bit-identical for any number of threads. The
    /// samples held out are those that [`held_out_runs`] names.
    pub(super) fn vector_moments(
        &self,
        model: &Model,
        asked: &[Vectors],
    ) -> Result<Vec<Option<VectorMoments>>> {
        let runs: Vec<usize> = (0..self.samples.runs()).collect();
        let held_out = held_out_runs(self.samples)?;
        let mut moments = Gathered::new(asked, runs.len());
        let looks = moments.looks().to_vec();
        self.observed(model, &looks, &runs, &mut |ran, observed| {
            let held_out: Vec<bool> = ran.iter().map(|run| held_out[run.place]).collect();
            moments.add(observed, &held_out);
        })?;
        Ok(moments.finish())
    }

    /// See [`Measure::rows`](crate::analysis::Measure::rows).
    pub(super) fn vector_rows(
        &self,
        model: &Model,
        asked: &[Vectors],
        most: usize,
        see: &mut dyn FnMut(&[RunRows]),
    ) -> Result<()> {
        let runs: Vec<usize> = (0..self.samples.runs()).collect();
        let most = of_a_run(most, runs.len());
        let look = |asked: &Vectors| (asked.value, Observe::Rows(asked.unfold.clone(), most));
        let looks: Vec<Look> = asked.iter().map(look).collect();
        let held_out = held_out_runs(self.samples)?;
        self.observed(model, &looks, &runs, &mut |ran: &[Ran], observed| {
            let none = |run: &Ran| RunRows {
                held_out: held_out[run.place],
                rows: vec![None; asked.len()],
            };
            let mut shown: Vec<RunRows> = ran.iter().map(none).collect();
            for (layer, observed) in observed.into_iter().enumerate() {
                for (run, observed) in shown.iter_mut().zip(observed) {
                    if let Some(Observation::Value(tensor)) = observed {
                        run.rows[layer] = Some(tensor);
                    }
                }
            }
            see(&shown);
        })
    }
}

/// How many of `most` vectors one of `runs` runs shows.
fn of_a_run(most: usize, runs: usize) -> usize {
    most.div_ceil(runs.max(1)).max(OF_A_RUN)
}

/// Adds what was seen of the vectors of one run; `None` when that is not what was asked for.
fn add(to: &mut VectorMoments, seen: Observation, held_out: bool) -> Option<()> {
    let part = if held_out { &mut to.held_out } else { &mut to.fitting };
    match seen {
        Observation::Moments(groups) => {
            let same = |(mine, theirs): (&Moments, &Moments)| mine.columns() == theirs.columns();
            if groups.len() != part.len() || !part.iter().zip(&groups).all(same) {
                return None;
            }
            part.iter_mut().zip(&groups).for_each(|(mine, theirs)| mine.merge(theirs));
        }
        Observation::Value(tensor) => add_rows(part, &tensor)?,
        _ => return None,
    }
    Some(())
}

fn add_rows(part: &mut [Moments], tensor: &Tensor) -> Option<()> {
    let [groups, _, columns] = *tensor.dims() else { return None };
    if groups != part.len() || part.first()?.columns() != columns {
        return None;
    }
    let elements = tensor.view().as_f32()?;
    let size = elements.len() / groups.max(1);
    part.iter_mut().enumerate().for_each(|(group, moments)| {
        moments.add(&elements[group * size..(group + 1) * size]);
    });
    Some(())
}
