//! If, Loop, Scan and Cast: what their bodies and attributes must say beyond the schema.

use crate::ir::verify::Findings;
use crate::ir::{AttrValue, Def, GraphId, Model, Node, NodeId};
use crate::tensor::DType;

/// The first version of Cast whose `to` is a number.
const FIRST_NUMBERED_CAST: i64 = 6;
/// The first version of Scan without `sequence_lens`.
const FIRST_PLAIN_SCAN: i64 = 9;
/// Inputs of Loop before the carried values: trip count and condition.
const LOOP_INPUTS: usize = 2;

/// Checks a node of the default domain that fits its schema, which is in force `since`.
pub(super) fn check(model: &Model, id: NodeId, node: &Node, since: i64, findings: &mut Findings) {
    let body = |name: &str| match node.attr(name) {
        Some(AttrValue::Graph(body)) => Some(*body),
        _ => None,
    };
    let counted = |body: GraphId| model.graph(body).outputs.len();
    let mut wrong = |message: String| findings.violation(model.label(id), message);
    let outputs = node.outputs.len();
    match node.op() {
        "If" => {
            let (Some(then), Some(otherwise)) = (body("then_branch"), body("else_branch")) else {
                return;
            };
            let (then, otherwise) = (counted(then), counted(otherwise));
            if then != otherwise {
                wrong(format!(
                    "`then_branch` has {then} outputs, but `else_branch` has {otherwise}"
                ));
            } else if outputs > then {
                wrong(format!("lists {outputs} outputs, but its branches have {then}"));
            }
        }
        "Loop" => {
            let Some(body) = body("body") else { return };
            let given = node.inputs.len().max(LOOP_INPUTS);
            takes(model, body, given, &mut wrong);
            // The body returns the condition, which the node does not.
            let returned = counted(body);
            let least = outputs.max(given - LOOP_INPUTS) + 1;
            if returned < least {
                wrong(format!(
                    "its body has {returned} outputs; condition, carried values and outputs need \
                     at least {least}"
                ));
            }
        }
        "Scan" if since >= FIRST_PLAIN_SCAN => {
            let Some(body) = body("body") else { return };
            takes(model, body, node.inputs.len(), &mut wrong);
            if counted(body) < outputs {
                wrong(format!("lists {outputs} outputs, but its body has {}", counted(body)));
            }
        }
        "Cast" if since >= FIRST_NUMBERED_CAST => {
            let known = |to| i32::try_from(to).ok().and_then(DType::from_onnx).is_some();
            if let Some(to) = node.attr_int("to").filter(|&to| !known(to)) {
                wrong(format!("attribute `to` is {to}, which is no element type"));
            }
        }
        _ => {}
    }
}

/// A body must take `given` inputs; those with a default may be left out.
fn takes(model: &Model, body: GraphId, given: usize, wrong: &mut impl FnMut(String)) {
    let inputs = model.graph(body).inputs();
    let optional = |def: &Def| matches!(def, Def::Input { default: Some(_) });
    let defaults = inputs.iter().filter(|&&input| optional(&model.value(input).def)).count();
    if !(inputs.len() - defaults..=inputs.len()).contains(&given) {
        wrong(format!("gives its body {given} inputs, but the body takes {}", inputs.len()));
    }
}
