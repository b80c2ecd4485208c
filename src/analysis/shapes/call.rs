//! What a shape rule sees: one node, its attributes, and what is known about its inputs.

use crate::analysis::shapes::content;
use crate::analysis::shapes::fact::{Dims, Fact, unknown};
use crate::analysis::shapes::term::Term;
use crate::ir::{Model, Node, position};
use crate::tensor::DType;

/// One application of an operator.
pub(super) struct Call<'a> {
    pub model: &'a Model,
    pub node: &'a Node,
    /// Version of the default operator set.
    pub opset: i64,
    /// Facts of all values, by index.
    pub facts: &'a [Fact],
    /// Facts of the inputs, by slot, where they are not those of the values.
    pub given: Option<&'a [Fact]>,
    /// Elements beyond which contents are not followed.
    pub limit: usize,
}

/// Axes that an operator takes from an attribute or, in later versions, from an input.
pub(super) enum Axes {
    /// Not given: the operator's default holds.
    Absent,
    /// Given, as far as the file says.
    Listed(Vec<i64>),
    /// Given by a value that is not known.
    Unknown,
}

impl<'a> Call<'a> {
    pub fn has(&self, slot: usize) -> bool {
        self.node.input(slot).is_some()
    }

    pub fn fact(&self, slot: usize) -> &'a Fact {
        let fact = match self.given {
            Some(given) => given.get(slot),
            None => self.node.input(slot).and_then(|v| self.facts.get(v.index())),
        };
        fact.unwrap_or(Fact::UNKNOWN)
    }

    pub fn dtype(&self, slot: usize) -> Option<DType> {
        self.fact(slot).dtype
    }

    pub fn dims(&self, slot: usize) -> Option<&'a [Term]> {
        self.fact(slot).dims.as_deref()
    }

    /// Extent of one axis of an input.
    pub fn extent(&self, slot: usize, axis: usize) -> Term {
        self.dims(slot).and_then(|dims| dims.get(axis)).into()
    }

    /// Extents of an input, owned.
    pub fn shape(&self, slot: usize) -> Option<Dims> {
        self.dims(slot).map(<[_]>::to_vec)
    }

    /// Partly known integers of an input.
    pub fn ints(&self, slot: usize) -> Option<&'a [Term]> {
        self.fact(slot).content.as_ref()?.ints()
    }

    /// Integers of an input, all of them known.
    pub fn all_ints(&self, slot: usize) -> Option<Vec<i64>> {
        self.ints(slot)?.iter().map(Term::known).collect()
    }

    /// The element of an input that has only one.
    pub fn element(&self, slot: usize) -> Term {
        match self.ints(slot) {
            Some([x]) => x.clone(),
            _ => Term::Unknown,
        }
    }

    /// The integer of an input of one element.
    pub fn one_int(&self, slot: usize) -> Option<i64> {
        self.element(slot).known()
    }

    /// The shape that an input lists, or as many unknown extents as it has elements.
    pub fn listed(&self, slot: usize) -> Option<Dims> {
        match (self.ints(slot), self.dims(slot)) {
            (Some(extents), _) => Some(extents.to_vec()),
            (None, Some([count])) => Some(unknown(count.extent().filter(|&n| n <= self.limit)?)),
            _ => None,
        }
    }

    /// Floats of an input, all of them known.
    pub fn all_floats(&self, slot: usize) -> Option<Vec<f64>> {
        self.fact(slot).content.as_ref()?.floats()?.iter().copied().collect()
    }

    /// Integer attribute, or the default of the operator.
    pub fn int(&self, name: &str, default: i64) -> i64 {
        self.node.attr_int(name).unwrap_or(default)
    }

    /// Integer attribute without a default.
    pub fn size(&self, name: &str) -> Term {
        self.node.attr_int(name).into()
    }

    /// Integer attribute as a switch.
    pub fn flag(&self, name: &str, default: bool) -> bool {
        self.int(name, i64::from(default)) != 0
    }

    /// Text attribute, or the default of the operator.
    pub fn text(&self, name: &str, default: &'a str) -> &'a str {
        self.node.attr_str(name).unwrap_or(default)
    }

    /// Element type attribute.
    pub fn dtype_attr(&self, name: &str) -> Option<DType> {
        let number = self.node.attr_int(name)?;
        i32::try_from(number).ok().and_then(DType::from_onnx)
    }

    /// The axis attribute as a position among `rank` axes.
    pub fn axis(&self, default: i64, rank: usize) -> Option<usize> {
        position(self.int("axis", default), rank)
    }

    /// Axes from attribute `axes` or input `slot`.
    pub fn axes(&self, slot: usize) -> Axes {
        if let Some(axes) = self.node.attr_ints("axes") {
            return Axes::Listed(axes.to_vec());
        }
        match (self.has(slot), self.all_ints(slot)) {
            (false, _) => Axes::Absent,
            (true, Some(axes)) => Axes::Listed(axes),
            (true, None) => Axes::Unknown,
        }
    }

    /// See [`content::view`].
    pub fn view(&self, dims: &[usize], offset: i128, steps: &[i128]) -> Option<Vec<usize>> {
        content::view(self.limit, dims, offset, steps)
    }

    /// As many unknown outputs as the node has.
    pub fn unknown_outputs(&self) -> Vec<Fact> {
        vec![Fact::default(); self.node.outputs().len()]
    }
}

/// Axis numbers as positions among `rank` axes, in the given order; nothing when one is out of
/// range or given twice.
pub(super) fn positions(axes: &[i64], rank: usize) -> Option<Vec<usize>> {
    let mut seen = vec![false; rank];
    axes.iter()
        .map(|&axis| {
            let at = position(axis, rank)?;
            (!std::mem::replace(&mut seen[at], true)).then_some(at)
        })
        .collect()
}
