//! Values whose parts have too different ranges for one grid of few bits.
//!
//! A grid for boxes of 0 to 500 makes zeros of all scores of 0 to 1. Values between which elements move share a grid only
//! while it has enough steps for each of them; and a value that holds both, as a Concat gives it, stays in float, and with it
//! what only passes it on, unless a product reads it.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::analysis::{Range, constant};
use crate::ir::{Model, Node, NodeId, ValueId};
use crate::passes::quantize::quantize_static::table::{self, Role};

/// How many times as wide as the range of a value its grid may be: of 8 bits, 5 are left.
const WIDEST: f32 = 8.0;
/// With grids of 16 bits nothing is lost that 8 bits would keep.
const WIDE_LEVELS: u32 = 1 << 16;

/// Operators that give a part of what they read: channels that stood together.
const PARTING: &[&str] = &["Gather", "Slice", "Split"];
/// Operators whose result can hold a part of one operand beside a part of another.
const MIXING: &[&str] = &["Concat", "Where"];
/// Operators that leave elements of different size what they are, more or less.
const KEEPING: &[&str] =
    &["Add", "Clip", "Div", "LeakyRelu", "Mul", "PRelu", "Relu", "Sub", "Where"];

/// What values were measured to reach.
pub(super) struct Extents {
    of: HashMap<ValueId, Range>,
    symmetric: bool,
}

impl Extents {
    /// Of the values that are to have grids of so many levels.
    pub fn new(of: HashMap<ValueId, Range>, symmetric: bool) -> Self {
        Self { of, symmetric }
    }

    fn of(&self, value: ValueId) -> Option<Range> {
        self.of.get(&value).copied()
    }

    /// How wide a grid for the range is.
    fn width(&self, range: Range) -> f32 {
        match self.symmetric {
            true => 2.0 * range.min.abs().max(range.max.abs()),
            false => range.max.max(0.0) - range.min.min(0.0),
        }
    }

    /// A grid for `whole` leaves too few steps for `part`. Zeros are on every grid.
    fn starves(&self, whole: Range, part: Range) -> bool {
        let part = self.width(part);
        part > 0.0 && self.width(whole) > WIDEST * part
    }

    fn value_starves(&self, whole: ValueId, part: ValueId) -> bool {
        let both = self.of(whole).zip(self.of(part));
        both.is_some_and(|(whole, part)| self.starves(whole, part))
    }
}

/// Whether grids with so many levels are looked at.
pub(super) fn matter(levels: u32) -> bool {
    levels < WIDE_LEVELS
}

/// Sets of values that are to share a grid, as long as that starves none of them.
pub(super) struct Ties<'a> {
    extents: &'a Extents,
    /// For each set, by its smallest member: what it reaches, and the narrowest of its members.
    sets: BTreeMap<usize, (Range, Range)>,
}

impl<'a> Ties<'a> {
    pub fn new(extents: &'a Extents, values: &[ValueId]) -> Self {
        let each = values.iter().enumerate();
        let sets = each.filter_map(|(i, &value)| Some((i, extents.of(value)?)));
        Self { extents, sets: sets.map(|(i, range)| (i, (range, range))).collect() }
    }

    /// Whether the sets of these two roots may become one.
    pub fn fit(&self, a: usize, b: usize) -> bool {
        let (Some(&(a, least_of_a)), Some(&(b, least_of_b))) =
            (self.sets.get(&a), self.sets.get(&b))
        else {
            return true;
        };
        let whole = a.union(b);
        ![least_of_a, least_of_b].iter().any(|&least| self.extents.starves(whole, least))
    }

    /// They became one, with that root.
    pub fn joined(&mut self, a: usize, b: usize, root: usize) {
        let both = (self.sets.remove(&a), self.sets.remove(&b));
        let merged = match both {
            (Some((a, least_of_a)), Some((b, least_of_b))) => {
                let narrow = |range: &Range| match self.extents.width(*range) {
                    0.0 => f32::INFINITY,
                    width => width,
                };
                let least =
                    if narrow(&least_of_b) < narrow(&least_of_a) { least_of_b } else { least_of_a };
                (a.union(b), least)
            }
            (Some(one), None) | (None, Some(one)) => one,
            (None, None) => return,
        };
        self.sets.insert(root, merged);
    }
}

/// Values that hold parts of too different ranges, each with the name of the smaller part: what joins them, what is parted
/// later, and what passes them on.
/// Those that are `wanted` as integers have to have a grid, and what is lost there is not found again behind it.
pub(super) fn mixed(
    model: &Model,
    extents: &Extents,
    wanted: &HashSet<ValueId>,
) -> HashMap<ValueId, String> {
    let mut found: HashMap<ValueId, String> = HashMap::new();
    let nodes = model.all_nodes();
    let name = |value: ValueId| model.value(value).name().to_owned();
    for &id in nodes.iter().rev() {
        let node = model.node(id);
        let source = sources(model, id).first().copied();
        let Some(source) = source.filter(|value| !wanted.contains(value)) else { continue };
        let parts = table::results(node);
        let smaller = parts.iter().find(|&&part| extents.value_starves(source, part));
        if let (true, Some(&part)) = (PARTING.contains(&node.op()), smaller) {
            found.insert(source, name(part));
        } else if let Some(part) = parts.first().and_then(|part| found.get(part)).cloned()
            && passes_on(model, node)
        {
            found.insert(source, part);
        }
    }
    for &id in &nodes {
        let node = model.node(id);
        let Some(output) = node.output(0).filter(|value| !wanted.contains(value)) else { continue };
        let operands = sources(model, id);
        let known = operands.iter().filter_map(|&value| Some((value, extents.of(value)?)));
        let known: Vec<(ValueId, Range)> = known.collect();
        let whole = known.iter().map(|(_, range)| *range).reduce(Range::union);
        let small = known.iter().find(|(_, part)| whole.is_some_and(|w| extents.starves(w, *part)));
        let inherited = operands.iter().find_map(|value| found.get(value)).cloned();
        if let (true, Some((part, _))) = (MIXING.contains(&node.op()), small) {
            found.entry(output).or_insert_with(|| name(*part));
        } else if let Some(part) = inherited
            && (passes_on(model, node) || KEEPING.contains(&node.op()))
        {
            found.entry(output).or_insert(part);
        }
    }
    found
}

/// The numbers that a node computes with, or moves.
fn sources(model: &Model, id: NodeId) -> Vec<ValueId> {
    let node = model.node(id);
    let role = table::of(model, node).map(|row| row.role);
    let operands = role.map(|role| table::operands(node, role)).unwrap_or_default();
    operands.into_iter().filter(|&value| constant(model, value).is_none()).collect()
}

/// It gives all that it reads, in other places.
fn passes_on(model: &Model, node: &Node) -> bool {
    let role = table::of(model, node).map(|row| row.role);
    matches!(role, Some(Role::Move | Role::Join)) && !PARTING.contains(&node.op())
}

/// Why what gives a value that holds such a part gives floats.
pub(super) fn reason(part: &str) -> String {
    format!("one grid for its output has too few steps for what that holds of `{part}`")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::math::UnionFind;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_member_of_a_set_is_starved(
            widths in proptest::collection::vec(0f32..12.0, 2..12),
            edges in proptest::collection::vec((0usize..12, 0usize..12), 0..40),
            symmetric: bool,
        ) {
            let values: Vec<ValueId> = model(widths.len());
            // From 1 to 4,096, and one that holds nothing but zeros.
            let range = |(i, x): (usize, &f32)| {
                let max = if i == 1 { 0.0 } else { x.exp2() };
                Range { min: 0.0, max }
            };
            let ranges: Vec<Range> = widths.iter().enumerate().map(range).collect();
            let of = values.iter().copied().zip(ranges.iter().copied()).collect();
            let extents = Extents::new(of, symmetric);
            let mut ties = Ties::new(&extents, &values);
            let mut sets = UnionFind::new(values.len());
            for (i, j) in edges {
                let (a, b) = (sets.find(i % values.len()), sets.find(j % values.len()));
                if a != b && ties.fit(a, b) {
                    sets.join(a, b);
                    ties.joined(a, b, sets.find(a));
                }
            }
            for i in 0..values.len() {
                let together = (0..values.len()).filter(|&j| sets.clone().find(j) == sets.clone().find(i));
                let whole = together.map(|j| ranges[j]).reduce(Range::union).unwrap();
                prop_assert!(!extents.starves(whole, ranges[i]), "{i}: {ranges:?}");
            }
        }
    }

    /// As many values.
    fn model(count: usize) -> Vec<ValueId> {
        let inputs: Vec<String> = (0..count).map(|i| format!("float[1] x{i}")).collect();
        let text = format!(
            "<ir_version: 8, opset_import: [\"\" : 17]> g ({}) => (float[1] y) {{ y = Relu (x0) }}",
            inputs.join(", ")
        );
        let model = crate::read::text(&text).unwrap();
        model.graph(model.main()).inputs().to_vec()
    }
}
