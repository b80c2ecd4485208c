//! Inputs whose elements are rows of a table: token ids, categories.

use std::collections::BTreeMap;

use crate::analysis::constant;
use crate::ir::{Def, Model, NodeId, ValueId};

/// Operators that leave integers what they are.
const PASSING: &[&str] = &[
    "Cast",
    "Identity",
    "Reshape",
    "Flatten",
    "Squeeze",
    "Unsqueeze",
    "Transpose",
    "Slice",
    "Expand",
    "Concat",
    "Split",
];

/// For each input of the main graph, by name, that looks up rows of constant tables: how many rows the
/// smallest of them has.
pub fn lookups(model: &Model) -> BTreeMap<String, u64> {
    let mut reached: BTreeMap<ValueId, ValueId> = BTreeMap::new();
    for &input in model.graph(model.main()).inputs() {
        if matches!(model.value(input).def(), Def::Input { default: None }) {
            reached.insert(input, input);
        }
    }
    let mut found: BTreeMap<String, u64> = BTreeMap::new();
    for (node, entry) in model.nodes_of(model.main()) {
        if let Some((input, rows)) =
            table(model, node).and_then(|(index, rows)| Some((*reached.get(&index)?, rows)))
        {
            let least = found.entry(model.value(input).name().to_owned()).or_insert(rows);
            *least = rows.min(*least);
        }
        if PASSING.iter().any(|op| entry.is(op)) {
            let source =
                entry.inputs().iter().flatten().find_map(|value| reached.get(value).copied());
            if let Some(source) = source {
                reached.extend(entry.outputs().iter().flatten().map(|&output| (output, source)));
            }
        }
    }
    found
}

/// What a Gather of rows takes for their numbers, and how many rows there are.
fn table(model: &Model, node: NodeId) -> Option<(ValueId, u64)> {
    let entry = model.node(node);
    if !entry.is("Gather") || entry.attr_int("axis").unwrap_or(0) != 0 {
        return None;
    }
    let rows = *constant(model, entry.input(0)?)?.dims().first()?;
    Some((entry.input(1)?, rows as u64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read;

    #[test]
    fn ids_are_followed_to_the_smallest_table() {
        let model = read::text(
            r#"<ir_version: 8, opset_import: ["" : 17]>
            g (int64[1,4] ids, int64[1,4] kinds, float[1,4] x) => (float[1,4,2] y, float[1,4,2] z)
            <float[3,2] small = {1, 2, 3, 4, 5, 6}, float[4,2] large = {1, 2, 3, 4, 5, 6, 7, 8}, int64[2] flat = {1, 4}>
            {
                narrow = Cast <to = 6> (ids)
                same = Reshape (narrow, flat)
                y = Gather (large, same)
                z0 = Gather (large, kinds)
                z1 = Gather (small, kinds)
                z2 = Gather <axis = 1> (small, ids)
                z = Add (z0, z1)
            }"#,
        )
        .unwrap();
        let expected = [("ids".to_owned(), 4), ("kinds".to_owned(), 3)];
        assert_eq!(lookups(&model), expected.into());
    }
}
