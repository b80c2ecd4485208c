//! Which operators of two models take the time.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use crate::error::{Result, err};
use crate::exec::{Engine, OperatorTimes, Runner};
use crate::ir::{Model, NodeId};
use crate::tensor::Tensor;
use crate::validate::timing::TIMED_RUNS;

/// What the operators of a model take in one run.
#[derive(Debug, Clone, PartialEq)]
pub struct Profile {
    /// In the order of the model, then what the engine made of its own.
    pub nodes: Vec<NodeTime>,
}

/// What a node of a model takes in one run.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeTime {
    /// Its name, or that of its first output; the engine's for what it made of its own.
    pub name: String,
    /// Its operator; the engine's for what it made of its own.
    pub op: String,
    /// The operators of the engine that it became, in the order of their names.
    pub kernels: BTreeSet<String>,
    /// Milliseconds: the medians of these, added up.
    pub milliseconds: f64,
}

/// Times the operators of two models on the same inputs, in turn as [`timing`](crate::validate::timing) does.
/// Engines rewrite models; what a node becomes counts for that node as far as names tell.
///
/// # Errors
/// When one of the models cannot be run, or the engine does not time operators.
pub fn profile(
    engine: &dyn Engine,
    models: [&Model; 2],
    inputs: &[(String, Tensor)],
) -> Result<[Profile; 2]> {
    let profiling = engine.profiling();
    let profiling = profiling
        .ok_or_else(|| err!(Unsupported, "{} does not time its operators", engine.name()))?;
    let runners = models.map(|model| Runner::new(&*profiling, model, Vec::new()));
    // The first round prepares the sessions and is not counted.
    for _ in 0..=TIMED_RUNS {
        for runner in &runners {
            runner.run(inputs)?;
        }
    }
    let times = [runners[0].operators()?, runners[1].operators()?];
    Ok([0, 1].map(|side: usize| Profile::of(models[side], &times[side])))
}

/// What engines put behind the name of a node for what they make of it.
const JOINTS: [char; 4] = ['.', '_', '/', '#'];

impl Profile {
    /// Milliseconds of all operators together.
    pub fn milliseconds(&self) -> f64 {
        self.nodes.iter().map(|node| node.milliseconds).sum()
    }

    fn of(model: &Model, operators: &[OperatorTimes]) -> Self {
        let mut nodes: Vec<NodeTime> = Vec::new();
        let mut known: HashMap<String, usize> = HashMap::new();
        for id in model.all_nodes() {
            let name = model.name_of(id).to_owned();
            known.entry(name.clone()).or_insert(nodes.len());
            nodes.push(NodeTime::new(name, model.node(id).op().to_owned()));
        }
        let ids = model.all_nodes();
        let positions: HashMap<NodeId, usize> = ids.iter().copied().zip(0..).collect();
        for operator in operators {
            let found = source(&operator.name, &known).map(|at| {
                let layer = ids.get(at).and_then(|&id| fused_layer(model, id, &operator.op));
                layer.and_then(|layer| positions.get(&layer).copied()).unwrap_or(at)
            });
            let at = found.unwrap_or_else(|| {
                known.insert(operator.name.clone(), nodes.len());
                nodes.push(NodeTime::new(operator.name.clone(), operator.op.clone()));
                nodes.len() - 1
            });
            nodes[at].kernels.insert(operator.op.clone());
            // The first run warms up.
            nodes[at].milliseconds += median(operator.runs.get(1..).unwrap_or_default());
        }
        nodes.retain(|node| !node.kernels.is_empty());
        Self { nodes }
    }
}

/// Operators that hold the work of a model: those that a kernel is named by, whatever it takes in.
const PRODUCTS: [&str; 3] = ["Conv", "Gemm", "MatMul"];
/// Operators that engines put into the kernel of a product before them.
const FOLLOWERS: [&str; 10] = [
    "Add",
    "BatchNormalization",
    "Clip",
    "HardSigmoid",
    "HardSwish",
    "LeakyRelu",
    "Mul",
    "Relu",
    "Sigmoid",
    "Tanh",
];
/// Most of these behind one product.
const MOST_FOLLOWERS: usize = 4;

/// The layer that is in the kernel of a node behind it: ONNX Runtime calls a fused kernel after its last node.
fn fused_layer(model: &Model, node: NodeId, kernel: &str) -> Option<NodeId> {
    let product = PRODUCTS.iter().find(|product| kernel.contains(*product))?;
    let mut nodes = vec![node];
    for _ in 0..=MOST_FOLLOWERS {
        let layer = nodes.iter().find(|&&node| model.node(node).op().contains(product));
        if layer.is_some() {
            return layer.copied();
        }
        nodes.retain(|&node| FOLLOWERS.contains(&model.node(node).op()));
        let read = nodes.iter().flat_map(|&node| model.node(node).inputs()).flatten();
        nodes = read.filter_map(|&value| model.value(value).producer()).collect();
    }
    None
}

impl NodeTime {
    fn new(name: String, op: String) -> Self {
        Self { name, op, kernels: BTreeSet::new(), milliseconds: 0.0 }
    }
}

/// The node whose name is the longest that `name` begins with.
fn source(name: &str, known: &HashMap<String, usize>) -> Option<usize> {
    let mut rest = name;
    loop {
        if let Some(&at) = known.get(rest) {
            return Some(at);
        }
        rest = &rest[..rest.rfind(JOINTS)?];
    }
}

/// In milliseconds.
fn median(times: &[Duration]) -> f64 {
    let mut times = times.to_vec();
    times.sort_unstable();
    times.get(times.len() / 2).map_or(0.0, |time| time.as_secs_f64() * 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::{At, NewNode};

    #[test]
    fn a_fused_kernel_counts_for_its_layer() {
        let mut model = Model::new(7, 13);
        let graph = model.main();
        let mut value = model.add_initializer(graph, "x", Tensor::from_f32(&[1, 1], &[1.0]));
        let mut ids = Vec::new();
        for (op, name) in [("MatMul", "m"), ("Add", "a"), ("Relu", "r"), ("Softmax", "s")] {
            let inputs = if op == "Relu" { vec![value] } else { vec![value, value] };
            let node = model.add_node(graph, At::End, NewNode::new(op, &inputs, name));
            value = model.node(node).output(0).expect("an output");
            ids.push(node);
        }
        assert_eq!(fused_layer(&model, ids[2], "FusedMatMul"), Some(ids[0]));
        assert_eq!(fused_layer(&model, ids[2], "Conv"), None);
        assert_eq!(fused_layer(&model, ids[2], "Relu"), None);
        assert_eq!(fused_layer(&model, ids[3], "MatMul"), None);
    }

    #[test]
    fn what_a_node_becomes_counts_for_it() {
        let mut model = Model::new(7, 13);
        let graph = model.main();
        let one = model.add_initializer(graph, "one", Tensor::from_f32(&[1], &[1.0]));
        for name in ["conv", "conv_1"] {
            model.add_node(graph, At::End, NewNode::new("Neg", &[one], name));
        }
        let times = |name: &str, op: &str, runs: [u64; 4]| OperatorTimes {
            name: name.into(),
            op: op.into(),
            runs: runs.map(Duration::from_millis).to_vec(),
        };
        let profile = Profile::of(
            &model,
            &[
                times("conv_1.im2col", "Im2Col", [90, 1, 2, 3]),
                times("conv_1.matmul", "Product", [90, 10, 30, 20]),
                times("conv", "Negative", [90, 5, 5, 5]),
                times("reorder_5", "Reorder", [90, 1, 1, 1]),
            ],
        );
        let found = profile.nodes.iter().map(|node| (&*node.name, &*node.op, node.milliseconds));
        let expected =
            [("conv", "Neg", 5.0), ("conv_1", "Neg", 22.0), ("reorder_5", "Reorder", 1.0)];
        assert_eq!(found.collect::<Vec<_>>(), expected);
        assert_eq!(profile.nodes[1].kernels.len(), 2);
        assert_eq!(profile.milliseconds(), 28.0);
    }
}
