//! What tract would compute wrongly without saying so, or cannot compute at all.
//!
//! Each entry was measured against onnxruntime; see `docs/ENGINE.md`.

use crate::error::{Error, ErrorKind, Result, err};
use crate::exec::{integer, packed, recurrent};
use crate::ir::{Model, Node, NodeId};

/// Domains in which tract's operators mean what the domain says; it looks only at the type.
const KNOWN_DOMAINS: &[&str] = &["", "ai.onnx", "ai.onnx.ml", "com.microsoft"];

/// Operators of `com.microsoft` that share their name, but not their meaning, with a standard one.
const AMBIGUOUS: &[&str] = &["Attention"];

/// Checks every node of a model without functions; `is_known` tells whether the engine has an operator of this type.
pub(super) fn check(model: &Model, is_known: impl Fn(&str) -> bool) -> Result<()> {
    for id in model.all_nodes() {
        let node = model.node(id);
        let reason = if !KNOWN_DOMAINS.contains(&node.domain())
            || (node.domain() == "com.microsoft" && AMBIGUOUS.contains(&node.op()))
        {
            Some(format!("operators of domain `{}` are unknown to tract", node.domain()))
        } else if !is_known(node.op())
            && !integer::is_spelled_out(node)
            && !packed::is_spelled_out(node)
        {
            Some(format!("tract does not implement {}", node.op()))
        } else {
            wrong(model, node)
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
        "LSTM" | "GRU" | "RNN" => recurrent::obstacle(model, node).map(Into::into),
        "DynamicQuantizeLSTM" if node.attr_str("direction") == Some("reverse") => {
            Some("tract computes direction `reverse` wrongly".into())
        }
        "BatchNormalization" if int("training_mode") != 0 => {
            Some("tract does not implement training mode".into())
        }
        "SpaceToDepth" if node.attr_str("mode") == Some("CRD") => {
            Some("tract ignores mode `CRD`".into())
        }
        "Attention" if given(4) || given(5) || given(6) || node.attr_float("softcap").is_some() => {
            Some("tract computes caches and soft caps of Attention wrongly".into())
        }
        "BitShift" => Some("tract computes shifts beyond the width wrongly".into()),
        _ => random(model, node).map(Into::into),
    }
}

/// Refuses nodes whose output is another one in each run: a comparison would say nothing.
pub(super) fn check_random(model: &Model) -> Result<()> {
    let random = |id| Some(unsupported(model, id, random(model, model.node(id))?));
    model.all_nodes().into_iter().find_map(random).map_or(Ok(()), Err)
}

/// Why two runs of this node differ.
fn random(model: &Model, node: &Node) -> Option<&'static str> {
    match node.op() {
        "Dropout" => {
            let training = model.value(node.input(2)?).initializer().map(|t| t.bytes().to_vec());
            (training != Some(vec![0])).then_some("training mode is random")
        }
        "RandomNormal" | "RandomUniform" | "RandomNormalLike" | "RandomUniformLike"
        | "Multinomial" | "Bernoulli" => Some("its output is random"),
        _ => None,
    }
}

/// An error for an element type of a graph input that tract does not have.
pub(super) fn no_type(name: &str, dtype: crate::tensor::DType) -> Error {
    err!(Engine, "input `{name}`: tract has no {dtype} tensors")
}
