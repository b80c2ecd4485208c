//! What all steps need: values of known type and shape, constants in every form, new nodes.

use std::collections::BTreeMap;

use onnxpress::ir::{At, GraphId, Model, NewNode, ValueId};
use onnxpress::tensor::{DType, Tensor};

use super::Choices;

/// A value whose type and extents are known.
#[derive(Debug, Clone)]
pub struct Value {
    pub id: ValueId,
    pub dtype: DType,
    pub dims: Vec<usize>,
    /// The first axis is the batch, whose extent the model leaves open.
    pub batched: bool,
    /// How many factors that depend on the input its elements have; bounded, so that nothing
    /// overflows.
    pub degree: usize,
}

impl Value {
    pub fn rank(&self) -> usize {
        self.dims.len()
    }

    pub fn len(&self) -> usize {
        self.dims.iter().product()
    }

    /// The first axis that a step may change.
    pub fn first_axis(&self) -> usize {
        usize::from(self.batched)
    }

    pub fn is_float(&self) -> bool {
        matches!(self.dtype, DType::Float | DType::Double | DType::Float16)
    }
}

/// A model in the making.
pub struct Builder<'a, 'b> {
    pub choices: &'a mut Choices<'b>,
    pub model: Model,
    pub opset: i64,
    /// The graph that nodes go to.
    pub graph: GraphId,
    /// Visible values, the newest last.
    pub values: Vec<Value>,
    /// Visible constants that further steps may share, with the lower bound of their elements.
    constants: Vec<(f32, Value)>,
    /// The model leaves the extent of the batch open.
    pub free: bool,
    pub batch: usize,
    /// Type and extents of the values of the main graph by name.
    pub seen: BTreeMap<String, (DType, Vec<usize>)>,
    /// State of the generator of elements.
    state: u32,
}

/// Most elements of a value.
pub const LARGEST: usize = 1 << 11;
/// Most factors that depend on the input.
pub const HIGHEST_DEGREE: usize = 6;

impl<'a, 'b> Builder<'a, 'b> {
    pub fn new(choices: &'a mut Choices<'b>, opset: i64) -> Self {
        let model = Model::new(8, opset);
        let graph = model.main();
        let (free, batch) = (choices.chance(2), choices.between(2, 3));
        let state = choices.below(1 << 16) as u32;
        Self {
            choices,
            model,
            opset,
            graph,
            values: Vec::new(),
            constants: Vec::new(),
            free,
            batch,
            seen: BTreeMap::new(),
            state,
        }
    }

    /// Describes a value of the current graph.
    pub fn value(&mut self, id: ValueId, dtype: DType, dims: Vec<usize>, batched: bool) -> Value {
        if self.graph == self.model.main() {
            let name = self.model.value(id).name().to_owned();
            self.seen.insert(name, (dtype, dims.clone()));
        }
        Value { id, dtype, dims, batched, degree: 1 }
    }

    /// One of the values that `fits`, mostly a new one.
    pub fn pick(&mut self, fits: impl Fn(&Value) -> bool) -> Option<Value> {
        let fitting: Vec<&Value> = self.values.iter().rev().filter(|value| fits(value)).collect();
        let among = if self.choices.chance(3) { fitting.len() } else { fitting.len().min(3) };
        let index = self.choices.below(among);
        fitting.get(index).map(|&value| value.clone())
    }

    /// A floating-point value of a rank.
    pub fn pick_float(&mut self, ranks: std::ops::RangeInclusive<usize>) -> Option<Value> {
        self.pick(|value| value.is_float() && ranks.contains(&value.rank()))
    }

    /// Adds a node with one output that is like `like` in all but its extents.
    pub fn node(&mut self, node: NewNode, like: &Value, dims: Vec<usize>) -> Option<Value> {
        self.typed(node, like, like.dtype, dims)
    }

    /// As [`Builder::node`], of another element type.
    pub fn typed(
        &mut self,
        node: NewNode,
        like: &Value,
        dtype: DType,
        dims: Vec<usize>,
    ) -> Option<Value> {
        self.add(node, &[(dtype, dims)], like).pop()
    }

    /// Adds a node whose outputs are of these types and extents.
    pub fn add(
        &mut self,
        mut node: NewNode,
        outputs: &[(DType, Vec<usize>)],
        like: &Value,
    ) -> Vec<Value> {
        let base = node.outputs[0].clone();
        node.outputs.resize(outputs.len(), base);
        if self.choices.chance(4) {
            node.name.clear();
        }
        let node = self.model.add_node(self.graph, At::End, node);
        let ids: Vec<ValueId> = self.model.node(node).outputs().iter().flatten().copied().collect();
        let described = ids.into_iter().zip(outputs);
        described
            .map(|(id, (dtype, dims))| Value {
                degree: like.degree,
                ..self.value(id, *dtype, dims.clone(), like.batched)
            })
            .collect()
    }

    /// Leaves a body: what was made inside is not visible outside.
    pub fn forget(&mut self, values: usize, constants: usize) {
        self.values.truncate(values);
        self.constants.truncate(constants);
    }

    /// How many constants can be shared here.
    pub fn shared(&self) -> usize {
        self.constants.len()
    }

    /// The next number from 0 to 1 of the generator of elements (a linear congruential one).
    fn unit(&mut self) -> f32 {
        self.state = self.state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (self.state >> 8) as f32 / (1 << 24) as f32
    }

    /// A floating-point constant with elements between two bounds; equal ones may be shared.
    pub fn constant(&mut self, dtype: DType, dims: &[usize], low: f32, high: f32) -> Value {
        let known = self.constants.iter().find(|(bound, known)| {
            (*bound, known.dtype, known.dims.as_slice()) == (low, dtype, dims)
        });
        if let Some((_, known)) = known.cloned()
            && self.choices.chance(2)
        {
            return known;
        }
        let count = dims.iter().product();
        let elements: Vec<f32> = (0..count).map(|_| low + self.unit() * (high - low)).collect();
        // In another precision behind a Cast, now and then.
        let stored = if self.choices.chance(12) { DType::Double } else { dtype };
        let tensor = Tensor::from_f32_as(stored, dims, &elements).expect("finite numbers");
        let mut value = self.tensor(tensor);
        if stored != dtype {
            let node = NewNode::new("Cast", &[value.id], "cast");
            let node = node.attr("to", i64::from(dtype.to_onnx()));
            value = self.typed(node, &value, dtype, dims.to_vec()).expect("one output");
        }
        if self.choices.chance(10) {
            let node = NewNode::new("Identity", &[value.id], "alias");
            value = self.node(node, &value, dims.to_vec()).expect("one output");
        }
        self.constants.push((low, value.clone()));
        value
    }

    /// A vector of integers: axes, shapes, indices.
    pub fn ints(&mut self, ints: &[i64]) -> Value {
        self.tensor(Tensor::from_i64(&[ints.len()], ints))
    }

    /// A stored tensor, as an initializer or in a Constant node.
    pub fn tensor(&mut self, tensor: Tensor) -> Value {
        let (dtype, dims) = (tensor.dtype(), tensor.dims().to_vec());
        let id = if self.choices.chance(3) {
            let node = self.constant_node(tensor);
            let node = self.model.add_node(self.graph, At::End, node);
            self.model.node(node).output(0).expect("an output")
        } else {
            self.model.add_initializer(self.graph, "w", tensor)
        };
        Value { degree: 0, ..self.value(id, dtype, dims, false) }
    }

    /// Short lists have an attribute of their own from operator set 12 on.
    fn constant_node(&mut self, tensor: Tensor) -> NewNode {
        let node = NewNode::new("Constant", &[], "c");
        let short = self.opset >= 12 && self.choices.chance(2);
        match (short, tensor.dtype(), tensor.dims()) {
            (true, DType::Int64, [_]) => {
                node.attr("value_ints", tensor.to_i64().expect("integers"))
            }
            (true, DType::Float, [_]) => {
                node.attr("value_floats", tensor.to_f32().expect("numbers"))
            }
            _ => node.attr("value", tensor),
        }
    }

    /// An input that was an attribute before operator set `since`: adds whichever is right.
    pub fn moved(&mut self, node: NewNode, name: &str, ints: &[i64], since: i64) -> NewNode {
        if self.opset < since {
            return node.attr(name, ints.to_vec());
        }
        let value = self.ints(ints);
        let mut node = node;
        node.inputs.push(Some(value.id));
        node
    }
}
