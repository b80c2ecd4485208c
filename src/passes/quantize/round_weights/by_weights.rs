//! Grids on which weights themselves move least, found part by part: nothing is held but what one part needs.
//!
//! As if what a layer reads were noise of one power everywhere. Rows of tables that Gather reads are outputs themselves,
//! so there it is the error of the outputs.

use std::collections::HashSet;

use rayon::prelude::*;

use crate::analysis::{constant_floats, turned};
use crate::ir::{Model, NodeId, ValueId};
use crate::math::Grid;
use crate::math::rounding::{rescaled_part, squared_error};
use crate::passes::stored::Gridded;
use crate::passes::{LayerNote, Report};
use crate::tensor::Tensor;

use super::Rounding;
use super::choose::WORTH;

/// Parts that one core looks at in a row.
const TOGETHER: usize = 256;
/// Where layers have their weights.
const WEIGHT_SLOT: usize = 1;

/// Which weights are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    /// Tables in blocks, each row by itself.
    Tables,
    /// These, and the weights of layers.
    All,
}

/// Gives each part of the integers of at most `bits` the grid on which the weights of `reference` move least.
pub(super) fn rescale(
    model: &mut Model,
    reference: &Model,
    (bits, which): (u32, Which),
    report: &mut Report,
) {
    let mut seen = HashSet::new();
    for node in model.all_nodes() {
        let found = Site::of(model, reference, node, (bits, which));
        let site = match found {
            Ok(Some(site)) => site,
            Ok(None) => continue,
            Err(reason) => {
                report.refuse(model.label(node), reason);
                continue;
            }
        };
        if !seen.insert(site.stored.value) {
            continue;
        }
        let place = model.label(node);
        match site.fitted() {
            Some(fitted) => fitted.store(model, &site, place, report),
            None if site.table => {}
            None => report.refuse(place, "stays as it is: nothing that was tried is better"),
        }
        site.floats.release();
    }
}

/// Stored integers, and the floats that they were made of.
struct Site {
    stored: Gridded,
    floats: Tensor,
    table: bool,
}

/// Better grids, and the mean squared error of a weight on those before and on these.
struct Fitted {
    grids: Vec<Grid>,
    errors: (f64, f64),
    signal: f64,
}

impl Site {
    fn of(
        model: &Model,
        reference: &Model,
        node: NodeId,
        (bits, which): (u32, Which),
    ) -> Result<Option<Self>, String> {
        let entry = model.node(node);
        let table = entry.is("Gather");
        let layer = entry.is_linear();
        let wanted = table || layer && which == Which::All;
        if !wanted || !reference.is_live(node) || reference.node(node).op() != entry.op() {
            return Ok(None);
        }
        let slot = if table { 0 } else { WEIGHT_SLOT };
        let read = |model: &Model| model.node(node).input(slot);
        let (Some(now), Some(before)) = (read(model), read(reference)) else { return Ok(None) };
        let untied = |model: &Model, value: ValueId| match turned(model, value) {
            Some((_, from)) if !table => from,
            _ => value,
        };
        let Some(found) = constant_floats(reference, before) else { return Ok(None) };
        let (now, floats) = match Gridded::of(model, now)? {
            Some(_) => (now, found.tensor),
            None => {
                let before = untied(reference, before);
                let Some(found) = constant_floats(reference, before) else { return Ok(None) };
                (untied(model, now), found.tensor)
            }
        };
        let Some(stored) = Gridded::of(model, now)? else { return Ok(None) };
        let alone = model.value(stored.value).only_consumer().is_some();
        let few = stored.tensor.dtype().bits() as u32 <= bits && !stored.tensor.is_empty();
        let rows = !table || stored.block > 0 && stored.axis + 1 == stored.tensor.dims().len();
        if model.value(stored.value).initializer().is_none() || !few || !rows {
            return Ok(None);
        }
        if !alone {
            return Err("its integers are read by other layers, too".into());
        }
        if floats.dims() != stored.tensor.dims() {
            return Err("its weights have other dims than before".into());
        }
        // Scales that are powers of two stay such.
        let free = stored.grids.iter().any(|grid| grid.scale.log2().fract() != 0.0);
        Ok(free.then_some(Self { stored, floats, table }))
    }

    /// Grids of less error; nothing when they are no better than those that are there.
    fn fitted(&self) -> Option<Fitted> {
        let elements = self.floats.floats();
        let places = self.stored.members().ok()?;
        let moves = self.stored.zeros.is_some();
        let of_part = |(part, grid): (usize, &Grid), members: &mut Vec<(f64, f64)>| {
            members.clear();
            let places = places(part).places();
            members.extend(places.map(|at| (f64::from(elements[at]), 1.0)));
            let found = rescaled_part(grid, members, 0.0, moves);
            let errors = [*grid, found].map(|grid| squared_error(&grid, members));
            (found, errors, members.iter().map(|(x, _)| x * x).sum::<f64>())
        };
        let of_parts = |(first, grids): (usize, &[Grid])| {
            let mut members = Vec::new();
            let (mut found, mut errors, mut signal) =
                (Vec::with_capacity(grids.len()), [0.0; 2], 0.0);
            for (i, grid) in grids.iter().enumerate() {
                let (better, [before, after], power) =
                    of_part((first * TOGETHER + i, grid), &mut members);
                found.push(better);
                (errors[0], errors[1]) = (errors[0] + before, errors[1] + after);
                signal += power;
            }
            (found, errors, signal)
        };
        let parts = self.stored.grids.par_chunks(TOGETHER).enumerate();
        let found: Vec<_> = parts.map(of_parts).collect();
        let count = elements.len().max(1) as f64;
        let mut fitted = Fitted { grids: Vec::new(), errors: (0.0, 0.0), signal: 0.0 };
        for (grids, [before, after], signal) in found {
            fitted.grids.extend(grids);
            fitted.errors.0 += before / count;
            fitted.errors.1 += after / count;
            fitted.signal += signal / count;
        }
        let worth = if self.table { 1.0 } else { WORTH };
        (fitted.errors.1 < worth * fitted.errors.0).then_some(fitted)
    }
}

impl Fitted {
    fn store(self, model: &mut Model, site: &Site, place: String, report: &mut Report) {
        let Some(integers) = self.integers(site) else { return };
        let method = Rounding::Scale.name();
        let removed = 100.0 * (1.0 - self.errors.1 / self.errors.0);
        site.stored.replace(model, integers, &self.grids);
        report.did(&place, format!("{method}: {removed:.0} % less error"));
        report.layers.push(LayerNote { place, method, errors: self.errors, signal: self.signal });
    }

    /// The nearest integers.
    fn integers(&self, site: &Site) -> Option<Tensor> {
        let index = site.stored.index().ok()?;
        let (dtype, dims) = (site.stored.tensor.dtype(), site.floats.dims());
        let elements = site.floats.floats();
        let nearest = |(i, &x): (usize, &f32)| self.grids[index(i)].quantize(x);
        let elements = elements.iter().enumerate();
        Some(match dtype.bits() {
            0..=8 => {
                let bytes: Vec<u8> = elements.map(|element| nearest(element) as u8).collect();
                Tensor::from_small_integers(dtype, dims, &bytes)
            }
            _ => Tensor::from_integers(dtype, dims, &elements.map(nearest).collect::<Vec<i32>>()),
        })
    }
}
