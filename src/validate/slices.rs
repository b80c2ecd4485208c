//! Parts of outputs that are lost although the whole is well: scores of 0 to 1 beside boxes of 0 to 500.

use std::collections::HashMap;

use crate::analysis::{Assume, Shapes};
use crate::error::Result;
use crate::ir::{self, Model, NodeId, ValueId};
use crate::tensor::Tensor;

/// A part that keeps less, in decibel, is named.
pub(super) const WEAK_DB: f64 = 10.0;
/// Most indices of an axis that are looked at one by one: more are no channels, but places.
const MOST: usize = 256;
/// Noise below this share of what a part reaches is what a grid of 8 bits does to a part that is well.
const SILENT: f64 = 1.0 / 64.0;
/// A part that reaches less of what the whole output reaches is dust.
const DUST: f64 = 1e-6;
/// Most movements between an output and the Concat that makes it.
const STEPS: usize = 16;

/// How an output is made up.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Layout {
    /// The inputs of the Concat that makes it: name, and the axis and the indices that they become.
    sections: Vec<Section>,
    /// How far its elements reach whatever the samples are, when it is an activation with such a range.
    reach: Option<f64>,
}

#[derive(Debug, Clone, PartialEq)]
struct Section {
    name: String,
    axis: usize,
    first: usize,
    end: usize,
}

/// A part of an output that keeps little.
#[derive(Debug, Clone, PartialEq)]
pub struct WeakSlice {
    /// The axis along which it is a part.
    pub axis: usize,
    /// Its first index there.
    pub first: usize,
    /// Its last index there.
    pub last: usize,
    /// The value that a Concat puts there.
    pub of: Option<String>,
    /// What it keeps.
    pub sqnr_db: f64,
}

/// Sums over the parts of an output.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Slices {
    layout: Layout,
    /// For each axis that is looked at, one for each index.
    axes: Vec<(usize, Vec<Sums>)>,
}

/// Sums over one index of an axis.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Sums {
    count: u64,
    signal: f64,
    noise: f64,
    low: f32,
    high: f32,
    /// An element of one side is not finite.
    odd: bool,
}

impl Default for Sums {
    fn default() -> Self {
        let (low, high) = (f32::INFINITY, f32::NEG_INFINITY);
        Self { count: 0, signal: 0.0, noise: 0.0, low, high, odd: false }
    }
}

impl Sums {
    fn add(&mut self, a: f32, b: f32) {
        self.count += 1;
        if !a.is_finite() || !b.is_finite() {
            self.odd = true;
            return;
        }
        let (x, y) = (f64::from(a), f64::from(b));
        self.signal += x * x;
        self.noise += (x - y) * (x - y);
        self.low = self.low.min(a);
        self.high = self.high.max(a);
    }

    fn merge(self, other: Self) -> Self {
        Self {
            count: self.count + other.count,
            signal: self.signal + other.signal,
            noise: self.noise + other.noise,
            low: self.low.min(other.low),
            high: self.high.max(other.high),
            odd: self.odd || other.odd,
        }
    }

    fn all<'a>(sums: impl IntoIterator<Item = &'a Self>) -> Self {
        sums.into_iter().fold(Self::default(), |all, sums| all.merge(*sums))
    }

    fn sqnr_db(&self) -> f64 {
        if self.noise == 0.0 { f64::INFINITY } else { 10.0 * (self.signal / self.noise).log10() }
    }

    /// How far its elements are from 0 and from each other.
    fn reach(&self) -> f64 {
        f64::from(self.high.max(0.0)) - f64::from(self.low.min(0.0))
    }

    /// It says something, and little of that is kept; `reach` is how far the elements of such a part can be.
    fn is_weak(&self, reach: f64) -> bool {
        let varies = f64::from(self.high) - f64::from(self.low) > self.reach() * DUST;
        let rms = (self.noise / self.count.max(1) as f64).sqrt();
        !self.odd && varies && self.sqnr_db() < WEAK_DB && rms > reach * SILENT
    }
}

impl Slices {
    /// Those of an output of `dims`: of the original and of the candidate, of which as many elements are given as are
    /// real; its first axis may be that of samples.
    pub fn of(layout: Layout, dims: &[usize], [a, b]: [&[f32]; 2], is_batch: bool) -> Self {
        let wanted = |axis: &usize| {
            let extent = dims[*axis];
            let section = layout.sections.iter().any(|section| section.axis == *axis);
            let places = *axis == 0 && is_batch || extent < 2;
            !places && (extent <= MOST || section)
        };
        let axes = (0..dims.len()).filter(wanted).map(|axis| {
            let inner: usize = dims[axis + 1..].iter().product::<usize>().max(1);
            let mut sums = vec![Sums::default(); dims[axis]];
            for (block, (a, b)) in a.chunks(inner).zip(b.chunks(inner)).enumerate() {
                let sums = &mut sums[block % dims[axis]];
                a.iter().zip(b).for_each(|(&a, &b)| sums.add(a, b));
            }
            (axis, sums)
        });
        let axes = axes.collect();
        Self { layout, axes }
    }

    /// Those of an output of both models, of which so many elements are real, in a run of `batch` samples. None where
    /// there is but one axis, or no floats, or other dims.
    ///
    /// # Errors
    /// When the elements are no numbers.
    pub fn between(
        layout: Layout,
        [a, b]: [&Tensor; 2],
        real: usize,
        batch: usize,
    ) -> Result<Self> {
        let dims = a.dims();
        if !a.dtype().is_float() || dims.len() < 2 || dims != b.dims() {
            return Ok(Self::default());
        }
        let (x, y) = (a.to_f32()?, b.to_f32()?);
        let both = [&x[..real.min(x.len())], &y[..real.min(y.len())]];
        Ok(Self::of(layout, dims, both, batch > 0 && dims[0] == batch))
    }

    /// Over the samples of both.
    #[must_use]
    pub fn merge(mut self, other: Self) -> Self {
        // Axes of samples of other extents have no common parts.
        let same = |a: &Self, b: &Self| {
            a.axes.len() == b.axes.len()
                && a.axes.iter().zip(&b.axes).all(|(a, b)| a.0 == b.0 && a.1.len() == b.1.len())
        };
        if !same(&self, &other) {
            self.axes.retain(|(axis, sums)| {
                other.axes.iter().any(|(known, others)| known == axis && others.len() == sums.len())
            });
        }
        for (axis, sums) in &mut self.axes {
            let others = other.axes.iter().find(|(known, _)| known == axis);
            for (sums, other) in sums.iter_mut().zip(others.into_iter().flat_map(|(_, sums)| sums))
            {
                *sums = sums.merge(*other);
            }
        }
        self
    }

    /// The parts that keep little: first what a Concat puts side by side, then single indices, neighbours as one.
    pub fn weak(&self) -> Vec<WeakSlice> {
        let mut found: Vec<WeakSlice> = Vec::new();
        for (axis, sums) in &self.axes {
            let whole = Sums::all(sums).reach();
            let of_axis = self.layout.sections.iter().filter(|section| section.axis == *axis);
            for section in of_axis.filter(|section| section.end <= sums.len()) {
                let part = Sums::all(&sums[section.first..section.end]);
                if part.is_weak(part.reach()) {
                    found.push(WeakSlice {
                        axis: *axis,
                        first: section.first,
                        last: section.end - 1,
                        of: Some(section.name.clone()),
                        sqnr_db: part.sqnr_db(),
                    });
                }
            }
            if sums.len() > MOST {
                continue;
            }
            let told = |found: &[WeakSlice], i: usize| {
                found.iter().any(|weak| weak.axis == *axis && (weak.first..=weak.last).contains(&i))
            };
            let mut run: Option<(usize, usize, Sums)> = None;
            let mut runs = Vec::new();
            for (i, sums) in sums.iter().enumerate() {
                let reach = self.layout.reach.unwrap_or(sums.reach()).max(whole * DUST / SILENT);
                if !sums.is_weak(reach) || told(&found, i) {
                    continue;
                }
                run = match run {
                    Some((first, last, all)) if last + 1 == i => Some((first, i, all.merge(*sums))),
                    other => {
                        runs.extend(other);
                        Some((i, i, *sums))
                    }
                };
            }
            runs.extend(run);
            found.extend(runs.into_iter().map(|(first, last, sums)| {
                let (axis, sqnr_db) = (*axis, sums.sqnr_db());
                WeakSlice { axis, first, last, of: None, sqnr_db }
            }));
        }
        found
    }
}

/// How each output of a model is made up.
pub fn layouts(model: &Model) -> HashMap<String, Layout> {
    let outputs = model.graph(model.main()).outputs().iter().map(|output| output.value);
    outputs.map(|value| (model.value(value).name().to_owned(), layout(model, value))).collect()
}

fn layout(model: &Model, output: ValueId) -> Layout {
    let mut value = output;
    // For each axis of `value` the axis of the output.
    let mut axes: Option<Vec<usize>> = None;
    let unknown = Layout::default;
    for _ in 0..STEPS {
        let Some(producer) = model.value(value).producer() else { return unknown() };
        let node = model.node(producer);
        let Some(input) = node.input(0) else { return unknown() };
        match node.op() {
            "Identity" | "Cast" | "DequantizeLinear" | "QuantizeLinear" => value = input,
            "Transpose" => {
                let Some(perm) = node.attr_ints("perm") else { return unknown() };
                let before = axes.unwrap_or_else(|| (0..perm.len()).collect());
                let mut turned = vec![0; perm.len()];
                for (to, from) in perm.iter().enumerate() {
                    let from = usize::try_from(*from).ok().filter(|from| *from < perm.len());
                    let (Some(from), Some(&axis)) = (from, before.get(to)) else {
                        return unknown();
                    };
                    turned[from] = axis;
                }
                axes = Some(turned);
                value = input;
            }
            "Sigmoid" | "Softmax" | "HardSigmoid" => {
                return Layout { sections: Vec::new(), reach: Some(1.0) };
            }
            "Concat" => return Layout { sections: sections(model, producer, axes), reach: None },
            _ => return unknown(),
        }
    }
    unknown()
}

/// What a Concat puts side by side, when the extents are known.
fn sections(model: &Model, concat: NodeId, axes: Option<Vec<usize>>) -> Vec<Section> {
    let shapes = Shapes::infer(model, &Assume::default());
    let node = model.node(concat);
    let inputs: Vec<ValueId> = node.inputs().iter().flatten().copied().collect();
    let rank = inputs.first().and_then(|&value| shapes.rank(value)).unwrap_or(0);
    let axis = ir::position(node.attr_int("axis").unwrap_or(0), rank);
    let Some(axis) = axis else { return Vec::new() };
    let mut first = 0;
    let mut found = Vec::new();
    for value in inputs {
        let extent = shapes.dims(value).and_then(|dims| dims.get(axis)?.known());
        let Some(extent) = extent.and_then(|extent| usize::try_from(extent).ok()) else {
            return Vec::new();
        };
        let to = axes.as_ref().map_or(Some(axis), |axes| axes.get(axis).copied());
        let Some(to) = to else { return Vec::new() };
        let name = model.value(value).name().to_owned();
        found.push(Section { name, axis: to, first, end: first + extent });
        first += extent;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `[2, channels, 6]`: channel `c` reaches `reach[c]`, and its noise is `noise[c]` of what it reaches.
    fn slices(layout: &Layout, reach: &[f32], noise: &[f32]) -> Vec<WeakSlice> {
        let channels = reach.len();
        let mut pair = [Vec::new(), Vec::new()];
        for i in 0..2 * channels * 6 {
            let (channel, place) = (i / 6 % channels, i % 6 + 1);
            let x = reach[channel] * place as f32 / 6.0;
            let sign = if place % 2 == 0 { 1.0 } else { -1.0 };
            pair[0].push(x);
            pair[1].push(x + sign * noise[channel] * reach[channel]);
        }
        let half = pair[0].len() / 2;
        let part = |from: usize| {
            let [a, b] = &pair;
            let both = [&a[from..from + half], &b[from..from + half]];
            Slices::of(layout.clone(), &[2, channels, 6], both, true)
        };
        part(0).merge(part(half)).weak()
    }

    #[test]
    fn a_small_part_that_is_lost_is_named_and_others_are_not() {
        let layout = Layout::default();
        let found = slices(&layout, &[500.0, 500.0, 1.0, 1.0], &[0.001, 0.001, 0.5, 0.5]);
        let only = |axis| found.iter().filter(|w| w.axis == axis).collect::<Vec<_>>();
        let weak = only(1);
        assert_eq!(weak.len(), 1, "{found:?}");
        assert_eq!((weak[0].first, weak[0].last), (2, 3));
        assert!(weak[0].sqnr_db < WEAK_DB);
        // Healthy, silent and constant ones.
        assert_eq!(slices(&layout, &[500.0, 1.0], &[0.001, 0.01]), []);
        let silent = Layout { reach: Some(1.0), ..Layout::default() };
        assert_eq!(slices(&silent, &[1.0, 0.001], &[0.001, 0.9]), []);
        assert_eq!(slices(&layout, &[500.0, 0.0], &[0.001, 0.0]), []);
    }

    #[test]
    fn what_a_concat_puts_side_by_side_is_one_part() {
        let text = "<ir_version: 8, opset_import: [\"\" : 17]> g (float[1,2,6] a, float[1,3,6] b) => (float[1,6,5] y) {
            s = Sigmoid (b) c = Concat <axis = 1> (a, s) y = Transpose <perm = [0, 2, 1]> (c) }";
        let model = crate::read::text(text).unwrap();
        let found = layouts(&model);
        let parts: Vec<_> =
            found["y"].sections.iter().map(|s| (&*s.name, s.axis, s.first, s.end)).collect();
        assert_eq!(parts, [("a", 2, 0, 2), ("s", 2, 2, 5)]);
        let layout = Layout {
            sections: vec![Section { name: "s".into(), axis: 1, first: 1, end: 4 }],
            reach: None,
        };
        let found = slices(&layout, &[500.0, 1.0, 0.9, 0.001], &[0.001, 0.5, 0.5, 1.0]);
        let named: Vec<_> = found
            .iter()
            .filter(|w| w.axis == 1)
            .map(|w| (w.of.as_deref(), w.first, w.last))
            .collect();
        assert_eq!(named, [(Some("s"), 1, 3)]);
    }
}
