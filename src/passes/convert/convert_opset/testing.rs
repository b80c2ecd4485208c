//! Small models for the tests of the families.

use super::ConvertOpset;
use crate::analysis::constant;
use crate::ir::{At, GraphId, Model, NewNode, NodeId, TensorType, ValueId};
use crate::passes::{Context, Pass, Report};
use crate::tensor::{DType, Tensor};

/// A model of one node, whose first output is the output of the model.
pub(super) struct Single {
    pub model: Model,
    pub main: GraphId,
    pub node: NodeId,
    pub report: Report,
}

/// An empty model of `opset` with a `float` input of these dims (none: not even the rank).
pub(super) fn with_input(opset: i64, dims: Option<&[usize]>) -> (Model, ValueId) {
    let mut model = Model::new(3, opset);
    let ty = match dims {
        Some(dims) => TensorType::with_dims(DType::Float, dims),
        None => TensorType::of(DType::Float),
    };
    let main = model.main();
    let x = model.add_input(main, "x", ty);
    (model, x)
}

impl Single {
    /// Adds `new` to `model` and converts to `target`.
    pub fn convert(mut model: Model, new: NewNode, target: i64) -> Self {
        let main = model.main();
        let node = model.add_node(main, At::End, new);
        let y = model.node(node).output(0).unwrap();
        model.add_output(main, y, None);
        Self::rerun(model, node, target)
    }

    /// Converts `model`, of which `node` is the one that matters.
    pub fn rerun(mut model: Model, node: NodeId, target: i64) -> Self {
        let main = model.main();
        let report = ConvertOpset { target }.run(&mut model, &Context::default()).unwrap();
        // What is refused may be invalid from the start.
        if report.changed() {
            model.verify().unwrap();
        }
        Self { model, main, node, report }
    }

    /// Why the conversion was refused.
    pub fn refusal(&self) -> &str {
        assert!(!self.report.changed());
        &self.report.refused[0].text
    }

    /// The constant in input `slot`.
    pub fn tensor(&self, slot: usize) -> Tensor {
        constant(&self.model, self.model.node(self.node).input(slot).unwrap()).unwrap()
    }

    /// The integers in input `slot`.
    pub fn ints(&self, slot: usize) -> Vec<i64> {
        self.tensor(slot).to_i64().unwrap()
    }

    /// The operators of the main graph in order.
    pub fn ops(&self) -> Vec<&str> {
        self.model.nodes_of(self.main).map(|(_, node)| node.op()).collect()
    }

    /// The node that feeds input `slot` of `node`.
    pub fn producer(&self, node: NodeId, slot: usize) -> NodeId {
        let value = self.model.node(node).input(slot).unwrap();
        self.model.value(value).producer().unwrap()
    }
}
