//! Outputs that are decisions rather than numbers: the index of the largest score, the boxes that stay.
//!
//! Class 3 is no closer to class 4 than to class 9: such outputs are equal or they are not.

use crate::analysis::constant;
use crate::ir::{Model, ValueId};

/// Where the indices of an output come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The numbers that are compared with each other, and the axis along which that is done, where there is
    /// one: what is added to all of them along it makes no difference.
    pub reads: Vec<(ValueId, Option<i64>)>,
}

/// Operators that leave indices what they are, or number them anew.
const PASSING: &[&str] = &[
    "Cast",
    "Identity",
    "Squeeze",
    "Unsqueeze",
    "Reshape",
    "Flatten",
    "Transpose",
    "Slice",
    "Expand",
    "Tile",
];
/// Operators that pick elements by indices.
const PICKING: &[&str] = &["Gather", "GatherElements", "GatherND"];
/// Operators of several indices, or of indices and constants.
const JOINING: &[&str] = &["Concat", "Add", "Sub", "Mul", "Div", "Mod"];

/// What decides about `value`; `None` when it has numbers, or one cannot say.
pub fn decision(model: &Model, value: ValueId) -> Option<Decision> {
    let mut reads = Vec::new();
    let mut left = vec![value];
    // Each node is met once on each way; a value with very many of them is no index.
    for _ in 0..model.node_count().max(1) {
        let Some(value) = left.pop() else { break };
        let entry = model.node(model.value(value).producer()?);
        let input = |slot: usize| entry.input(slot);
        if entry.is("ArgMax") || entry.is("ArgMin") {
            reads.push((input(0)?, Some(entry.attr_int("axis").unwrap_or(0))));
        } else if entry.is("TopK") && entry.output(1) == Some(value) {
            reads.push((input(0)?, Some(entry.attr_int("axis").unwrap_or(-1))));
        } else if entry.is("NonMaxSuppression") {
            reads.extend([(input(0)?, None), (input(1)?, None)]);
        } else if PASSING.iter().any(|op| entry.is(op)) {
            left.push(input(0)?);
        } else if PICKING.iter().any(|op| entry.is(op)) || entry.op() == "ArrayFeatureExtractor" {
            let table = constant(model, input(0)?);
            left.push(match table {
                // Names of classes are indices, too; rows of a codebook are numbers.
                Some(table) if table.dtype().is_float() => return None,
                Some(_) => input(1)?,
                None => input(0)?,
            });
        } else if JOINING.iter().any(|op| entry.is(op)) {
            let known = left.len();
            let open = entry.inputs().iter().flatten();
            left.extend(open.filter(|&&value| constant(model, value).is_none()));
            if left.len() == known {
                return None;
            }
        } else {
            return None;
        }
    }
    reads.sort_unstable();
    reads.dedup();
    (left.is_empty() && !reads.is_empty()).then_some(Decision { reads })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read;

    fn reads(body: &str) -> Option<Vec<(String, Option<i64>)>> {
        let text = format!(
            r#"<ir_version: 8, opset_import: ["" : 17]>
            g (float[2,5] x, float[1,6,4] boxes, float[1,1,6] scores, int64[2] n) => (y)
            <int64[5] names = {{7, 9, 11, 13, 15}}, float[5,2] book = {{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}},
             int64[1] k = {{2}}, int64 two = {{2}}>
            {{ {body} }}"#
        );
        let model = read::text(&text).unwrap();
        let output = model.graph(model.main()).outputs()[0].value;
        let named = |(value, axis): &(ValueId, _)| (model.value(*value).name().to_owned(), *axis);
        decision(&model, output).map(|found| found.reads.iter().map(named).collect())
    }

    #[test]
    fn indices_are_followed_to_what_they_compare() {
        let r = Some(vec![("r".to_owned(), Some(1))]);
        let cases = [
            ("r = Relu (x) y = ArgMax <axis = 1> (r)", r.clone()),
            ("r = Relu (x) a = ArgMin <axis = 1> (r) y = Cast <to = 1> (a)", r.clone()),
            ("r = Relu (x) v, i = TopK <axis = 1> (r, k) y = Mod (i, two)", r.clone()),
            ("r = Relu (x) a = ArgMax <axis = 1> (r) y = Gather (names, a)", r),
            ("r = Relu (x) v, i = TopK (r, k) y = Identity (v)", None),
            ("r = Relu (x) a = ArgMax (r) y = Gather (book, a)", None),
            ("y = Relu (x)", None),
            ("y = Identity (n)", None),
            ("r = Relu (x) a = ArgMax (r) y = Add (a, n)", None),
        ];
        for (body, expected) in cases {
            assert_eq!(reads(body), expected, "{body}");
        }
        let both = vec![("boxes".to_owned(), None), ("scores".to_owned(), None)];
        assert_eq!(reads("y = NonMaxSuppression (boxes, scores)"), Some(both));
    }
}
