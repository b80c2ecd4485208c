//! Factors with which the outputs of layers change least when their weights are rounded.
//!
//! Lin et al., "AWQ: Activation-aware Weight Quantization for LLM Compression and Acceleration", 2023: weights
//! that multiply large numbers are made larger before they are rounded, and with that finer. `s = x^a` and
//! `s = x^a / w^(1-a)` are tried, `x` being what a channel carries and `w` what its weights are beside those that they
//! share a scale with. The error of the outputs follows from the second moments of what is read.

use rayon::prelude::*;

use crate::analysis::{Contraction, Measure, Range, VectorMoments};
use crate::error::Result;
use crate::ir::{Model, NodeId};
use crate::math::rounding::{Points, Weights, rescaled};
use crate::math::{Grid, Moments};
use crate::passes::quantize::equalize_channels::balanced;
use crate::passes::quantize::equalize_channels::reader::Reader;
use crate::passes::quantize::equalize_channels::site::Site;
use crate::passes::stored::{Linear, MOST_COLUMNS, in_chunks};
use crate::passes::{Format, Granularity, Report, Storage, Width};

/// Distance of the exponents that are tried, as in the paper.
const STEPS: u32 = 20;
/// Rows of a layer that are rounded for each try: all share the factors, so some of them tell enough.
const MOST_ROWS: usize = 64;
/// Of the error without factors, what must be left on held-out samples: less is chance.
const WORTH: f64 = 0.98;

/// A layer that reads channels of the site at this place.
struct Read<'a> {
    site: usize,
    reader: &'a Reader,
}

impl Linear for Read<'_> {
    fn node(&self) -> NodeId {
        self.reader.node
    }

    fn contraction(&self) -> &Contraction {
        self.reader.contraction()
    }
}

/// For each site the factors of its channels with which the error of the outputs of all layers that read them is
/// least when their weights are stored in `width`; `None` where none help, or nothing is known.
///
/// # Errors
/// When the model cannot be run on the samples.
pub(super) fn search(
    model: &Model,
    measure: &dyn Measure,
    sites: &[Site],
    width: Width,
    report: &mut Report,
) -> Result<Vec<Option<Vec<f64>>>> {
    let mut tries: Vec<Tries> = sites.iter().map(|site| Tries::none(site.channels())).collect();
    let reads = sites.iter().enumerate();
    let reads: Vec<Read<'_>> = reads
        .flat_map(|(at, site)| site.layers_read().map(move |reader| Read { site: at, reader }))
        .filter(|read| width.storage == Storage::Integers && read.is_narrow())
        .collect();
    let vectors: Vec<_> = reads.iter().map(|read| read.contraction().vectors(false)).collect();
    let moments = measure.moments(model, &vectors)?;
    for (read, moments) in reads.iter().zip(moments) {
        let sample = Sample::of(model, read.reader, width);
        if let Some((sample, moments)) = sample.zip(moments.filter(VectorMoments::is_usable)) {
            tries[read.site].weigh(&sample, &moments.fitting);
        }
    }
    tries.iter_mut().for_each(Tries::list);
    in_chunks(&reads, (model, measure), true, report, |chunk, _| {
        for (read, moments) in chunk {
            if let Some(sample) = Sample::of(model, read.reader, width) {
                tries[read.site].judge(&sample, moments, width);
            }
        }
    })?;
    let found = sites.iter().zip(tries);
    Ok(found.map(|(site, tries)| tries.best(site.layers_read().count())).collect())
}

impl Read<'_> {
    fn is_narrow(&self) -> bool {
        self.contraction().columns <= MOST_COLUMNS
    }
}

/// Factors of the channels of a site, and what they cost.
struct Tries {
    /// Largest mean square that a layer reads of each channel.
    carried: Vec<f64>,
    /// Mean magnitude of the weights of each channel beside the largest of their parts, added up over layers.
    weights: Vec<f64>,
    /// The first are ones.
    factors: Vec<Vec<f64>>,
    /// Error of the outputs with each: on samples that are fitted to, and on those held out.
    errors: Vec<[f64; 2]>,
    /// Layers that were judged.
    judged: usize,
}

impl Tries {
    fn none(channels: usize) -> Self {
        let zeros = vec![0.0; channels];
        let (factors, errors) = (Vec::new(), Vec::new());
        Self { carried: zeros.clone(), weights: zeros, factors, errors, judged: 0 }
    }

    /// Takes up what a layer reads, and its weights.
    fn weigh(&mut self, sample: &Sample, moments: &[Moments]) {
        for (at, &channel) in sample.inputs.iter().enumerate() {
            let (group, column) = (at / sample.columns.max(1), at % sample.columns.max(1));
            let carried = &mut self.carried[channel];
            *carried =
                carried.max(moments.get(group).map_or(0.0, |moments| moments.square(column)));
        }
        let shares = sample.shares();
        self.weights.iter_mut().zip(shares).for_each(|(all, share)| *all += share);
    }

    /// Lists what is tried.
    fn list(&mut self) {
        let root: Vec<f64> = self.carried.iter().map(|x| x.sqrt()).collect();
        let shares = || (0..=STEPS).map(|step| f64::from(step) / f64::from(STEPS));
        let plain = shares().map(|share| root.iter().map(|x| x.powf(share)).collect());
        let both = shares().map(|share| {
            let pairs = root.iter().zip(&self.weights);
            pairs.map(|(x, w)| x.powf(share) / w.powf(1.0 - share)).collect()
        });
        let tried: Vec<Vec<f64>> = plain.chain(both).filter_map(balanced).collect();
        self.factors = std::iter::once(vec![1.0; root.len()]).chain(tried).collect();
        self.errors = vec![[0.0; 2]; self.factors.len()];
    }

    /// Adds what the outputs of a layer lose with each.
    fn judge(&mut self, sample: &Sample, moments: &VectorMoments, width: Width) {
        let zeros = vec![0.0; sample.columns];
        let about = |moments: &[Moments]| -> Option<Vec<Vec<f64>>> {
            moments.iter().map(|moments| moments.about(&zeros)).collect()
        };
        let both = about(&moments.fitting).zip(about(&moments.held_out));
        let Some((fitting, held_out)) = both else { return };
        let squares = |moments: &Moments| (0..sample.columns).map(|j| moments.square(j)).collect();
        let squares: Vec<Vec<f64>> = moments.fitting.iter().map(squares).collect();
        let error = |factors: &Vec<f64>| {
            let change = sample.change(factors, &squares, width);
            [&fitting, &held_out].map(|second| sample.weights().power(&change, second))
        };
        let errors: Vec<[f64; 2]> = self.factors.par_iter().map(error).collect();
        for (all, new) in self.errors.iter_mut().zip(errors) {
            all.iter_mut().zip(new).for_each(|(all, new)| *all += new);
        }
        self.judged += 1;
    }

    /// The best, when all `layers` were judged and it is worth it on held-out samples.
    fn best(mut self, layers: usize) -> Option<Vec<f64>> {
        let fitted = self.errors.iter().enumerate().min_by(|a, b| a.1[0].total_cmp(&b.1[0]));
        let (at, &[_, error]) = fitted.filter(|_| self.judged == layers)?;
        (error < WORTH * self.errors[0][1]).then(|| self.factors.swap_remove(at))
    }
}

/// Some rows of a layer, and which of their weights share a scale.
struct Sample {
    rows: usize,
    columns: usize,
    channels: usize,
    /// The input channel of each column of all groups.
    inputs: Vec<usize>,
    values: Vec<f64>,
    /// The part of each of them.
    parts: Vec<u32>,
}

impl Sample {
    fn of(model: &Model, reader: &Reader, width: Width) -> Option<Self> {
        let Contraction { groups, rows, columns, .. } = *reader.contraction();
        let matrices = reader.matrices(model).ok()?;
        let places = reader.places().max(1);
        let inputs = columns / places;
        let step = rows.div_ceil(MOST_ROWS).max(1);
        let kept = rows.div_ceil(step);
        let mut sample = Self {
            rows: kept,
            columns,
            channels: reader.channels,
            inputs: (0..groups * columns).map(|at| at / places).collect(),
            values: Vec::with_capacity(groups * kept * columns),
            parts: Vec::with_capacity(groups * kept * columns),
        };
        let lines =
            (0..groups).flat_map(|group| (0..rows).step_by(step).map(move |r| group * rows + r));
        for (line, row) in lines.enumerate() {
            sample.values.extend_from_slice(matrices.get(row * columns..(row + 1) * columns)?);
            let part = |column: usize| match width.granularity {
                Granularity::Tensor => 0,
                Granularity::Channel => line,
                Granularity::Block(size) => {
                    let block = column / places / size.max(1);
                    (line * inputs.div_ceil(size.max(1)) + block) * places + column % places
                }
            };
            sample.parts.extend((0..columns).map(|column| part(column) as u32));
        }
        Some(sample)
    }

    fn weights(&self) -> Weights<'_> {
        let Self { rows, columns, ref values, ref parts, .. } = *self;
        Weights { rows, columns, values, grid_of: parts }
    }

    /// The input channel of each value.
    fn channel(&self, at: usize) -> usize {
        let group = at / (self.rows * self.columns).max(1);
        self.inputs[group * self.columns + at % self.columns.max(1)]
    }

    /// Smallest and largest number of each part, and 0.
    fn ranges(&self, values: &[f64]) -> Vec<Range> {
        let count = self.parts.iter().max().map_or(0, |&last| last as usize + 1);
        let mut ranges = vec![Range { min: 0.0, max: 0.0 }; count];
        for (&part, &x) in self.parts.iter().zip(values) {
            let range = &mut ranges[part as usize];
            (range.min, range.max) = (range.min.min(x as f32), range.max.max(x as f32));
        }
        ranges
    }

    /// The mean magnitude of the weights of each channel beside the largest of their parts.
    fn shares(&self) -> Vec<f64> {
        let ranges = self.ranges(&self.values);
        let mut sums = vec![(0.0, 0usize); self.channels];
        for (at, (&part, &x)) in self.parts.iter().zip(&self.values).enumerate() {
            let Range { min, max } = ranges[part as usize];
            let largest = f64::from(max.max(-min));
            if largest > 0.0 {
                let (sum, count) = &mut sums[self.channel(at)];
                (*sum, *count) = (*sum + x.abs() / largest, *count + 1);
            }
        }
        sums.into_iter().map(|(sum, count)| sum / count.max(1) as f64).collect()
    }

    /// What rounding changes in the weights when channels are multiplied by factors before, and divided afterwards,
    /// on grids that suit what is read: `squares` holds its mean squares.
    fn change(&self, factors: &[f64], squares: &[Vec<f64>], width: Width) -> Vec<f64> {
        let factor: Vec<f64> = (0..self.values.len()).map(|at| factors[self.channel(at)]).collect();
        let scaled: Vec<f64> = self.values.iter().zip(&factor).map(|(x, s)| x * s).collect();
        let weights = Weights { values: &scaled, ..self.weights() };
        let Format { dtype, symmetric, power_of_two } = width.format;
        // Fewer bits than 8 cannot spare a level.
        let lowest = dtype.integer_range().and_then(|(low, _)| i32::try_from(low).ok());
        let grid = |range: Range| {
            let grid = width.format.grid(range);
            Grid { low: lowest.unwrap_or(grid.low), ..grid }
        };
        let mut grids: Vec<Grid> = self.ranges(&scaled).into_iter().map(grid).collect();
        if !power_of_two {
            let inputs = self.inputs.chunks(self.columns.max(1)).zip(squares);
            let importance = inputs.map(|(inputs, squares)| {
                let pairs = inputs.iter().zip(squares);
                pairs.map(|(&input, square)| square / factors[input].powi(2)).collect()
            });
            let importance: Vec<Vec<f64>> = importance.collect();
            grids = rescaled(weights, &grids, &importance, &vec![0.0; grids.len()], !symmetric);
        }
        let change = weights.change(&weights.nearest(&Points::Grids(grids)));
        change.into_iter().zip(factor).map(|(change, factor)| change / factor).collect()
    }
}
