//! `convert-qoperator`: see `docs/passes/convert-qoperator.md`.
//!
//! `operand` reads what stands around a node, `compute` finds the operator on integers for one that
//! computes, `bias` brings its bias along, `moving` handles those that move and cut off.

mod bias;
mod compute;
mod moving;
mod operand;

use std::collections::HashMap;

use crate::analysis::Shapes;
use crate::error::Result;
use crate::ir::ops::MICROSOFT;
use crate::ir::{
    At, Attribute, GraphId, Info, Model, NewNode, NodeId, TensorType, ValueId, ValueType,
};
use crate::passes::{Context, IntegerOperators, Pass, Promise, Report, Target};
use crate::tensor::{DType, Tensor};

/// Turns float operators between DequantizeLinear and QuantizeLinear into operators on integers
/// (QOperator form).
#[derive(Debug, Clone, Copy)]
pub struct ConvertQoperator {
    /// Operators of com.microsoft may be used; otherwise only those of ONNX.
    pub microsoft: bool,
}

impl Default for ConvertQoperator {
    fn default() -> Self {
        Self { microsoft: true }
    }
}

impl ConvertQoperator {
    /// The pass for a target; nothing when it does not read operators on integers.
    pub fn of(target: Target) -> Option<Self> {
        let operators = target.integer_operators()?;
        Some(Self { microsoft: operators == IntegerOperators::Microsoft })
    }
}

impl Pass for ConvertQoperator {
    fn name(&self) -> &'static str {
        "convert-qoperator"
    }

    fn summary(&self) -> &'static str {
        "Turns operators between DequantizeLinear and QuantizeLinear into operators on integers."
    }

    fn promise(&self) -> Promise {
        Promise::Lossy
    }

    fn run(&self, model: &mut Model, cx: &Context<'_>) -> Result<Report> {
        let mut report = Report::default();
        let shapes = &*cx.shapes_of(model);
        let mut constants = HashMap::new();
        for id in model.all_nodes() {
            if !model.is_live(id) {
                continue;
            }
            let place = model.label(id);
            match self.find(model, shapes, id) {
                None => {}
                Some(_) if model.is_kept(id) => {
                    report.refuse(place, "the file's own data mentions it");
                }
                Some(Err(reason)) => report.refuse(place, reason),
                Some(Ok(plan)) => {
                    report.did(place, plan.text.clone());
                    apply(model, plan, &mut constants);
                }
            }
        }
        Ok(report)
    }
}

impl ConvertQoperator {
    /// What a node becomes; nothing when it has nothing to do with integers.
    fn find(&self, model: &Model, shapes: &Shapes, id: NodeId) -> Option<Result<Plan, String>> {
        if !model.node(id).is_standard() || model.node(id).is("DequantizeLinear") {
            return None;
        }
        let site = Site { model, shapes, id, microsoft: self.microsoft };
        moving::find(&site).or_else(|| compute::find(&site))
    }
}

/// A node, and what is known about the model around it.
#[derive(Clone, Copy)]
struct Site<'a> {
    model: &'a Model,
    shapes: &'a Shapes,
    id: NodeId,
    /// See [`ConvertQoperator`].
    microsoft: bool,
}

/// A node that takes the place of others.
struct Plan {
    /// The float nodes that go, in execution order. The new node has the name and place of the last.
    floats: Vec<NodeId>,
    /// The QuantizeLinear nodes that go.
    quantizers: Vec<NodeId>,
    op: &'static str,
    domain: &'static str,
    inputs: Vec<Input>,
    attributes: Vec<Attribute>,
    /// For each output the value whose place it takes, and its type when it is made here.
    outputs: Vec<Option<(ValueId, Option<DType>)>>,
    /// What the report says.
    text: String,
}

/// An input of a new node.
#[derive(Clone)]
enum Input {
    Absent,
    Value(ValueId),
    /// An initializer to be made, named after its role.
    Constant(&'static str, Tensor),
}

/// Constants already made: equal ones of a graph are stored once.
type Constants = HashMap<(GraphId, Tensor), ValueId>;

fn apply(model: &mut Model, plan: Plan, constants: &mut Constants) {
    let Some(&last) = plan.floats.last() else { return };
    let graph = model.node(last).graph();
    let mut input = |input: Input| match input {
        Input::Absent => None,
        Input::Value(value) => Some(value),
        Input::Constant(role, tensor) => Some(
            *constants
                .entry((graph, tensor.clone()))
                .or_insert_with(|| model.add_initializer(graph, role, tensor)),
        ),
    };
    let inputs: Vec<Option<ValueId>> = plan.inputs.into_iter().map(&mut input).collect();
    let names = plan.outputs.iter().map(|output| match output {
        Some((value, _)) => model.value(*value).name().to_owned(),
        None => String::new(),
    });
    let node = NewNode {
        op: plan.op.to_owned(),
        domain: plan.domain.to_owned(),
        inputs,
        outputs: names.collect(),
        attributes: plan.attributes,
        ..NewNode::default()
    };
    if plan.domain == MICROSOFT {
        model.import(MICROSOFT, 1);
    }
    let node = model.add_node(graph, At::Before(last), node);
    for (slot, output) in plan.outputs.iter().enumerate() {
        let (Some((old, dtype)), Some(new)) = (*output, model.node(node).output(slot)) else {
            model.clear_output(node, slot);
            continue;
        };
        if let Some(dtype) = dtype {
            let ty = Some(ValueType::Tensor(TensorType::of(dtype)));
            model.set_info(new, Info { ty, ..Info::default() });
        }
        model.substitute(old, new);
    }
    let name = model.node(last).name().to_owned();
    let gone: Vec<NodeId> =
        plan.quantizers.iter().chain(plan.floats.iter().rev()).copied().collect();
    let mut read = Vec::new();
    for &gone in &gone {
        read.extend(model.reads(gone));
        model.remove_node(gone);
    }
    model.set_node_name(node, &name);
    sweep(model, read);
}

/// Removes what only the removed nodes read: DequantizeLinear nodes and constants.
fn sweep(model: &mut Model, mut pending: Vec<ValueId>) {
    while let Some(value) = pending.pop() {
        if !model.is_live_value(value) || !model.value(value).uses().is_empty() {
            continue;
        }
        match model.value(value).producer() {
            Some(node) if model.node(node).is("DequantizeLinear") => {
                pending.extend(model.reads(node));
                model.remove_node(node);
            }
            Some(_) => {}
            None => {
                model.remove_initializer(value);
            }
        }
    }
}
