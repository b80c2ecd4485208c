//! Attributes: names, and what the schema says of them.

use std::collections::HashSet;

use crate::ir::schema::AttrKind;
use crate::ir::verify::Findings;
use crate::ir::verify::nodes::Operator;

/// Up to this number of attributes, comparing all pairs is cheaper than hashing.
const FEW: usize = 16;

/// Attributes of any node, known or not, must have names, each its own.
pub(super) fn names<'a>(
    attributes: impl ExactSizeIterator<Item = (&'a str, Option<AttrKind>)> + Clone,
    place: impl Fn() -> String,
    findings: &mut Findings,
) {
    let count = attributes.len();
    if count == 0 {
        return;
    }
    let mut seen = HashSet::new();
    for (i, (name, _)) in attributes.clone().enumerate() {
        if name.is_empty() {
            findings.violation(place(), format!("attribute {i} has no name"));
            continue;
        }
        let repeated = match count {
            0..=FEW => attributes.clone().take(i).any(|(other, _)| other == name),
            _ => !seen.insert(name),
        };
        if repeated {
            findings.violation(place(), format!("attribute `{name}` is given twice"));
        }
    }
}

/// Compares attributes with the schema; an attribute without a kind (one that is carried) fits
/// every kind. False when the node cannot be checked
/// any further.
pub(super) fn known<'a>(
    operator: Operator,
    attributes: impl ExactSizeIterator<Item = (&'a str, Option<AttrKind>)> + Clone,
    place: impl Fn() -> String,
    findings: &mut Findings,
) -> bool {
    let before = findings.violations.len();
    let schema = operator.schema;
    for (name, kind) in attributes.clone() {
        match schema.attribute(name) {
            Some(spec) => {
                if let Some(kind) = kind.filter(|&kind| kind != spec.kind) {
                    let (expected, found) = (spec.kind.name(), kind.name());
                    let message = format!(
                        "attribute `{name}` has type {found}, but {} takes {expected}",
                        schema.op
                    );
                    findings.violation(place(), message);
                }
            }
            // Names that start so are for a runtime's own use.
            None if name.is_empty() || name.starts_with("__") => {}
            None => {
                let other = operator.history.iter().find(|s| s.attribute(name).is_some());
                let hint = other.map_or(String::new(), |other| {
                    format!("; version {} of the operator has it", other.since)
                });
                let message = format!(
                    "attribute `{name}` is unknown to {} at version {}{hint}",
                    schema.op, schema.since
                );
                findings.violation(place(), message);
            }
        }
    }
    for spec in schema.attributes.iter().filter(|spec| spec.required) {
        if !attributes.clone().any(|(name, _)| name == spec.name) {
            let message = format!("attribute `{}` ({}) is missing", spec.name, spec.kind.name());
            findings.violation(place(), message);
        }
    }
    findings.violations.len() == before
}
