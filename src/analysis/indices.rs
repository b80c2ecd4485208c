//! How large integers may be that tell an operator which row of a table to take.

use std::collections::{BTreeMap, HashMap};

use crate::analysis::{Assume, Shapes, constant};
use crate::ir::{self, AttrValue, Def, GraphId, Model, Node, NodeId, ValueId};

/// Rounds over all nodes: bodies may hand indices to each other in any order.
const ROUNDS: usize = 2;

/// Which values count as indices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Those of which every element reaches a table as it is.
    Certain,
    /// Those of which some elements may, though others are replaced, cut off or left out on the way.
    Possible,
}

/// For each value that reaches a table as an index, unchanged but for moves and sums with constants, the number
/// of rows of the smallest one: an index must be below it.
pub fn index_bounds(model: &Model, shapes: &Shapes, reach: Reach) -> HashMap<ValueId, i64> {
    let mut bounds = Bounds { model, shapes, reach, found: HashMap::new() };
    let nodes = model.all_nodes();
    for _ in 0..ROUNDS {
        nodes.iter().rev().for_each(|&node| bounds.visit(node));
    }
    bounds.found
}

/// [`index_bounds`] of the inputs of the main graph, by name, with one sample.
pub fn input_bounds(model: &Model, reach: Reach) -> BTreeMap<String, u64> {
    let bounds = index_bounds(model, &Shapes::infer(model, &Assume::one_sample()), reach);
    let inputs = model
        .graph(model.main())
        .inputs()
        .iter()
        .filter(|&&input| matches!(model.value(input).def(), Def::Input { default: None }));
    let known = inputs.filter_map(|&input| {
        let bound = u64::try_from(*bounds.get(&input)?).ok()?;
        Some((model.value(input).name().to_owned(), bound))
    });
    known.collect()
}

struct Bounds<'a> {
    model: &'a Model,
    shapes: &'a Shapes,
    reach: Reach,
    found: HashMap<ValueId, i64>,
}

impl Bounds<'_> {
    fn visit(&mut self, id: NodeId) {
        let node = self.model.node(id);
        for (slot, rows) in self.looked_up(node) {
            self.lower(node.input(slot), rows);
        }
        self.visit_bodies(node);
        let outputs = node.outputs().iter().flatten();
        let Some(bound) = outputs.filter_map(|output| self.found.get(output).copied()).min() else {
            return;
        };
        for slot in carried(node, self.reach) {
            self.lower(node.input(slot), bound);
        }
        self.through_arithmetic(node, bound);
    }

    fn lower(&mut self, value: Option<ValueId>, bound: i64) {
        if let Some(value) = value {
            let known = self.found.entry(value).or_insert(bound);
            *known = bound.min(*known);
        }
    }

    /// The inputs of a node that are indices, with the rows of what they are looked up in.
    fn looked_up(&self, node: &Node) -> Vec<(usize, i64)> {
        let rows = |slot: usize, axis: i64| -> Option<i64> {
            let dims = self.shapes.dims(node.input(slot)?)?;
            dims.get(ir::position(axis, dims.len())?)?.known()
        };
        let axis = node.attr_int("axis").unwrap_or(0);
        let entry = |slot: usize, rows: Option<i64>| rows.map(|rows| (slot, rows));
        let found = match (node.domain(), node.op()) {
            ("" | "ai.onnx", "Gather" | "GatherElements" | "Scatter" | "ScatterElements") => {
                vec![entry(1, rows(0, axis))]
            }
            ("" | "ai.onnx", "GatherND" | "ScatterND") => vec![entry(1, self.tuples(node))],
            ("" | "ai.onnx", "OneHot") => vec![entry(0, self.number(node.input(1)))],
            ("" | "ai.onnx", "RoiAlign") => vec![entry(2, rows(0, 0))],
            ("com.microsoft", "EmbedLayerNormalization") => {
                vec![entry(0, rows(2, 0)), entry(1, rows(4, 0)), entry(8, rows(3, 0))]
            }
            ("com.microsoft", "GatherBlockQuantized") => {
                vec![entry(1, rows(0, node.attr_int("gather_axis").unwrap_or(0)))]
            }
            _ => Vec::new(),
        };
        found.into_iter().flatten().collect()
    }

    /// The smallest axis that an index of several numbers points into.
    fn tuples(&self, node: &Node) -> Option<i64> {
        let (data, indices) =
            (self.shapes.dims(node.input(0)?)?, self.shapes.dims(node.input(1)?)?);
        let first = usize::try_from(node.attr_int("batch_dims").unwrap_or(0)).ok()?;
        let numbers = indices.last()?.extent()?;
        let axes = data.get(first..first.checked_add(numbers)?)?;
        axes.iter().filter_map(crate::analysis::Term::known).min()
    }

    fn number(&self, value: Option<ValueId>) -> Option<i64> {
        match self.shapes.contents(value?)? {
            [number] => number.known(),
            _ => None,
        }
    }

    /// Sums and products with constants.
    fn through_arithmetic(&mut self, node: &Node, bound: i64) {
        let (a, b) = (node.input(0), node.input(1));
        let ends = |value: Option<ValueId>| -> Option<(i64, i64)> {
            let numbers = constant(self.model, value?)?.to_i64().ok()?;
            Some((numbers.iter().copied().min()?, numbers.into_iter().max()?))
        };
        let pairs = [(a, ends(b)), (b, ends(a))];
        let either = matches!(node.op(), "Add" | "Mul");
        let pairs = if either { &pairs[..] } else { &pairs[..1] };
        for &(value, ends) in pairs {
            let Some((low, high)) = ends else { continue };
            // Where numbers differ from place to place, only the mildest bound is certain.
            let (least, most) = match self.reach {
                Reach::Possible => (low, high),
                Reach::Certain => (high, low),
            };
            let before = match node.op() {
                "Add" => bound.checked_sub(most),
                "Sub" => bound.checked_add(least),
                "Mul" if low > 0 => bound.checked_add(most - 1).map(|sum| sum / most),
                "Div" if low > 0 => bound.checked_mul(least),
                _ => None,
            };
            if let Some(before) = before {
                self.lower(value, before);
            }
        }
    }

    /// What a body does with its inputs holds for what the node hands to it.
    fn visit_bodies(&mut self, node: &Node) {
        // A Loop has its count and its condition first, the body the iteration and the condition.
        let control = ["Loop", "Scan"].iter().any(|op| node.is(op));
        let bodies = node.attributes().iter().filter(|_| control);
        let bodies: Vec<GraphId> = bodies
            .filter_map(|attribute| match attribute.value {
                AttrValue::Graph(graph) => Some(graph),
                _ => None,
            })
            .collect();
        for body in bodies {
            for (slot, input) in self.model.graph(body).inputs().iter().enumerate() {
                if let Some(&bound) = self.found.get(input) {
                    self.lower(node.input(slot), bound);
                }
            }
        }
    }
}

/// The inputs whose elements come out as they are; for a possible reach, those of which some do.
fn carried(node: &Node, reach: Reach) -> Vec<usize> {
    if !node.is_standard() {
        return Vec::new();
    }
    match (node.op(), reach) {
        (
            "Identity" | "Cast" | "Reshape" | "Squeeze" | "Unsqueeze" | "Flatten" | "Transpose"
            | "Expand" | "Tile" | "Split" | "ReverseSequence",
            _,
        ) => vec![0],
        ("Concat", _) => (0..node.inputs().len()).collect(),
        (
            "Slice" | "Pad" | "Gather" | "GatherElements" | "GatherND" | "Clip" | "Compress"
            | "ReduceMax" | "ReduceMin" | "Abs" | "Relu" | "TopK",
            Reach::Possible,
        ) => vec![0],
        ("Max" | "Min", Reach::Possible) => (0..node.inputs().len()).collect(),
        ("Where", Reach::Possible) => vec![1, 2],
        ("ScatterND" | "Scatter" | "ScatterElements", Reach::Possible) => vec![0, 2],
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_table_that_is_reached_bounds_an_index() {
        let text = r#"<ir_version: 8, opset_import: ["" : 17]>
            g (int64[2,3] ids, int64[2,3] types, int64[2,3] free, float[5] x)
                => (float[2,3,4] y, float[6,4] z, int64[2,3] w, float[2,3] v)
            <float[9,4] words = {0}, float[2,4] kinds = {0}, int64 one = {1}, int64[1] flat = {-1}> {
                a = Gather (words, ids)
                c = Cast <to = 6> (types)
                b = Gather (kinds, c)
                y = Add (a, b)
                moved = Add (ids, one)
                rows = Reshape (moved, flat)
                z = Gather (words, rows)
                w = Mul (free, one)
                v = Gather (x, ids)
            }"#;
        let text = text.replace("words = {0}", "words").replace("kinds = {0}", "kinds");
        let text = text.replace("float[9,4] words, float[2,4] kinds, ", "");
        let text = text.replace("float[5] x)", "float[5] x, float[9,4] words, float[2,4] kinds)");
        let model = crate::read::text(&text).unwrap();
        let shapes = Shapes::infer(&model, &Assume::default());
        let bounds = index_bounds(&model, &shapes, Reach::Certain);
        let of = |name: &str| bounds.get(&model.find_value(model.main(), name).unwrap()).copied();
        assert_eq!([of("ids"), of("types"), of("free")], [Some(5), Some(2), None]);
    }

    #[test]
    fn what_may_be_replaced_on_the_way_is_no_index_for_certain() {
        let text = r#"<ir_version: 8, opset_import: ["" : 17]>
            g (int64[2,3] sure, int64[2,3] masked, int64[2,3] cut, bool[2,3] mask, float[4,2] rows)
                => (float[2,3,2] a, float[2,3,2] b, float[2,3,2] c)
            <int64 zero = {0}, int64 three = {3}> {
                a = Gather (rows, sure)
                m = Where (mask, masked, zero)
                b = Gather (rows, m)
                n = Clip (cut, zero, three)
                c = Gather (rows, n)
            }"#;
        let model = crate::read::text(text).unwrap();
        let named = |names: &[&str]| names.iter().map(|&name| (name.to_owned(), 4)).collect();
        let certain: BTreeMap<String, u64> = named(&["sure"]);
        assert_eq!(input_bounds(&model, Reach::Certain), certain);
        let possible: BTreeMap<String, u64> = named(&["cut", "masked", "sure"]);
        assert_eq!(input_bounds(&model, Reach::Possible), possible);
    }
}
