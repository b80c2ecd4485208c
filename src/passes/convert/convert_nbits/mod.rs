//! `convert-nbits`: see `docs/passes/convert-nbits.md`.
//!
//! `product` handles matrices, `table` handles tables of Gather, `shaped` what stays behind a DequantizeLinear.

mod product;
mod shaped;
mod table;

use rayon::prelude::*;

use crate::analysis::Shapes;
use crate::error::Result;
use crate::ir::{Model, NodeId};
use crate::passes::{Context, Pass, Promise, Report};

use product::{Made, Product};
use shaped::Shaped;
use table::Table;

/// Turns products and tables of few bits into MatMulNBits and GatherBlockQuantized of ONNX Runtime, and others into a
/// form that it does not take for such.
#[derive(Debug, Clone, Copy)]
pub struct ConvertNbits {
    /// Operators of com.microsoft may be used.
    pub microsoft: bool,
}

impl Default for ConvertNbits {
    fn default() -> Self {
        Self { microsoft: true }
    }
}

impl Pass for ConvertNbits {
    fn name(&self) -> &'static str {
        "convert-nbits"
    }

    fn summary(&self) -> &'static str {
        "Turns stored integers in blocks into MatMulNBits and GatherBlockQuantized of ONNX Runtime."
    }

    fn promise(&self) -> Promise {
        Promise::Lossy
    }

    fn run(&self, model: &mut Model, cx: &Context<'_>) -> Result<Report> {
        let mut report = Report::default();
        let shapes = &*cx.shapes_of(model);
        let mut made = Made::default();
        let nodes = model.all_nodes();
        let pairs = nodes.iter().any(|&node| model.node(node).is("QuantizeLinear"));
        // Rows of a table that products multiply with are read of what was packed for these.
        let (tables, others): (Vec<NodeId>, Vec<NodeId>) =
            nodes.into_iter().partition(|&id| model.node(id).is("Gather"));
        for ids in others.chunks(TOGETHER).chain(tables.chunks(TOGETHER)) {
            let found = |&id: &NodeId| match self.microsoft {
                true => (id, Found::of(model, id, shapes, &made)),
                false => (id, Ok(None)),
            };
            let found: Vec<_> = ids.par_iter().map(found).collect();
            for (id, found) in found {
                put(model, id, found, (&mut made, &mut report));
                if let Some(shaped) = Shaped::find(model, id, pairs) {
                    let place = model.label(id);
                    if model.is_kept(shaped.node()) {
                        report.refuse(place, "the file's own data mentions it");
                        continue;
                    }
                    report.did(place, shaped.text());
                    shaped.apply(model);
                }
            }
        }
        Ok(report)
    }
}

/// Nodes that are looked at before they are replaced: what is packed for them is held twice.
const TOGETHER: usize = 64;

fn put(
    model: &mut Model,
    id: NodeId,
    found: std::result::Result<Option<Found>, String>,
    (made, report): (&mut Made, &mut Report),
) {
    let place = model.label(id);
    match found {
        Ok(None) => {}
        Ok(Some(_)) if model.is_kept(id) => {
            report.refuse(place, "the file's own data mentions it");
        }
        Ok(Some(Found::Product(product))) => {
            report.did(place, product.text());
            product.apply(model, made);
        }
        Ok(Some(Found::Table(table))) => {
            report.did(place, table.text());
            table.apply(model, made);
        }
        Err(reason) => report.refuse(place, reason),
    }
}

/// What a node becomes.
enum Found {
    Product(Box<Product>),
    Table(Table),
}

impl Found {
    fn of(
        model: &Model,
        id: NodeId,
        shapes: &Shapes,
        made: &Made,
    ) -> std::result::Result<Option<Self>, String> {
        let node = model.node(id);
        if node.is("Gather") {
            return Ok(Table::find(model, id, made)?.map(Self::Table));
        }
        if node.is("Gemm") || node.is("MatMul") {
            return Ok(
                Product::find(model, id, shapes)?.map(|product| Self::Product(Box::new(product)))
            );
        }
        Ok(None)
    }
}
