//! What other tools write, against the rules of the format, and runtimes read all the same: it is read as ONNX
//! Runtime reads it, put in order, and noted.

use std::collections::HashMap;

use smol_str::SmolStr;

use crate::ir::schema::{self, canonical};
use crate::ir::{Header, Model, Node, ValueId, ir_version_for};

/// The first IR version in which models import operator sets.
const FIRST_OPSET_IR: i64 = 3;

/// Domains that ONNX Runtime knows without their being imported and ONNX does not define, with their version.
const RUNTIME_DOMAINS: &[(&str, i64)] = &[
    ("com.microsoft", 1),
    ("com.microsoft.nchwc", 1),
    ("com.microsoft.experimental", 1),
    ("org.pytorch.aten", 1),
];

/// Domains of ONNX that ONNX Runtime knows without their being imported.
const STANDARD_DOMAINS: &[&str] = &["ai.onnx", "ai.onnx.ml"];

/// Puts the imports of a model, or of the body of a function, in order: those that are there twice, and those that
/// are missing. `ir_version` is that of the model.
pub(super) fn imports(model: &mut Model, ir_version: Option<i64>, notes: &mut Vec<String>) {
    twice(&mut model.header, notes);
    missing(model, ir_version, notes);
}

/// Of several imports of a domain the last one counts.
fn twice(header: &mut Header, notes: &mut Vec<String>) {
    if header.opsets.len() < 2 {
        return;
    }
    let mut last: HashMap<&str, usize> = HashMap::new();
    for (i, (domain, _)) in header.opsets.iter().enumerate() {
        last.insert(canonical(domain), i);
    }
    let mut kept = vec![true; header.opsets.len()];
    for (i, (domain, version)) in header.opsets.iter().enumerate() {
        let (other, counts) = &header.opsets[last[canonical(domain)]];
        if last[canonical(domain)] == i || (version == counts && domain != other) {
            // Both spellings of the default domain, with one version, contradict nothing.
            continue;
        }
        kept[i] = false;
        let domain = canonical(domain);
        notes.push(if version == counts {
            format!("operator set `{domain}` is imported twice as version {version}: taken once")
        } else {
            format!(
                "operator set `{domain}` is imported as version {version} and later as version \
                 {counts}: the last one counts, as in ONNX Runtime"
            )
        });
    }
    let mut keep = kept.iter();
    header.opsets.retain(|_| keep.next() != Some(&false));
    let mut keep = kept.iter();
    header.opsets_carried.retain(|_| keep.next() != Some(&false));
}

/// Imports the domains of nodes that ONNX Runtime knows in any case. A model that imports nothing at all is
/// damaged, and stays as it is.
fn missing(model: &mut Model, ir_version: Option<i64>, notes: &mut Vec<String>) {
    if model.header.opsets.is_empty() || ir_version.is_some_and(|ir| ir < FIRST_OPSET_IR) {
        return;
    }
    let mut found: Vec<(String, i64)> = Vec::new();
    let all = || model.graphs().flat_map(|graph| model.nodes_of(graph)).map(|(_, node)| node);
    let (mut last, mut known) = ("", true);
    for node in all() {
        let domain = canonical(&node.domain);
        if domain != last || last.is_empty() {
            last = domain;
            known = model.opset_of(domain).is_some() || found.iter().any(|(d, _)| d == domain);
        }
        if !known && let Some(version) = version_of(domain, ir_version, &all) {
            found.push((domain.to_owned(), version));
            known = true;
        }
    }
    for (domain, version) in found {
        notes.push(format!(
            "operator set `{domain}` is used but not imported: version {version} is taken, as in ONNX Runtime"
        ));
        let spelled = if domain == canonical("") { "" } else { &domain };
        model.import(spelled, version);
    }
}

/// The version of a domain that is to be imported; `None` for a domain that ONNX Runtime does not know by itself.
fn version_of<'a, N>(domain: &str, ir_version: Option<i64>, nodes: &impl Fn() -> N) -> Option<i64>
where
    N: Iterator<Item = &'a Node>,
{
    if let Some((_, version)) = RUNTIME_DOMAINS.iter().find(|(name, _)| *name == domain) {
        return Some(*version);
    }
    if !STANDARD_DOMAINS.contains(&domain) {
        return None;
    }
    let latest = schema::latest_opset(domain)?;
    let of_file = |version: &i64| {
        domain != canonical("") || ir_version.is_none_or(|ir| ir_version_for(*version) <= ir)
    };
    let mut versions = (1..=latest).rev().filter(of_file);
    // The newest in which the nodes mean something.
    let fits = |version: i64| {
        nodes().filter(|node| canonical(&node.domain) == domain).all(|node| fits(node, version))
    };
    versions.clone().find(|&version| fits(version)).or_else(|| versions.next())
}

/// Whether an operator set has a node's operator, with its attributes, and without advice against it.
fn fits(node: &Node, version: i64) -> bool {
    let Some(schema) = schema::find(&node.domain, &node.op, version) else { return false };
    !schema.deprecated
        && node.attributes.iter().all(|attribute| schema.attribute(&attribute.name).is_some())
}

/// Gives values a name of their own that have that of another: those of bodies, and `replaced` ones, which have
/// lost theirs.
pub(super) fn names(model: &mut Model, replaced: &[(ValueId, SmolStr)], notes: &mut Vec<String>) {
    for (value, former) in replaced {
        model.name_afresh(*value, former);
    }
    if let Some((value, former)) = replaced.first() {
        let renamed = model.value(*value).name();
        notes.push(format!(
            "value `{former}` is made by several Constant nodes: the last one counts, as in ONNX Runtime, and the \
             other is renamed `{renamed}`{}",
            such(replaced.len())
        ));
    }
    let hiding = model.rename_hiding();
    if let Some((value, name)) = hiding.first() {
        let entry = model.value(*value);
        let body = model.graph(entry.graph()).name();
        notes.push(format!(
            "body `{body}`: value `{name}` has the name of a value around it and is renamed `{}`{}",
            entry.name(),
            such(hiding.len())
        ));
    }
}

fn such(count: usize) -> String {
    if count > 1 { format!(" ({count} such values)") } else { String::new() }
}
