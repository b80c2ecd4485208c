//! Patterns that name nodes.

use crate::ir::{Model, NodeId};

/// The first of `patterns` that a node fits: its name, or behind `op:` its operator; `*` stands for any text. A node
/// without a name goes by its first output.
pub fn fitting<'a>(model: &Model, node: NodeId, patterns: &'a [String]) -> Option<&'a String> {
    let name = model.name_of(node);
    patterns.iter().find(|pattern| match pattern.strip_prefix("op:") {
        Some(op) => matches(op, model.node(node).op()),
        None => matches(pattern, name),
    })
}

/// Whether `name` fits `pattern`, in which `*` stands for any text.
fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| name.strip_prefix(first)) else {
        return false;
    };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.len() >= last.len() && rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns() {
        assert!(matches("conv1", "conv1") && !matches("conv1", "conv10"));
        assert!(matches("*", "") && matches("/layer*/Conv", "/layer3/Conv"));
        assert!(matches("*Conv*", "/a/Conv_1") && !matches("a*a", "a"));
    }
}
