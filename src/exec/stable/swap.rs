//! What tract makes of a node of a model, with single operators exchanged.

use tract_onnx::tract_hir::internal::*;

/// The operator to take in the place of one on these inputs; `None` to leave it.
pub(super) type Swap = fn(&dyn TypedOp, &[&TypedFact]) -> Option<Box<dyn TypedOp>>;

/// `op` with what `swap` says exchanged: types and dims are found out as tract does.
pub(super) fn swapped(op: Box<dyn InferenceOp>, swap: Swap) -> TractResult<Box<dyn InferenceOp>> {
    Ok(expand(Swapped { inner: expansion(&*op)?, swap }))
}

/// How tract expands an operator of a model.
pub(super) fn expansion(op: &dyn InferenceOp) -> TractResult<Box<dyn Expansion>> {
    let inner = op.as_op().downcast_ref::<Box<dyn Expansion>>().cloned();
    inner.ok_or_else(|| format_err!("tract reads {} in another way than expected", op.name()))
}

#[derive(Clone)]
struct Swapped {
    inner: Box<dyn Expansion>,
    swap: Swap,
}

impl std::fmt::Debug for Swapped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.inner.fmt(f)
    }
}

impl Expansion for Swapped {
    fn name(&self) -> StaticName {
        self.inner.name()
    }

    fn nboutputs(&self) -> TractResult<usize> {
        self.inner.as_ref().nboutputs()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        self.inner.rules(s, inputs, outputs)
    }

    /// tract computes small constants as soon as they are wired. So its operators are wired in a model of their
    /// own, where what is computed is not known, and copied from there.
    fn wire(
        &self,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let symbols = model.symbols.clone();
        let mut draft = TypedModel { symbols, ..TypedModel::default() };
        let mut copies: HashMap<OutletId, OutletId> = HashMap::default();
        let mut sources: TVec<OutletId> = tvec!();
        for (i, &input) in inputs.iter().enumerate() {
            let fact = model.outlet_fact(input)?;
            let numbers = fact.datum_type.is_float() || i == 0;
            let fact = if numbers { fact.without_value() } else { fact.clone() };
            let source = draft.add_source(format!("{prefix}.input.{i}"), fact)?;
            copies.insert(source, input);
            sources.push(source);
        }
        let outputs = self.inner.wire(prefix, &mut draft, &sources)?;
        for node in draft.nodes() {
            if copies.contains_key(&node.id.into()) {
                continue;
            }
            let facts = draft.node_input_facts(node.id)?;
            let op = (self.swap)(&*node.op, &facts).unwrap_or_else(|| node.op.clone());
            let read: TVec<OutletId> = node.inputs.iter().map(|input| copies[input]).collect();
            let made = model.wire_node(&node.name, op, &read)?;
            for (slot, &outlet) in made.iter().enumerate() {
                copies.insert(OutletId::new(node.id, slot), outlet);
            }
        }
        Ok(outputs.iter().map(|output| copies[output]).collect())
    }
}
