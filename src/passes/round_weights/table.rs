//! Scales of tables that Gather reads: their rows are outputs themselves, so no samples are needed.

use std::collections::HashSet;

use rayon::prelude::*;

use crate::analysis::constant;
use crate::ir::{Model, NodeId, ValueId};
use crate::math::Grid;
use crate::math::rounding::{Points, Rounded, Weights, rescaled};
use crate::passes::stored::StoredWeight;
use crate::passes::{LayerNote, Report};
use crate::tensor::DType;

use super::Rounding;

/// A table in blocks along its last axis, and the floats that it held in the model before.
struct Table {
    value: ValueId,
    weight: StoredWeight,
    floats: Vec<f64>,
}

/// Gives each block of a table of at most `bits` the scale with which its numbers move least.
pub(super) fn rescale(model: &mut Model, reference: &Model, bits: u32, report: &mut Report) {
    let mut seen = HashSet::new();
    let nodes: Vec<NodeId> = model.nodes_of(model.main()).map(|(node, _)| node).collect();
    for node in nodes {
        let table = Table::find(model, reference, node, bits);
        let Some(table) = table.filter(|table| seen.insert(table.value)) else { continue };
        let (grids, integers) = table.rescaled();
        let (before, after) = (
            table.error(table.weight.points.grids(), &table.weight.integers),
            table.error(&grids, &integers),
        );
        if after >= before {
            continue;
        }
        let place = model.label(node);
        table.weight.replace(model, &integers, &Points::Grids(grids));
        let method = Rounding::Scale.name();
        report.did(&place, format!("{method}: {:.0} % less error", 100.0 * (1.0 - after / before)));
        let squares: f64 = table.floats.iter().map(|x| x * x).sum();
        let signal = squares / table.floats.len() as f64;
        report.layers.push(LayerNote { place, method, errors: (before, after), signal });
    }
}

impl Table {
    fn find(model: &Model, reference: &Model, node: NodeId, bits: u32) -> Option<Self> {
        let gather = model.node(node);
        if !gather.is("Gather") || !reference.is_live(node) {
            return None;
        }
        let before = reference.node(node).input(0)?;
        let before = constant(reference, before).filter(|t| t.dtype() == DType::Float)?;
        let weight = StoredWeight::behind(model, gather.input(0)?).ok()??;
        let (value, dtype) = weight.on_grids()?;
        let entry = model.value(value);
        let own = entry.initializer().is_some() && entry.only_consumer().is_some();
        let fits = weight.dims == before.dims()
            && dtype.bits() as u32 <= bits
            && weight.block > 0
            && !weight.integers.is_empty();
        let floats = before.to_f64().ok().filter(|_| own && fits)?;
        let table = Self { value, weight, floats };
        table.is_by_rows().then_some(table)
    }

    /// Neighbours share a scale, and nobody else does.
    fn is_by_rows(&self) -> bool {
        self.blocks()
            .enumerate()
            .all(|(grid, (of_block, _))| of_block.iter().all(|&index| index as usize == grid))
    }

    /// The indices of grids, and the floats, of each block.
    fn blocks(&self) -> impl Iterator<Item = (&[u32], &[f64])> {
        let columns = self.weight.dims.last().copied().unwrap_or(1).max(1);
        let size = self.weight.block;
        let rows = self.weight.part_of.chunks(columns).zip(self.floats.chunks(columns));
        rows.flat_map(move |(grids, floats)| grids.chunks(size).zip(floats.chunks(size)))
    }

    /// Grids of least error, and the nearest integers on them.
    fn rescaled(&self) -> (Vec<Grid>, Vec<i32>) {
        let ones = [vec![1.0; self.weight.block]];
        let same = vec![0; self.weight.block];
        let moves = self.weight.freedom().zeros;
        let blocks: Vec<_> = self.blocks().zip(self.weight.points.grids()).collect();
        let of_block = |((_, values), grid): &((&[u32], &[f64]), &Grid)| {
            let weights =
                Weights { rows: 1, columns: values.len(), values, grid_of: &same[..values.len()] };
            let grids = rescaled(weights, std::slice::from_ref(*grid), &ones, &[0.0], moves);
            weights.nearest(&Points::Grids(grids))
        };
        let found: Vec<Rounded> = blocks.par_iter().map(of_block).collect();
        let (mut grids, mut integers) = (Vec::new(), Vec::new());
        for rounded in found {
            grids.extend_from_slice(rounded.points.grids());
            integers.extend(rounded.integers);
        }
        (grids, integers)
    }

    /// Mean squared error of what the integers stand for.
    fn error(&self, grids: &[Grid], integers: &[i32]) -> f64 {
        let numbers = integers.iter().zip(&self.weight.part_of).zip(&self.floats);
        let errors = numbers.map(|((&q, &grid), x)| {
            let stored = f64::from(grids[grid as usize].dequantize(q));
            (stored - x).powi(2)
        });
        errors.sum::<f64>() / self.floats.len() as f64
    }
}
