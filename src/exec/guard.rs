//! What tract would compute wrongly without saying so, or cannot compute at all.
//!
//! Each entry was measured against onnxruntime; see `docs/ENGINE.md`.

use std::collections::HashSet;

use crate::analysis::constant;
use crate::error::{Error, ErrorKind, Result, err};
use crate::ir::{Model, Node, NodeId, ValueId};

/// Domains in which tract's operators mean what the domain says; it looks only at the type.
const KNOWN_DOMAINS: &[&str] = &["", "ai.onnx", "ai.onnx.ml", "com.microsoft"];

/// Operators of `com.microsoft` that share their name, but not their meaning, with a standard one.
const AMBIGUOUS: &[&str] = &["Attention"];

/// Checks every node of a model without functions; `is_known` tells whether the engine has an operator of this type.
pub(super) fn check(model: &Model, is_known: impl Fn(&str) -> bool) -> Result<()> {
    let mut sparse = model.graphs().flat_map(|graph| model.sparse_initializers_of(graph));
    if let Some(value) = sparse.next() {
        let name = model.value(value).name();
        return Err(err!(Engine, "tract does not know sparse initializers")
            .at(format_args!("initializer `{name}`")));
    }
    for id in model.all_nodes() {
        let node = model.node(id);
        let reason = if !KNOWN_DOMAINS.contains(&node.domain())
            || (node.domain() == "com.microsoft" && AMBIGUOUS.contains(&node.op()))
        {
            Some(format!("operators of domain `{}` are unknown to tract", node.domain()))
        } else if !is_known(node.op()) {
            Some(format!("tract does not implement {}", node.op()))
        } else {
            wrong(model, node).or_else(|| {
                let thinned = node.is("Softmax") || node.is("LogSoftmax");
                let by = thinned.then(|| thinned_by(model, node)).flatten()?;
                Some(format!("tract may skip elements before it instead of at {by}"))
            })
        };
        if let Some(reason) = reason {
            return Err(unsupported(model, id, &reason));
        }
    }
    Ok(())
}

fn unsupported(model: &Model, node: NodeId, reason: &str) -> Error {
    Error::new(ErrorKind::Engine, reason).at(model.label(node))
}

/// Why tract's answer for this node cannot be trusted.
fn wrong(model: &Model, node: &Node) -> Option<String> {
    let int = |name: &str| node.attr_int(name).unwrap_or(0);
    let given = |slot: usize| node.input(slot).is_some();
    match node.op() {
        "LSTM" | "GRU" | "RNN" if node.attr_str("direction") == Some("reverse") => {
            Some("tract computes direction `reverse` wrongly".into())
        }
        "BatchNormalization" if int("training_mode") != 0 => {
            Some("tract does not implement training mode".into())
        }
        "Dropout" if given(2) => {
            let training = model.value(node.input(2)?).initializer().map(|t| t.bytes().to_vec());
            (training != Some(vec![0])).then(|| "training mode is random".into())
        }
        "SpaceToDepth" if node.attr_str("mode") == Some("CRD") => {
            Some("tract ignores mode `CRD`".into())
        }
        "Attention" if given(4) || given(5) || given(6) || node.attr_float("softcap").is_some() => {
            Some("tract computes caches and soft caps of Attention wrongly".into())
        }
        "BitShift" => Some("tract computes shifts beyond the width wrongly".into()),
        "RandomNormal" | "RandomUniform" | "RandomNormalLike" | "RandomUniformLike"
        | "Multinomial" | "Bernoulli" => Some("its output is random".into()),
        _ => None,
    }
}

/// A node behind a normalizing one that skips elements, when tract may skip them before it: its
/// optimizer takes all axes of Softmax for independent, and moves strides up to the inputs.
fn thinned_by(model: &Model, normalizing: &Node) -> Option<String> {
    let mut pending: Vec<ValueId> = normalizing.outputs().iter().flatten().copied().collect();
    let mut seen: HashSet<ValueId> = pending.iter().copied().collect();
    while let Some(value) = pending.pop() {
        for (id, slot) in model.value(value).consumers() {
            let node = model.node(id);
            let skips = match node.op() {
                "Conv" => node.attr_ints("strides").is_some_and(|s| s.iter().any(|&s| s != 1)),
                "Slice" => node.input(4).is_some_and(|steps| !all_ones(model, steps)),
                _ => false,
            };
            if skips && slot == 0 {
                return Some(model.label(id));
            }
            // A stride stays behind what gives the elements another form.
            if !matches!(node.op(), "Reshape" | "Flatten") {
                let outputs = node.outputs().iter().flatten().copied();
                pending.extend(outputs.filter(|&output| seen.insert(output)));
            }
        }
    }
    None
}

/// Whether a value is a constant of ones.
fn all_ones(model: &Model, value: ValueId) -> bool {
    let ints = constant(model, value).and_then(|tensor| tensor.to_i64().ok());
    ints.is_some_and(|ints| ints.iter().all(|&int| int == 1))
}

/// An error for an element type of a graph input that tract does not have.
pub(super) fn no_type(name: &str, dtype: crate::tensor::DType) -> Error {
    err!(Engine, "input `{name}`: tract has no {dtype} tensors")
}
