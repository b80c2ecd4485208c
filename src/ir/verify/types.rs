//! Element types: what is certain about the inputs of a node against the type constraints.

use crate::ir::schema::{Formal, Role, Schema};
use crate::ir::verify::Findings;
use crate::ir::verify::nodes::Operator;
use crate::ir::{AttrValue, Constant, Def, Model, Node, NodeId, ValueId};
use crate::tensor::{DType, Tensor};

/// The tensor of an initializer, of an input's default, or of a Constant node.
pub(super) fn constant(model: &Model, value: ValueId) -> Option<&Tensor> {
    match &model.value(value).def {
        Def::Initializer(Constant::Dense(stored))
        | Def::Input { default: Some(Constant::Dense(stored)) } => Some(&stored.tensor),
        Def::Output { node, .. } => {
            let producer = model.node(*node);
            if !producer.is("Constant") {
                return None;
            }
            match producer.attr("value") {
                Some(AttrValue::Tensor(stored)) => Some(&stored.tensor),
                _ => None,
            }
        }
        _ => None,
    }
}

/// The element type that a value has for certain: that of a constant, or of an input of the
/// model. What is declared about values inside is a hint, and files hold wrong ones.
fn certain(model: &Model, value: ValueId) -> Option<DType> {
    let entry = model.value(value);
    let input = || {
        let outer = entry.graph == model.main() && entry.is_input();
        entry.tensor_type().filter(|_| outer).map(|ty| ty.dtype)
    };
    constant(model, value).map(Tensor::dtype).or_else(input)
}

/// Checks the inputs of a node whose arity is right.
pub(super) fn check(
    model: &Model,
    id: NodeId,
    node: &Node,
    operator: Operator,
    findings: &mut Findings,
) {
    let mut bound: Vec<(&str, usize, ValueId, DType)> = Vec::new();
    for (slot, &input) in node.inputs.iter().enumerate() {
        let Some(value) = input else { continue };
        let (Some(formal), Some(dtype)) = (operator.schema.input(slot), certain(model, value))
        else {
            continue;
        };
        if !formal.types.has(dtype) {
            let message = forbidden(model, operator.schema, formal, value, dtype);
            // Exporters write newer element types at older versions, and some runtimes take them.
            let allows = |s: &Schema| s.input(slot).is_some_and(|f| f.types.has(dtype));
            findings.either(!operator.history.iter().any(allows), model.label(id), message);
        }
        let Some(variable) = formal.variable.filter(|_| formal.role != Role::Mixed) else {
            continue;
        };
        match bound.iter().find(|(known, ..)| *known == variable) {
            None => bound.push((variable, slot, value, dtype)),
            Some(&(_, other_slot, other, other_dtype)) if other_dtype != dtype => {
                let name = |value| model.value(value).name();
                let message = format!(
                    "inputs `{}` ({other_dtype}) and `{}` ({dtype}) must have one element type",
                    name(other),
                    name(value)
                );
                let wrong = !operator.history.iter().any(|s| may_differ(s, other_slot, slot));
                findings.either(wrong, model.label(id), message);
            }
            Some(_) => {}
        }
    }
}

/// Whether a version of the operator takes different types at two inputs.
fn may_differ(schema: &Schema, a: usize, b: usize) -> bool {
    match (schema.input(a), schema.input(b)) {
        (Some(a), Some(b)) => a.variable != b.variable,
        _ => false,
    }
}

fn forbidden(
    model: &Model,
    schema: &Schema,
    formal: &Formal,
    value: ValueId,
    dtype: DType,
) -> String {
    let allowed: Vec<&str> = formal.types.dtypes().map(DType::name).collect();
    format!(
        "input `{}` is {dtype}, but `{}` of {} at version {} is one of: {}",
        model.value(value).name(),
        formal.name,
        schema.op,
        schema.since,
        allowed.join(", ")
    )
}
