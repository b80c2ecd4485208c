//! What weights a layer is best given.

use crate::analysis::RunRows;
use crate::math::{Affine, Regression};
use crate::passes::refit::correct_weights::layer::Layer;

/// How strongly weights are held to what they were, in units of the mean variance of an input.
const RIDGES: [f64; 7] = [1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0];
/// Of the squared error, what may be left on held-out samples: less gain is chance.
const WORTH: f64 = 0.99;
/// Errors below this share of the signal are rounding.
const ROUNDING: f64 = 1e-10;

/// Sums of one layer: for each group those that it is fitted to, and those that it is judged on.
pub(super) struct Sums {
    groups: Vec<(Regression, Regression)>,
    usable: bool,
}

impl Sums {
    pub fn none(layer: &Layer) -> Self {
        let contraction = &layer.contraction;
        let none = Regression::new(contraction.rows, contraction.columns);
        Self { groups: vec![(none.clone(), none); contraction.groups], usable: true }
    }

    /// Adds a run, with what the layer reads and the skip connection at these places of it. The sums are
    /// of no use when that does not fit the target.
    pub fn add(
        &mut self,
        layer: &Layer,
        run: &RunRows,
        places: (usize, Option<usize>),
        target: Option<&Option<Vec<f32>>>,
    ) {
        let added = target.and_then(|target| self.add_run(layer, run, places, target.as_ref()?));
        self.usable &= added.is_some();
    }

    fn add_run(
        &mut self,
        layer: &Layer,
        run: &RunRows,
        (at, skip): (usize, Option<usize>),
        target: &[f32],
    ) -> Option<()> {
        let tensor = run.rows[at].as_ref()?;
        let [groups, count, columns] = *tensor.dims() else { return None };
        let rows = layer.contraction.rows;
        let fits = groups == self.groups.len()
            && columns == layer.contraction.columns
            && target.len() == count * groups * rows;
        let x = tensor.to_f32().ok().filter(|_| fits)?;
        let mut target = target.to_vec();
        if let Some(skip) = skip {
            let skip = run.rows[skip].as_ref()?.to_f32().ok()?;
            if skip.len() != target.len() {
                return None;
            }
            target.iter_mut().zip(&skip).for_each(|(y, skip)| *y -= skip);
            let later = layer.later_offset().unwrap_or_default();
            for row in target.chunks_exact_mut(groups * rows) {
                row.iter_mut().zip(later).for_each(|(y, &offset)| *y -= offset as f32);
            }
        }
        for (g, (fitting, held_out)) in self.groups.iter_mut().enumerate() {
            let sums = if run.held_out { held_out } else { fitting };
            let x = &x[g * count * columns..][..count * columns];
            if groups == 1 {
                sums.add(x, &target);
                continue;
            }
            let of_group = |row: &[f32]| row[g * rows..(g + 1) * rows].to_vec();
            let y: Vec<f32> = target.chunks_exact(groups * rows).flat_map(of_group).collect();
            sums.add(x, &y);
        }
        Some(())
    }

    /// Vectors that were seen, and elements of each.
    pub fn extent(&self) -> (u64, usize) {
        self.groups.first().map_or((0, 0), |(a, b)| (a.rows() + b.rows(), a.columns()))
    }

    /// All runs were seen, and fit.
    pub fn is_usable(&self) -> bool {
        self.usable && self.groups.iter().all(|(a, b)| a.is_usable() && b.is_usable())
    }
}

/// Weights that are better than those that were there.
pub(super) struct Fitted {
    pub affine: Vec<Affine>,
    pub way: Way,
}

/// How a layer is best fitted, and what that does on held-out samples.
#[derive(Debug, Clone, Copy)]
pub(super) struct Way {
    /// How strongly weights are held to what they were.
    ridge: f64,
    /// Sum of the mean squared errors of the outputs, before and after.
    pub errors: (f64, f64),
    /// Sum of the variances there of what they should be.
    pub signal: f64,
}

/// What a layer is fitted to.
#[derive(Debug, Clone, Copy)]
pub(super) enum To {
    /// The samples that are not held out; nothing behind it may know those that are.
    Fitting,
    /// All samples, once it is known how.
    All,
    /// All samples, in the way that was found to be best; `None` where the layer is better left as it is.
    Known(Option<Way>),
}

/// The best weights and offsets on held-out samples, fitted to the others; then fitted to all. `None`
/// when those that are there are no worse.
pub(super) fn best(layer: &Layer, sums: &Sums, to: To) -> Option<Fitted> {
    let groups = &sums.groups;
    let now: Vec<Affine> = (0..groups.len()).map(|group| layer.affine(group)).collect();
    let error = |affine: &[Affine]| -> f64 {
        affine.iter().zip(groups).map(|(affine, (_, held_out))| held_out.error(affine)).sum()
    };
    let to_all = |ridge: f64| -> Vec<Affine> {
        let all = now.iter().zip(groups).map(|(now, (fitting, held_out))| {
            let mut all = fitting.clone();
            all.merge(held_out);
            let found = all.solve(now, layer.is_free(), &[ridge]).pop().flatten();
            found.unwrap_or_else(|| now.clone())
        });
        all.collect()
    };
    if let To::Known(known) = to {
        let way = known?;
        return Some(Fitted { affine: to_all(way.ridge), way });
    }
    let signal: f64 = groups.iter().map(|(_, held_out)| held_out.variance()).sum();
    let before = error(&now);
    if before <= ROUNDING * signal {
        return None;
    }
    let fitted: Vec<Vec<Option<Affine>>> = now
        .iter()
        .zip(groups)
        .map(|(now, (fitting, _))| fitting.solve(now, layer.is_free(), &RIDGES))
        .collect();
    let judged = RIDGES.iter().enumerate().filter_map(|(i, &ridge)| {
        // A group whose inputs do not vary stays as it is.
        let chosen = |(group, now): (&Vec<Option<Affine>>, &Affine)| {
            group[i].clone().unwrap_or_else(|| now.clone())
        };
        let affine: Vec<Affine> = fitted.iter().zip(&now).map(chosen).collect();
        let after = error(&affine);
        after.is_finite().then_some((after, ridge, affine))
    });
    let (after, ridge, affine) = judged.min_by(|a, b| a.0.total_cmp(&b.0))?;
    if after > WORTH * before {
        return None;
    }
    // Once the ridge is chosen, all samples are better than some.
    let affine = if matches!(to, To::Fitting) { affine } else { to_all(ridge) };
    Some(Fitted { affine, way: Way { ridge, errors: (before, after), signal } })
}
