//! Runs the samples and collects the moments of what layers read.

use rayon::prelude::*;

use crate::analysis::{RunRows, VectorMoments, Vectors};
use crate::calibrate::Calibration;
use crate::calibrate::collect::{HELD_OUT, held_out};
use crate::calibrate::observed::{Ran, Seen};
use crate::error::Result;
use crate::exec::{Observation, Observe, Tap};
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
    /// Vectors that were asked for.
    asked: usize,
    /// Which of them are looked at.
    seen: Vec<usize>,
    taps: Vec<Tap>,
    /// What is known of these; `None` when they cannot be observed.
    found: Vec<Option<VectorMoments>>,
}

impl Gathered {
    /// Of nothing yet, from so many runs.
    pub fn new(model: &Model, asked: &[Vectors], runs: usize) -> Self {
        let seen = of_main(model, asked);
        let tap = |&i: &usize| {
            let unfold = asked[i].unfold.clone();
            // Products would be larger than the vectors.
            let observe = match asked[i].products {
                true => Observe::Rows(unfold, of_a_run(VECTORS, runs)),
                false => Observe::Moments(unfold, of_a_run(VECTORS_OF_A_MEAN, runs)),
            };
            Tap { value: model.value(asked[i].value).name().to_owned(), observe }
        };
        let taps = seen.iter().map(tap).collect();
        let found = seen.iter().map(|&i| Some(VectorMoments::none(&asked[i]))).collect();
        Self { asked: asked.len(), seen, taps, found }
    }

    /// What is to be looked at.
    pub fn taps(&self) -> &[Tap] {
        &self.taps
    }

    /// Adds what these taps saw in some runs; `held_out` says on which of them something is judged.
    pub fn add(&mut self, observed: Vec<Seen>, held_out: &[bool]) {
        self.found.par_iter_mut().zip(observed).for_each(|(found, seen)| {
            for (seen, &held_out) in seen.into_iter().zip(held_out) {
                if found.as_mut().and_then(|found| add(found, seen, held_out)).is_none() {
                    *found = None;
                }
            }
        });
    }

    /// For each that was asked for.
    pub fn finish(self) -> Vec<Option<VectorMoments>> {
        let mut all = vec![None; self.asked];
        self.seen.into_iter().zip(self.found).for_each(|(i, found)| all[i] = found);
        all
    }
}

impl Calibration<'_> {
    /// The moments that were asked for, over all samples; bit-identical for any number of threads. The
    /// samples held out are those that calibrators are judged on, or, when chance held out none or all, one
    /// run of four.
    pub(super) fn vector_moments(
        &self,
        model: &Model,
        asked: &[Vectors],
    ) -> Result<Vec<Option<VectorMoments>>> {
        let runs: Vec<usize> = (0..self.samples.runs()).collect();
        let held_out = self.held_out_runs()?;
        let mut moments = Gathered::new(model, asked, runs.len());
        self.observed(model, moments.taps().to_vec(), &runs, &mut |ran, observed| {
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
        let seen = of_main(model, asked);
        let tap = |&i: &usize| Tap {
            value: model.value(asked[i].value).name().to_owned(),
            observe: Observe::Rows(asked[i].unfold.clone(), of_a_run(most, runs.len())),
        };
        let held_out = self.held_out_runs()?;
        let taps = seen.iter().map(tap).collect();
        self.observed(model, taps, &runs, &mut |ran: &[Ran], observed| {
            let none = |run: &Ran| RunRows {
                held_out: held_out[run.place],
                rows: vec![None; asked.len()],
            };
            let mut shown: Vec<RunRows> = ran.iter().map(none).collect();
            for (&layer, observed) in seen.iter().zip(observed) {
                for (run, observed) in shown.iter_mut().zip(observed) {
                    if let Some(Observation::Value(tensor)) = observed {
                        run.rows[layer] = Some(tensor);
                    }
                }
            }
            see(&shown);
        })
    }

    /// For each run whether something is judged on it.
    fn held_out_runs(&self) -> Result<Vec<bool>> {
        let runs = self.samples.runs();
        let judged = |i| Ok(held_out(&self.samples.run(i)?));
        let held_out: Vec<bool> = (0..runs).into_par_iter().map(judged).collect::<Result<_>>()?;
        match held_out.iter().all(|&held| held == held_out[0]) {
            true => Ok((0..runs).map(|i| i as u64 % HELD_OUT == HELD_OUT - 1).collect()),
            false => Ok(held_out),
        }
    }
}

/// The places of vectors that stand in the main graph: others are not observed.
fn of_main(model: &Model, asked: &[Vectors]) -> Vec<usize> {
    let main = model.main();
    (0..asked.len()).filter(|&i| model.value(asked[i].value).graph() == main).collect()
}

/// How many of `most` vectors one of `runs` runs shows.
fn of_a_run(most: usize, runs: usize) -> usize {
    most.div_ceil(runs.max(1)).max(OF_A_RUN)
}

/// Adds what was seen of the vectors of one run; `None` when that is nothing, or not what was asked for.
fn add(to: &mut VectorMoments, seen: Option<Observation>, held_out: bool) -> Option<()> {
    let part = if held_out { &mut to.held_out } else { &mut to.fitting };
    match seen? {
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
