//! Outputs that are decisions rather than numbers: the index of the largest score, the boxes that stay.
//!
//! Class 3 is no closer to class 4 than to class 9: such outputs are equal or they are not.

use std::collections::HashSet;

use crate::analysis::{Shapes, constant};
use crate::ir::{Model, ValueId};

/// Where the indices of an output come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The numbers that are compared with each other, and the axis along which that is done, where there is
    /// one: what is added to all of them along it makes no difference.
    pub reads: Vec<(ValueId, Option<i64>)>,
}

/// How two versions of an output can be compared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OutputKind {
    /// Its elements are indices: equal or not, with no distance between them.
    pub is_indices: bool,
    /// Its dims depend on the data: two models may give unlike ones in the same run.
    pub is_open: bool,
}

impl OutputKind {
    /// Of each output of `model`, with shapes for which all inputs have fixed dims.
    pub fn all(model: &Model, shapes: &Shapes) -> Vec<Self> {
        let outputs = model.graph(model.main()).outputs().iter().map(|output| output.value);
        outputs.map(|value| Self::of(model, shapes, value)).collect()
    }

    fn of(model: &Model, shapes: &Shapes, value: ValueId) -> Self {
        let is_open = shapes.fixed_dims(value).is_none();
        // As many integers as the data want are places, sizes or classes of something.
        let counts = shapes.dtype(value).is_some_and(|dtype| !dtype.is_float());
        Self { is_indices: decision(model, value).is_some() || is_open && counts, is_open }
    }
}

/// Operators that give as much as the data want.
const CHOOSING: &[&str] = &["Compress", "NonMaxSuppression", "NonZero", "Unique"];

/// The nearest floats with fixed dims, of which a value is computed that has none: what was chosen, and what that
/// was chosen by. Nothing where no operator in between chooses.
pub fn chosen_from(model: &Model, shapes: &Shapes, value: ValueId) -> Vec<ValueId> {
    let (mut found, mut left, mut seen) = (Vec::new(), vec![value], HashSet::from([value]));
    let mut chosen = false;
    while let Some(value) = left.pop() {
        let is_float = shapes.dtype(value).is_some_and(|dtype| dtype.is_float());
        let Some(producer) = model.value(value).producer() else { continue };
        let outer = model.value(value).graph() == model.main();
        if is_float && outer && shapes.fixed_dims(value).is_some() {
            if constant(model, value).is_none() {
                found.push(value);
            }
            continue;
        }
        chosen |= CHOOSING.iter().any(|op| model.node(producer).is(op));
        left.extend(model.reads(producer).into_iter().filter(|&read| seen.insert(read)));
    }
    found.sort_unstable();
    if chosen { found } else { Vec::new() }
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
        } else if entry.is("Unique") && entry.output(0) != Some(value) {
            reads.push((input(0)?, None));
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

    #[test]
    fn outputs_of_open_dims_are_followed_to_what_they_were_chosen_from() {
        let floats = "r = Relu (x) s = Sigmoid (x)";
        let cases: [(&str, bool, bool, &[&str]); 7] = [
            ("y = Relu (x)", false, false, &[]),
            ("y = NonZero (s)", true, true, &["s"]),
            (
                "c = Greater (s, half) f = Flatten <axis = 0> (c) g = Reshape (f, all) y = Compress (g, r)",
                false,
                true,
                &["r", "s"],
            ),
            ("u, i, v, n = Unique (r) y = Identity (u)", false, true, &["r"]),
            ("u, i, y, n = Unique (r)", true, true, &["r"]),
            ("m, n = TopK <axis = 1> (r, k) y = Identity (n)", true, false, &["r"]),
            ("i = NonZero (s) t = Transpose (i) y = GatherND (r, t)", false, true, &["r", "s"]),
        ];
        for (body, is_indices, is_open, expected) in cases {
            let text = format!(
                r#"<ir_version: 8, opset_import: ["" : 17]> g (float[2,5] x) => (y)
                <float half = {{0.5}}, int64[1] all = {{-1}}, int64[1] k = {{2}}> {{ {floats} {body} }}"#
            );
            let model = read::text(&text).unwrap();
            let shapes = Shapes::infer(&model, &Default::default());
            let value = model.graph(model.main()).outputs()[0].value;
            let kinds = OutputKind::all(&model, &shapes);
            assert_eq!(kinds, [OutputKind { is_indices, is_open }], "{body}");
            let names = chosen_from(&model, &shapes, value).into_iter();
            let names: Vec<_> = names.map(|value| model.value(value).name().to_owned()).collect();
            if is_open {
                assert_eq!(names, expected, "{body}");
            }
        }
    }
}
