//! Versions, metadata, graph inputs and outputs: what the file says before its nodes.

use std::collections::HashMap;

use crate::ir::verify::Findings;
use crate::ir::{Constant, Def, Model, ValueId, ValueType, schema};

/// The newest version of the file format that onnxpress knows (onnx 1.23).
const NEWEST_IR: i64 = 14;
/// From this IR version on, a model imports its operator sets.
const FIRST_OPSET_IR: i64 = 3;
/// From this IR version on, an initializer need not be listed as a graph input.
const FIRST_FREE_IR: i64 = 4;
/// A version may be this much newer than the newest one known, and is read with a warning: about
/// three years of ONNX releases. What is far beyond is no version but a damaged or hostile file.
const MARGIN: i64 = 8;

/// Checks the header and the public face of the main graph.
pub(super) fn check(model: &Model, findings: &mut Findings) {
    ir_version(model, findings);
    let header = &model.header;
    if header.opsets.is_empty() && header.ir_version.is_none_or(|v| v >= FIRST_OPSET_IR) {
        findings.violation("model", "imports no operator set; opset_import must name at least one");
    }
    imports(&header.opsets, findings);
    inputs(model, findings);
    initializers(model, findings);
    if model.graph(model.main()).outputs.is_empty() {
        let place = format_args!("graph `{}`", model.graph(model.main()).name);
        findings.violation(place, "has no output, so it computes nothing");
    }
}

fn ir_version(model: &Model, findings: &mut Findings) {
    let Some(version) = model.header.ir_version else {
        findings.violation("model", "ir_version is missing; every ONNX file states it");
        return;
    };
    let expected = format!("known are IR versions 1 to {NEWEST_IR}");
    if !(1..=NEWEST_IR + MARGIN).contains(&version) {
        findings.violation("model", format!("ir_version is {version}; {expected}"));
    } else if version > NEWEST_IR {
        findings
            .warning("model", format!("ir_version {version} is newer than onnxpress; {expected}"));
    }
}

/// The imported operator sets by canonical domain; the first IR versions imply the default one.
pub(super) fn versions(opsets: &[(String, i64)], ir_version: Option<i64>) -> HashMap<&str, i64> {
    let mut versions = HashMap::new();
    for (domain, version) in opsets {
        versions.entry(schema::canonical(domain)).or_insert(*version);
    }
    if opsets.is_empty() && ir_version.is_some_and(|version| version < FIRST_OPSET_IR) {
        versions.insert(schema::canonical(""), 1);
    }
    versions
}

/// Checks the imports of a model or a function, one by one.
pub(super) fn imports(opsets: &[(String, i64)], findings: &mut Findings) {
    let mut seen: HashMap<&str, i64> = HashMap::new();
    for (domain, version) in opsets {
        let domain = schema::canonical(domain);
        let place = format_args!("operator set `{domain}`");
        if let Some(other) = seen.insert(domain, *version).filter(|other| other != version) {
            let message = format!("is imported as version {other} and as version {version}");
            findings.violation(place, message);
        }
        let Some(latest) = schema::latest_opset(domain) else {
            if *version < 1 {
                findings.warning(place, format!("version {version}; versions start at 1"));
            }
            continue;
        };
        let found = format!("version {version}; onnxpress knows versions 1 to {latest}");
        if *version < 1 || *version > latest + MARGIN {
            findings.violation(place, found);
        } else if *version > latest {
            findings.warning(place, format!("{found}, so its operators are not checked"));
        }
    }
}

fn inputs(model: &Model, findings: &mut Findings) {
    for &input in model.graph(model.main()).inputs() {
        let value = model.value(input);
        let typed = match &value.info().ty {
            None => matches!(value.def, Def::Input { default: Some(_) }),
            Some(ValueType::Opaque(encoded)) => !encoded.is_empty(),
            Some(ValueType::Tensor(_)) => true,
        };
        if !typed {
            findings.violation(format_args!("input `{}`", value.name), "declares no type");
        }
    }
}

/// What is declared about an initializer must fit its tensor.
fn initializers(model: &Model, findings: &mut Findings) {
    let main = model.main();
    let listed_free = model.header.ir_version.is_none_or(|version| version >= FIRST_FREE_IR);
    let mut unlisted: Option<(ValueId, usize)> = None;
    for (id, value) in model.values() {
        let (Def::Initializer(constant) | Def::Input { default: Some(constant) }) = &value.def
        else {
            continue;
        };
        if !listed_free && value.graph == main && matches!(value.def, Def::Initializer(_)) {
            unlisted.get_or_insert((id, 0)).1 += 1;
        }
        let (Constant::Dense(stored), Some(declared)) = (constant, value.tensor_type()) else {
            continue;
        };
        let tensor = &stored.tensor;
        if declared.dtype != tensor.dtype() {
            findings.violation(
                format_args!("initializer `{}`", value.name),
                format!("is declared as {}, but holds {}", declared.dtype, tensor.dtype()),
            );
        } else if declared.fixed_dims().is_some_and(|dims| dims != tensor.dims()) {
            findings.warning(
                format_args!("initializer `{}`", value.name),
                format!("is declared with other dims than {:?}, which it has", tensor.dims()),
            );
        }
    }
    if let Some((first, count)) = unlisted {
        findings.warning(
            format_args!("initializer `{}`", model.value(first).name),
            format!(
                "and {} more are no graph inputs, as IR versions below {FIRST_FREE_IR} ask for",
                count - 1
            ),
        );
    }
}
