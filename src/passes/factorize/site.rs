//! Layers that can be split.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use crate::analysis::{Contraction, Shapes, WEIGHT_SLOT, constant};
use crate::ir::{Model, NodeId, ValueId};
use crate::math::Unfold;
use crate::passes::factorize::shape::Extents;
use crate::passes::stored::Linear;
use crate::passes::{Report, fitting};
use crate::tensor::DType;

/// A layer, and its weights in the order of its matrices.
pub(super) struct Site {
    pub node: NodeId,
    pub contraction: Contraction,
    pub extents: Extents,
    pub weight: ValueId,
    /// A table of embeddings.
    pub table: bool,
    pub dtype: DType,
    pub values: Vec<f64>,
}

impl Linear for Site {
    fn node(&self) -> NodeId {
        self.node
    }

    fn contraction(&self) -> &Contraction {
        &self.contraction
    }
}

/// Which layers are looked at.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Layers {
    /// Only nodes whose names fit one of these patterns; all when empty.
    pub only: Vec<String>,
    /// Only these operators; all when empty.
    pub ops: Vec<String>,
    /// Nodes that stay as they are: patterns.
    pub keep: Vec<String>,
    /// Tables of embeddings, too: they become smaller, and a product more is computed.
    pub embeddings: bool,
}

impl Layers {
    /// Whether a layer is looked at.
    pub fn includes(&self, model: &Model, node: NodeId) -> bool {
        let op = self.ops.is_empty() || self.ops.iter().any(|op| op == model.node(node).op());
        op && (self.only.is_empty() || fitting(model, node, &self.only).is_some())
    }

    /// Whether a node is an embedding that is looked at, and how many numbers its table has.
    pub fn table(&self, model: &Model, node: NodeId) -> Option<usize> {
        let entry = model.node(node);
        let table = entry.input(0).filter(|_| self.embeddings && entry.is("Gather"))?;
        let tensor = constant(model, table)?;
        let wide = tensor.dtype().is_float() && tensor.dims().len() == 2;
        (wide && self.includes(model, node)).then(|| tensor.len())
    }

    /// Whether all layers are.
    pub fn is_all(&self) -> bool {
        self.only.is_empty() && self.ops.is_empty()
    }
}

impl Site {
    /// The layers of `model` that can be split; what multiplies with constants and cannot is declined in
    /// `report`.
    pub fn all(model: &Model, shapes: &Shapes, layers: &Layers, report: &mut Report) -> Vec<Self> {
        let mut sites = Vec::new();
        for node in model.all_nodes() {
            let entry = model.node(node);
            let table = layers.table(model, node).is_some();
            if !table
                && (!(entry.is_linear() || entry.is_recurrent()) || !layers.includes(model, node))
            {
                continue;
            }
            let found = match fitting(model, node, &layers.keep) {
                Some(pattern) => Err(format!("kept by `{pattern}`")),
                None => Self::of(model, shapes, node, table),
            };
            match found {
                Ok(found) => sites.extend(found),
                Err(reason) => report.refuse(model.label(node), reason),
            }
        }
        let factors: HashSet<NodeId> = sites.iter().flat_map(|site| pair(model, site)).collect();
        sites.retain(|site| {
            let factor = factors.contains(&site.node);
            if factor {
                report.refuse(model.label(site.node), "is a factor of a product already");
            }
            !factor
        });
        sites
    }

    fn of(
        model: &Model,
        shapes: &Shapes,
        node: NodeId,
        table: bool,
    ) -> Result<Option<Self>, String> {
        let entry = model.node(node);
        let slot = if table { 0 } else { WEIGHT_SLOT };
        let Some(weight) = entry.input(slot) else { return Ok(None) };
        let Some(tensor) = constant(model, weight) else {
            let left = entry.input(0).is_some_and(|value| constant(model, value).is_some());
            let stored = model.value(weight).producer().map(|node| model.node(node).op());
            return match stored {
                _ if left => Err("its weights are the left operand".into()),
                Some(op @ ("DequantizeLinear" | "Transpose" | "Reshape" | "Cast")) => {
                    Err(format!("its weights come through {op}"))
                }
                _ => Ok(None),
            };
        };
        if entry.graph() != model.main() {
            return Err("stands in a body of control flow".into());
        }
        if !tensor.dtype().is_float() {
            return Err(format!("its weights are {}", tensor.dtype()));
        }
        if model.value(weight).uses().len() != 1 {
            return Err("its weights are shared".into());
        }
        let recurrent = entry.is_recurrent();
        let contraction = match (table, recurrent) {
            (true, _) => Contraction::of_table(model, node, tensor.dims()),
            (_, true) => Contraction::of_recurrent(model, node, tensor.dims()),
            _ => Contraction::of(model, node, tensor.dims()),
        }?;
        let first_gemm_without_c = 11;
        let old = model.opset().is_none_or(|version| version < first_gemm_without_c);
        if contraction.unfold == Unfold::Columns && old {
            return Err(
                "Gemm of this operator set cannot read a transposed operand without C".into()
            );
        }
        let values = tensor.to_f64().map_err(|error| error.to_string())?;
        if values.iter().any(|x| !x.is_finite()) {
            return Err("its weights are not finite".into());
        }
        if values.iter().all(|&x| x == 0.0) {
            return Err("its weights are zero".into());
        }
        let extents = extents(model, shapes, node, &contraction);
        let (dtype, values) = (tensor.dtype(), contraction.matrices(&values));
        Ok(Some(Self { node, contraction, extents, weight, table, dtype, values }))
    }

    /// The weights of a group.
    pub fn group(&self, group: usize) -> crate::math::lowrank::Matrix {
        let Contraction { rows, columns, .. } = self.contraction;
        let weights = &self.values[group * rows * columns..][..rows * columns];
        crate::math::lowrank::matrix(rows, columns, weights)
    }
}

fn extents(model: &Model, shapes: &Shapes, node: NodeId, contraction: &Contraction) -> Extents {
    let fixed = |value: Option<ValueId>| shapes.fixed_dims(value?);
    let entry = model.node(node);
    // What a table gives is not computed.
    let input = fixed(entry.input(0)).filter(|_| !entry.is("Gather"));
    let output = fixed(entry.output(0));
    let Contraction { rows, columns, groups, .. } = *contraction;
    match &contraction.unfold {
        Unfold::Windows(windows) => {
            let places: usize = windows.kernel.iter().product();
            let spatial = |dims: Vec<usize>| {
                let (batch, rest) = (*dims.first()?, dims.get(2..)?.to_vec());
                Some((batch, rest))
            };
            let positions = input.and_then(spatial).zip(output.and_then(spatial));
            let positions = positions.map(|((batch, mut before), (_, mut after))| {
                before.push(batch);
                after.push(batch);
                (before, after)
            });
            Extents::of_windows(windows, (columns / places.max(1), rows), positions)
        }
        _ => {
            let elements = input.map(|dims| dims.iter().product::<usize>());
            let vectors = elements.and_then(|elements| elements.checked_div(columns));
            let positions = vectors.map(|vectors| (vec![vectors], vec![vectors]));
            let (inputs, outputs, kernel) = (columns, rows, Vec::new());
            Extents { groups, inputs, outputs, kernel, transposed: false, positions }
        }
    }
}

/// The nodes of a product of two matrices: a layer without bias whose output only another layer reads,
/// through fewer channels than either has on its other side.
fn pair(model: &Model, first: &Site) -> Vec<NodeId> {
    let none = Vec::new();
    let entry = model.node(first.node);
    let recurrent = |node: NodeId| model.node(node).is_recurrent();
    let Some(output) = entry.only_output() else { return none };
    let reader = model.value(output).only_consumer().filter(|&(_, slot)| slot == 0);
    let Some((next, _)) = reader.filter(|_| entry.input(2).is_none() && !recurrent(first.node))
    else {
        return none;
    };
    let next_entry = model.node(next);
    if !(next_entry.is_linear() || next_entry.is_recurrent()) {
        return none;
    }
    let dims = next_entry.input(WEIGHT_SLOT).and_then(|weight| constant(model, weight));
    let Some(dims) = dims.map(|tensor| tensor.dims().to_vec()) else { return none };
    let found = match recurrent(next) {
        true => Contraction::of_recurrent(model, next, &dims),
        false => Contraction::of(model, next, &dims),
    };
    let Ok(second) = found else { return none };
    let between = first.contraction.groups * first.contraction.rows;
    // Every place of a window has a matrix of its own.
    let places = (second.groups * second.columns / between.max(1)).max(1);
    let outer = (first.contraction.groups * first.contraction.columns)
        .min(second.groups * second.rows * places);
    if between < outer { vec![first.node, next] } else { none }
}
