//! Runs the samples and collects the moments of what layers read.

use rayon::prelude::*;

use crate::analysis::{RunRows, VectorMoments, Vectors};
use crate::calibrate::Calibration;
use crate::calibrate::collect::{HELD_OUT, fingerprint};
use crate::calibrate::view::Wanted;
use crate::error::Result;
use crate::exec::{Observation, Observe, Runner, Tap};
use crate::ir::Model;
use crate::tensor::Tensor;

/// Vectors of a layer that are looked at, in all runs together: several for each element of the usual
/// ones. Neighbouring positions of a feature map say much the same.
const VECTORS: usize = 8192;
/// Of one run at least so many, however many runs there are.
const OF_A_RUN: usize = 16;
/// Runs whose vectors are in memory at once. It does not depend on the number of threads, so the sums do
/// not either.
const RUNS: usize = 16;

impl Calibration<'_> {
    /// The moments that were asked for, over all samples; bit-identical for any number of threads. The
    /// samples held out are those that calibrators are judged on, or, when chance held out none or all, one
    /// run of four.
    pub(super) fn vector_moments(
        &self,
        model: &Model,
        asked: &[Vectors],
    ) -> Result<Vec<Option<VectorMoments>>> {
        let none = |asked: &Vectors| Some(VectorMoments::none(asked));
        let mut found: Vec<Option<VectorMoments>> = asked.iter().map(none).collect();
        self.vector_rows(model, asked, VECTORS, &mut |runs| {
            found.par_iter_mut().enumerate().for_each(|(layer, found)| {
                // A layer in a branch need not be there in every run.
                for (rows, held_out) in
                    runs.iter().filter_map(|run| Some((run.rows[layer].as_ref()?, run.held_out)))
                {
                    if found.as_mut().and_then(|found| add(found, rows, held_out)).is_none() {
                        *found = None;
                    }
                }
            });
        })?;
        let has_rows = |found: &VectorMoments| {
            found.fitting.iter().chain(&found.held_out).any(|moments| moments.rows() > 0)
        };
        Ok(found.into_iter().map(|found| found.filter(has_rows)).collect())
    }

    /// See [`Measure::rows`](crate::analysis::Measure::rows).
    pub(super) fn vector_rows(
        &self,
        model: &Model,
        asked: &[Vectors],
        most: usize,
        see: &mut dyn FnMut(&[RunRows]),
    ) -> Result<()> {
        let runs = self.samples.runs();
        let most = most.div_ceil(runs.max(1)).max(OF_A_RUN);
        let rows = |asked: &Vectors| (asked.value, Observe::Rows(asked.unfold.clone(), most));
        let wanted: Vec<Wanted> = asked.iter().map(rows).collect();
        let view = self.view(model, &wanted);
        let (seen, taps): (Vec<usize>, Vec<Tap>) = view.taps().into_iter().unzip();
        let runner = Runner::new(self.engine, &view.model, taps);
        let digests: Vec<u64> = (0..runs)
            .into_par_iter()
            .map(|i| Ok(fingerprint(&self.samples.run(i)?)))
            .collect::<Result<_>>()?;
        let mut held_out: Vec<bool> =
            digests.iter().map(|digest| digest.is_multiple_of(HELD_OUT)).collect();
        if held_out.iter().all(|&held| held == held_out[0]) {
            held_out = (0..runs).map(|i| i as u64 % HELD_OUT == HELD_OUT - 1).collect();
        }
        self.progress.start("measuring", runs);
        for start in (0..runs).step_by(RUNS) {
            let shown: Vec<RunRows> = (start..runs.min(start + RUNS))
                .into_par_iter()
                .map(|i| {
                    let observed = runner.run(&self.samples.run(i)?.inputs)?.observed;
                    self.progress.step();
                    let mut rows = vec![None; asked.len()];
                    for (&layer, observed) in seen.iter().zip(observed) {
                        if let Some(Observation::Value(tensor)) = observed {
                            rows[layer] = Some(tensor);
                        }
                    }
                    Ok(RunRows { held_out: held_out[i], rows })
                })
                .collect::<Result<_>>()?;
            see(&shown);
        }
        self.progress.finish();
        Ok(())
    }
}

/// Adds the vectors of one run; `None` when they are not what was asked for.
fn add(to: &mut VectorMoments, tensor: &Tensor, held_out: bool) -> Option<()> {
    let part = if held_out { &mut to.held_out } else { &mut to.fitting };
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
