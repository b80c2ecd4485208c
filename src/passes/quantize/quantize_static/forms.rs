//! Weights in other forms than integers that a layer reads as they are: behind a Transpose, and as floats of another type.

use crate::ir::{At, NewNode, ValueId};
use crate::passes::quantize::quantize_static::insert::{Insert, Reader, Users, unnamed};
use crate::passes::quantize::quantize_static::plan::Weight;
use crate::passes::stored::Share;
use crate::tensor::DType;

/// What a DequantizeLinear makes of integers.
#[derive(Clone, Copy)]
pub(super) struct Made {
    /// Which of them have a scale in common.
    pub share: Share,
    /// The type of the scales, and so of the floats.
    pub from: DType,
    /// The type that is wanted.
    pub to: DType,
}

impl Made {
    pub fn floats(share: Share) -> Self {
        Self { share, from: DType::Float, to: DType::Float }
    }
}

/// The type of the scales behind which a weight is stored: halves where operators on packed integers want them.
pub(super) fn scale_dtype(weight: &Weight) -> DType {
    match (weight.share, weight.dtype) {
        (Share::Block { .. }, DType::Float16) => DType::Float16,
        _ => DType::Float,
    }
}

pub(super) fn cast(value: ValueId, to: DType, output: &str) -> NewNode {
    unnamed("Cast", &[value], output).attr("to", i64::from(to.to_onnx()))
}

impl Insert<'_> {
    /// The readers of integers that a Transpose is put in front of; those that stood behind one of floats no
    /// longer read it.
    pub fn untied(&mut self, users: &Users<'_>) -> Vec<Reader> {
        for (user, weight) in users {
            self.model.set_input(user.node, weight.slot, None);
            let Some(transpose) = weight.turned.filter(|&node| self.model.is_live(node)) else {
                continue;
            };
            let output = self.output(transpose);
            if self.model.value(output).uses().is_empty() {
                self.model.remove_node(transpose);
            }
        }
        users.iter().map(|(user, weight)| (user.node, weight.slot)).collect()
    }

    /// Integers and their scales transposed: a runtime does that once, when it loads the model.
    pub fn turned(
        &mut self,
        (stored, name): (ValueId, &str),
        parameters: &[ValueId],
        share: Share,
    ) -> (ValueId, Vec<ValueId>) {
        let graph = self.model.value(stored).graph();
        let mut transpose = |value: ValueId, output: String| {
            let node = unnamed("Transpose", &[value], &output).attr("perm", vec![1i64, 0]);
            let node = self.model.add_node(graph, At::Start, node);
            self.model.node(node).only_output().unwrap_or(value)
        };
        let integers = transpose(stored, format!("{name}_turned"));
        let in_blocks = matches!(share, Share::Block { .. });
        let parameters = parameters.iter().map(|&value| match in_blocks {
            true => transpose(value, "scale_turned".to_owned()),
            false => value,
        });
        (integers, parameters.collect())
    }
}
