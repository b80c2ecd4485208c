//! What a model costs: parameters, bytes of weights, multiply-accumulates.

#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};

use crate::analysis::shapes::{Shapes, Term};
use crate::analysis::{constant, products};
use crate::ir::{Constant, Def, GraphId, Model, Node, NodeId, Stored, ValueId};
use crate::tensor::Tensor;

/// Nodes between a layer and its stored weights that are looked through, e.g. DequantizeLinear,
/// Transpose, Reshape; a longer chain is no way to store weights.
const MAX_CHAIN: usize = 8;

/// The cost of a model.
///
/// Multiply-accumulates count Conv, ConvTranspose, Gemm, MatMul, Einsum and recurrent layers, and
/// their quantized and fused forms; additions of biases, activations, poolings and normalisations
/// are not counted. They are those of one run with the extents in [`Shapes`]: for one sample, infer
/// these with [`Assume::one_sample`](crate::analysis::Assume::one_sample).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cost {
    /// Multiply-accumulates. Of an If, the branch with more counts (the one that runs, when its
    /// condition is known); a body of Loop or Scan counts as often as it runs, as far as the number
    /// of iterations is known, else once.
    pub macs: u64,
    /// Layers whose multiply-accumulates could not be computed, layers in bodies that run an
    /// unknown number of times, and calls of model-local functions, which are not looked into.
    pub unknown: usize,
    /// Stored elements of all dense initializers and of the tensors in Constant nodes, of any
    /// type and in any graph. Shapes and axes that a file stores as `int64` tensors are among
    /// them, as in other tools; sparse initializers and tensors inside functions are not.
    pub parameters: u64,
    /// Bytes of these tensors; strings count their lengths.
    pub weight_bytes: u64,
    /// The layers, the main graph first, each graph in execution order.
    pub layers: Vec<Layer>,
}

/// One layer that multiplies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// The node.
    pub node: NodeId,
    /// Operator.
    pub op: String,
    /// Node name, or that of the first output when it has none.
    pub name: String,
    /// Multiply-accumulates of one execution; `None` when they depend on an unknown extent.
    pub macs: Option<u64>,
    /// Stored elements of its weights and biases, also when a DequantizeLinear or a change of
    /// layout stands between. A weight that two layers share counts for both.
    pub parameters: u64,
    /// Bytes of these weights and biases.
    pub weight_bytes: u64,
    /// Extents of the first output; `None` when the number of axes is unknown.
    pub output: Option<Vec<Term>>,
}

impl Cost {
    /// The cost of `model` for the extents in `shapes`.
    pub fn of(model: &Model, shapes: &Shapes) -> Self {
        let mut cost = Self::default();
        for graph in model.graphs() {
            for value in model.initializers_of(graph) {
                if let Some(tensor) = stored(model, value) {
                    cost.add_tensor(tensor);
                }
            }
            for (_, node) in model.nodes_of(graph) {
                if let (true, Some(tensor)) = (node.is("Constant"), node.attr_tensor("value")) {
                    cost.add_tensor(tensor);
                }
            }
        }
        cost.add_layers(model, shapes);
        cost
    }

    fn add_tensor(&mut self, tensor: &Tensor) {
        self.parameters = self.parameters.saturating_add(tensor.len() as u64);
        self.weight_bytes = self.weight_bytes.saturating_add(tensor.byte_size() as u64);
    }

    /// Graphs inside others come later in `order`, so adding up from the end meets the bodies of a
    /// node before the node.
    fn add_layers(&mut self, model: &Model, shapes: &Shapes) {
        if model.graphs().next().is_none() {
            return;
        }
        let order = running_graphs(model, shapes);
        let functions: HashSet<(&str, &str)> =
            model.functions().iter().map(|f| (f.domain.as_str(), f.name.as_str())).collect();
        for &graph in &order {
            for (id, node) in model.nodes_of(graph) {
                if functions.contains(&(node.domain(), node.op())) {
                    self.unknown += 1;
                } else if let Some(kind) = products::kind(node) {
                    self.layers.push(layer(model, shapes, id, &kind));
                }
            }
        }
        let mut totals: Vec<Total> = vec![Total::default(); order.len()];
        let slots: HashMap<GraphId, usize> =
            order.iter().enumerate().map(|(slot, &graph)| (graph, slot)).collect();
        for layer in &self.layers {
            let total = &mut totals[slots[&model.node(layer.node).graph()]];
            total.layers += 1;
            total.unknown += usize::from(layer.macs.is_none());
            total.macs = total.macs.saturating_add(layer.macs.unwrap_or(0));
        }
        for slot in (1..order.len()).rev() {
            let Some(parent) = model.graph(order[slot]).parent() else { continue };
            let node = model.node(parent);
            // An If adds its branches once, when the first of them is met.
            let first = running_bodies(node, shapes).next();
            if node.is("If") && first != Some(order[slot]) {
                continue;
            }
            let bodies = running_bodies(node, shapes).filter_map(|body| slots.get(&body));
            let sum = match node.is("If") {
                true => bodies.fold(Total::default(), |a, &b| a.larger(totals[b])),
                false => totals[slot].times(shapes.iterations(model, parent).extent()),
            };
            if let Some(&around) = slots.get(&node.graph()) {
                totals[around] = totals[around].plus(sum);
            }
        }
        let total = totals.first().copied().unwrap_or_default();
        self.macs = total.macs;
        self.unknown += total.unknown;
    }
}

/// Sums over a graph and the bodies in it.
#[derive(Debug, Clone, Copy, Default)]
struct Total {
    macs: u64,
    layers: usize,
    unknown: usize,
}

impl Total {
    fn plus(self, other: Self) -> Self {
        Self {
            macs: self.macs.saturating_add(other.macs),
            layers: self.layers + other.layers,
            unknown: self.unknown + other.unknown,
        }
    }

    /// Of two branches the more expensive one; what is unknown in either is unknown.
    fn larger(self, other: Self) -> Self {
        Self { macs: self.macs.max(other.macs), ..self.plus(other) }
    }

    fn times(self, iterations: Option<usize>) -> Self {
        match iterations {
            Some(n) => Self { macs: self.macs.saturating_mul(n as u64), ..self },
            None => Self { unknown: self.layers, ..self },
        }
    }
}

/// The main graph and all bodies that can run, each after the graph it stands in.
fn running_graphs(model: &Model, shapes: &Shapes) -> Vec<GraphId> {
    let mut order = vec![model.main()];
    let mut next = 0;
    while let Some(&graph) = order.get(next) {
        order.extend(model.nodes_of(graph).flat_map(|(_, node)| running_bodies(node, shapes)));
        next += 1;
    }
    order
}

/// Bodies of a node; of an If whose condition is known, the branch that runs.
fn running_bodies(node: &Node, shapes: &Shapes) -> impl Iterator<Item = GraphId> {
    let condition = match node.input(0).and_then(|condition| shapes.contents(condition)) {
        Some([Term::Known(condition)]) if node.is("If") => Some(*condition != 0),
        _ => None,
    };
    let skipped = match condition {
        Some(true) => "else_branch",
        Some(false) => "then_branch",
        None => "",
    };
    let attributes = node.attributes().iter().filter(move |a| a.name != skipped);
    attributes.flat_map(|a| a.value.graphs().iter().copied())
}

fn layer(model: &Model, shapes: &Shapes, id: NodeId, kind: &products::Kind) -> Layer {
    let node = model.node(id);
    let (mut parameters, mut weight_bytes) = (0u64, 0u64);
    for value in kind.weights.iter().filter_map(|&slot| node.input(slot)) {
        if let Some(tensor) = weights_behind(model, value) {
            parameters = parameters.saturating_add(tensor.len() as u64);
            weight_bytes = weight_bytes.saturating_add(tensor.byte_size() as u64);
        }
    }
    let output = node.output(0);
    Layer {
        node: id,
        op: node.op().to_owned(),
        name: model.name_of(id).to_owned(),
        macs: products::macs(node, kind.products, shapes),
        parameters,
        weight_bytes,
        output: output.and_then(|value| shapes.dims(value)).map(<[_]>::to_vec),
    }
}

/// The stored tensor a value is, or is made of by operators that only change its form.
fn weights_behind(model: &Model, value: ValueId) -> Option<Tensor> {
    let mut value = value;
    for _ in 0..MAX_CHAIN {
        if let Some(tensor) = stored(model, value) {
            return Some(tensor.clone());
        }
        let node = model.node(model.value(value).producer()?);
        match node.op() {
            "Constant" => return constant(model, value),
            "Cast" | "DequantizeLinear" | "Flatten" | "Identity" | "QuantizeLinear" | "Reshape"
            | "Squeeze" | "Transpose" | "Unsqueeze" => value = node.input(0)?,
            _ => return None,
        }
    }
    None
}

/// The dense tensor the file stores for a value, overridable or not.
fn stored(model: &Model, value: ValueId) -> Option<&Tensor> {
    match model.value(value).def() {
        Def::Initializer(Constant::Dense(Stored { tensor, .. }))
        | Def::Input { default: Some(Constant::Dense(Stored { tensor, .. })) } => Some(tensor),
        _ => None,
    }
}
