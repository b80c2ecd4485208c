//! Shapes, element types and small integer contents of all values, inferred without running the
//! model.
//!
//! One walk over the nodes in execution order, linear in the size of the model. Each operator has a
//! small rule (the table is in `table`); what a rule cannot know is unknown, never guessed: an
//! operator without a rule, attributes that contradict each other, arithmetic that would overflow.
//! What the file declares about inner values only fills gaps, and is not believed where it
//! contradicts what follows from the inputs.
//!
//! Elements of small tensors are followed through the operators that exporters build shapes with
//! (Shape, Gather, Concat, arithmetic, Cast, Slice, …), so that a Reshape to a computed shape is
//! known. Open axes of inputs are symbols and what is computed from them are expressions ([`Term`]):
//! `[N, 3, H, W]` leaves a Conv as `[N, 64, floor((H + 1)/2), …]`. A symbol is at least 0; within a
//! Loop, nothing that may change from one iteration to the next is one. Loops are assumed to keep the extents of their carried values, and walked a second time
//! when they do not.

mod arithmetic;
mod assume;
mod attention;
mod call;
mod content;
mod create;
mod einsum;
mod elementwise;
mod exact;
mod fact;
mod flow;
mod index;
mod learning;
mod matrix;
mod normalize;
#[cfg(test)]
mod random;
mod reduce;
mod reshape;
mod resize;
mod sequence;
mod slicing;
mod table;
mod term;
#[cfg(test)]
mod tests;
mod walk;
mod window;

pub use assume::{Assume, names_an_axis};
pub(super) use einsum::Einsum;
pub use exact::exact;
pub use term::{Polynomial, Symbol, Term};

use crate::analysis::shapes::fact::Fact;
use crate::ir::{Model, NodeId, ValueId};
use crate::tensor::{DType, Tensor, element_count};

/// What is known about the values of a model. It describes the model as it was when inferred: after
/// an edit, infer again; values made since then are unknown.
#[derive(Debug, Clone)]
pub struct Shapes {
    facts: Vec<Fact>,
}

impl Shapes {
    /// Infers what follows from the inputs of `model` under `assume`. Calls of model-local functions
    /// are followed on an inlined copy, in which the values of the model keep their ids.
    pub fn infer(model: &Model, assume: &Assume) -> Self {
        if model.functions().is_empty() {
            return Self { facts: walk::infer(model, assume) };
        }
        let mut inlined = model.clone();
        inlined.inline_functions();
        Self { facts: walk::infer(&inlined, assume) }
    }

    /// How often the body of a Loop or Scan runs, when that is known.
    pub fn iterations(&self, model: &Model, node: NodeId) -> Term {
        // Before operator set 9, Scan had a batch axis in front of the scanned one.
        let scan = model.node(node).is("Scan") && model.opset_in_force() < 9;
        if scan { Term::Unknown } else { flow::iterations(model, model.node(node), &self.facts) }
    }

    fn fact(&self, value: ValueId) -> &Fact {
        self.facts.get(value.index()).unwrap_or(Fact::UNKNOWN)
    }

    /// Extents of a tensor in ONNX order; nothing when not even the number of axes is known, or the
    /// value is no tensor.
    pub fn dims(&self, value: ValueId) -> Option<&[Term]> {
        self.fact(value).dims.as_deref()
    }

    /// Extents of a tensor when every one is known.
    pub fn fixed_dims(&self, value: ValueId) -> Option<Vec<usize>> {
        self.fact(value).fixed_dims()
    }

    /// True when two tensors surely have the same extents.
    pub fn same_dims(&self, a: ValueId, b: ValueId) -> bool {
        self.dims(a)
            .is_some_and(|dims| dims.iter().all(Term::is_determined) && self.dims(b) == Some(dims))
    }

    /// A constant target with which Reshape gives a tensor the extents of `value`, whatever its
    /// input: at most one -1, no 0. Nothing when more than one extent is unknown.
    pub fn reshape_target(&self, value: ValueId) -> Option<Vec<i64>> {
        let dims = self.dims(value)?;
        let open = dims.iter().filter(|dim| dim.known().is_none()).count();
        // Next to an extent of 0, -1 is ambiguous; a lone 0 means "copy".
        if open > 1 || dims.contains(&Term::Known(0)) {
            return None;
        }
        Some(dims.iter().map(|dim| dim.known().unwrap_or(-1)).collect())
    }

    /// Number of axes.
    pub fn rank(&self, value: ValueId) -> Option<usize> {
        self.dims(value).map(<[_]>::len)
    }

    /// Number of elements.
    pub fn elements(&self, value: ValueId) -> Option<usize> {
        element_count(&self.fixed_dims(value)?)
    }

    /// Element type.
    pub fn dtype(&self, value: ValueId) -> Option<DType> {
        self.fact(value).dtype
    }

    /// The tensor itself, when it is small and every element is known.
    pub fn tensor(&self, value: ValueId) -> Option<Tensor> {
        let fact = self.fact(value);
        fact.content.as_ref()?.to_tensor(fact.dtype?, &fact.fixed_dims()?)
    }

    /// Elements of a small integer or `bool` tensor (at most 1024, row-major). Those that are numbers
    /// are the same in every run that fits the assumptions.
    pub fn contents(&self, value: ValueId) -> Option<&[Term]> {
        self.fact(value).content.as_ref()?.ints()
    }
}
