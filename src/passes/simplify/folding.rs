//! What the passes share that compute nodes of constants: which nodes, and how much the model may grow.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use crate::analysis::{Shapes, constant};
use crate::ir::{Model, NodeId};
use crate::passes::{Context, Report};
use crate::tensor::{DType, Tensor};

/// How much folding may add to a model. The default is for models that are about to be changed in
/// other ways, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Growth {
    /// Most bytes that one folding may add to the model. 4 KiB: shapes, axes and scales fit, an
    /// expanded weight does not.
    pub tensor_growth: usize,
    /// Most bytes that all foldings together may add. 64 KiB: nobody should notice.
    pub total_growth: usize,
}

impl Default for Growth {
    fn default() -> Self {
        Self { tensor_growth: 4 << 10, total_growth: 64 << 10 }
    }
}

/// What was made in one model, and how much it grew.
#[derive(Debug, Clone, Default)]
pub(in crate::passes) struct Ledger {
    pub limits: Growth,
    grown: Cell<usize>,
    /// Equal tensors become one (`eliminate-common`) and count once.
    made: RefCell<HashSet<Tensor>>,
}

impl Ledger {
    pub fn within(limits: Growth) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Whether the model may grow by `growth` bytes for these tensors; counts them if so.
    fn admits(&self, growth: usize, outputs: &[Option<Tensor>]) -> bool {
        let mut made = self.made.borrow_mut();
        let known = outputs.iter().flatten().all(|tensor| made.contains(tensor));
        let grown = self.grown.get() + if known { 0 } else { growth };
        if grown > self.limits.total_growth {
            return false;
        }
        self.grown.set(grown);
        made.extend(outputs.iter().flatten().cloned());
        true
    }
}

/// What came of the attempt to compute a node.
pub(in crate::passes) enum Computed {
    /// Its outputs, in slot order.
    Outputs(Vec<Option<Tensor>>),
    /// It cannot be computed: why.
    Failed(String),
    /// It is not for this pass.
    Left,
}

/// Computes the nodes whose inputs are all constants with `compute`, within the limits of `ledger`.
pub(in crate::passes) fn fold(
    model: &mut Model,
    cx: &Context<'_>,
    ledger: &Ledger,
    compute: impl Fn(&Model, NodeId, &[Option<Tensor>]) -> Computed,
) -> Report {
    let mut report = Report::default();
    let mut inferred = None;
    let nodes = cx.near.map_or_else(|| model.all_nodes(), <[_]>::to_vec);
    for node in nodes {
        if !model.is_live(node) {
            continue;
        }
        let Some(inputs) = foldable(model, node) else { continue };
        let shapes = &**inferred.get_or_insert_with(|| cx.shapes_of(model));
        let freed = freed(model, node, &inputs);
        let Some(size) = predicted(model, shapes, node) else {
            report.refuse(model.label(node), "the size of its result is not known beforehand");
            continue;
        };
        let growth = size.saturating_sub(freed);
        if growth > UNPACKED && unpacks(model, node) {
            report.refuse(model.label(node), "its integers are stored to be small");
            continue;
        }
        let too_large = format!("its result would add {growth} bytes to the model");
        if growth > ledger.limits.tensor_growth {
            report.refuse(model.label(node), too_large);
            continue;
        }
        match compute(model, node, &inputs) {
            Computed::Outputs(outputs) if !ledger.admits(growth, &outputs) => {
                report.refuse(model.label(node), too_large);
            }
            Computed::Outputs(outputs) => {
                report.did(model.label(node), "computed");
                model.fold_node(node, outputs);
            }
            Computed::Failed(reason) => report.refuse(model.label(node), reason),
            Computed::Left => {}
        }
    }
    report
}

/// Bytes by which floats may be larger than the integers they are made of; more, and the integers are
/// a compressed weight.
const UNPACKED: usize = 1024;

/// A Cast of integers of at most 16 bits.
fn unpacks(model: &Model, node: NodeId) -> bool {
    let entry = model.node(node);
    let small = |tensor: Tensor| tensor.dtype().is_integer() && tensor.dtype().bits() <= 16;
    entry.is("Cast") && entry.input(0).and_then(|value| constant(model, value)).is_some_and(small)
}

/// Operators that are not computed: random ones; and quantization, which is there on purpose.
pub(in crate::passes) const NEVER: &[&str] = &[
    "Constant",
    "RandomNormal",
    "RandomNormalLike",
    "RandomUniform",
    "RandomUniformLike",
    "Multinomial",
    "Bernoulli",
    "Dropout",
    "QuantizeLinear",
    "DequantizeLinear",
    "DynamicQuantizeLinear",
];

/// The inputs of a node that may be computed.
fn foldable(model: &Model, id: NodeId) -> Option<Vec<Option<Tensor>>> {
    let node = model.node(id);
    let plain = node.is_standard()
        && !NEVER.contains(&node.op())
        && node.bodies().next().is_none()
        && node.inputs().iter().any(Option::is_some)
        && model.function_of(node).is_none();
    // An output of the graph must be produced by a node in older IR versions.
    let internal = node.outputs().iter().flatten().all(|&o| !model.value(o).is_output());
    if !plain || !internal || model.is_kept(id) {
        return None;
    }
    let inputs = node.inputs().iter();
    inputs.map(|input| input.map_or(Some(None), |v| constant(model, v).map(Some))).collect()
}

/// Bytes that are no longer needed once the node is computed.
fn freed(model: &Model, node: NodeId, inputs: &[Option<Tensor>]) -> usize {
    let values = model.node(node).inputs().iter();
    values
        .zip(inputs)
        .filter_map(|(value, tensor)| Some(((*value)?, tensor.as_ref()?)))
        .filter(|(value, _)| model.value(*value).only_consumer().is_some())
        .map(|(_, tensor)| tensor.byte_size())
        .sum()
}

/// Bytes of the outputs that are used; `None` when shape inference does not know.
fn predicted(model: &Model, shapes: &Shapes, node: NodeId) -> Option<usize> {
    let mut total = 0usize;
    for &output in model.node(node).outputs().iter().flatten() {
        let dims = shapes.fixed_dims(output)?;
        let dtype = shapes.dtype(output).unwrap_or(DType::Double);
        let count = crate::tensor::element_count(&dims)?;
        total = total.checked_add(dtype.byte_len(count).unwrap_or(count))?;
    }
    Some(total)
}
