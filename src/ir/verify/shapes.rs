//! Shapes of weights that belong together; everything here holds for every runtime.

use crate::ir::verify::Findings;
use crate::ir::verify::types::constant;
use crate::ir::{Model, Node, NodeId};

/// Checks the weights of a node of the default domain that fits its schema.
pub(super) fn check(model: &Model, id: NodeId, node: &Node, findings: &mut Findings) {
    let weights = Weights { model, node };
    let found = match node.op() {
        "Conv" => weights.conv(false),
        "ConvTranspose" => weights.conv(true),
        "Gemm" => weights.gemm(),
        "BatchNormalization" => weights.same_length(&[1, 2, 3, 4]),
        "InstanceNormalization" => weights.same_length(&[1, 2]),
        "QuantizeLinear" | "DequantizeLinear" => weights.same_length(&[1, 2]),
        "LSTM" => weights.recurrent(4),
        "GRU" => weights.recurrent(3),
        "RNN" => weights.recurrent(1),
        _ => None,
    };
    if let Some(message) = found {
        findings.violation(model.label(id), message);
    }
}

struct Weights<'a> {
    model: &'a Model,
    node: &'a Node,
}

impl<'a> Weights<'a> {
    /// Dims of the constant at input `slot`.
    fn dims(&self, slot: usize) -> Option<&'a [usize]> {
        constant(self.model, self.node.input(slot)?).map(|tensor| tensor.dims())
    }

    fn length(&self, slot: usize) -> Option<usize> {
        self.dims(slot)?.iter().try_fold(1usize, |product, &dim| product.checked_mul(dim))
    }

    fn name(&self, slot: usize) -> &'a str {
        self.node.input(slot).map_or("", |value| self.model.value(value).name())
    }

    /// Weights `[M, C/group, k…]`, or `[C, M/group, k…]` when transposed; bias `[M]`.
    fn conv(&self, transposed: bool) -> Option<String> {
        let dims = self.dims(1)?;
        let w = self.name(1);
        let [first, second, _, ..] = *dims else {
            return Some(format!("weight `{w}` has dims {dims:?}; it needs at least 3 axes"));
        };
        let group = usize::try_from(self.node.attr_int("group").unwrap_or(1)).ok()?;
        let channels = if transposed { second.checked_mul(group)? } else { first };
        if group > 1 && first % group != 0 {
            return Some(format!(
                "weight `{w}` has {first} channels, which {group} groups do not divide"
            ));
        }
        let bias = self.length(2).filter(|&bias| bias != channels)?;
        let b = self.name(2);
        Some(format!("weight `{w}` has {channels} output channels, bias `{b}` has {bias}"))
    }

    /// Matrix `[K, N]`, or `[N, K]` when transposed; bias that broadcasts to `[M, N]`.
    fn gemm(&self) -> Option<String> {
        let dims = self.dims(1)?;
        let &[rows, columns] = dims else {
            let b = self.name(1);
            return Some(format!("matrix `{b}` has dims {dims:?}; it needs 2 axes"));
        };
        let transposed = self.node.attr_int("transB").unwrap_or(0) != 0;
        let n = if transposed { rows } else { columns };
        let last = *self.dims(2)?.last()?;
        let c = self.name(2);
        (last != n && last != 1)
            .then(|| format!("matrix `{}` has {n} columns, bias `{c}` has {last}", self.name(1)))
    }

    /// Parameters for each channel have as many elements as each other.
    fn same_length(&self, slots: &[usize]) -> Option<String> {
        let mut known = slots.iter().filter_map(|&slot| Some((slot, self.length(slot)?)));
        let (first, length) = known.next()?;
        let (other, found) = known.find(|&(_, other)| other != length)?;
        Some(format!(
            "`{}` has {length} elements, `{}` has {found}",
            self.name(first),
            self.name(other)
        ))
    }

    /// Weights `[D, g·H, I]`, recurrence `[D, g·H, H]`, bias `[D, 2·g·H]` for `gates` g.
    fn recurrent(&self, gates: usize) -> Option<String> {
        let (w, r) = (self.dims(1), self.dims(2));
        for (slot, dims) in [(1, w), (2, r)] {
            if let Some(dims) = dims.filter(|dims| dims.len() != 3) {
                let name = self.name(slot);
                return Some(format!("weight `{name}` has dims {dims:?}; it needs 3 axes"));
            }
        }
        if let Some(&[directions, rows, hidden]) = r {
            if hidden.checked_mul(gates) != Some(rows) {
                return Some(format!(
                    "recurrence `{}` has {rows} rows; {gates} gates of {hidden} units need {}",
                    self.name(2),
                    hidden.saturating_mul(gates)
                ));
            }
            let wanted = directions.saturating_mul(rows).saturating_mul(2);
            if let Some(bias) = self.length(3).filter(|&bias| bias != wanted) {
                let name = self.name(3);
                return Some(format!("bias `{name}` has {bias} elements, {wanted} are needed"));
            }
        }
        let ((_, rows), (_, others)) = (w?.split_at_checked(1)?, r?.split_at_checked(1)?);
        (rows.first() != others.first()).then(|| {
            format!(
                "weight `{}` has dims {:?}, recurrence `{}` has {:?}",
                self.name(1),
                w.unwrap_or_default(),
                self.name(2),
                r.unwrap_or_default()
            )
        })
    }
}
