//! Recurrent layers over sequences of several lengths, in terms of layers that read all steps, forward.

use crate::error::{Result, err};
use crate::exec::recurrent;
use crate::ir::{At, Attribute, Model, NewNode, Node, NodeId, ValueId};
use crate::tensor::{DType, Tensor};

/// The slot of the lengths.
pub(super) const LENGTHS: usize = 4;
/// Slots with a part for each direction: weights, biases, initial states and peepholes.
const OF_DIRECTIONS: [usize; 6] = [1, 2, 3, 5, 6, 7];
/// The first operator set with GatherElements, Range, and Slice by inputs.
const OPSET: i64 = 11;

/// Why a layer with lengths is not spelled out; `None` when it is.
pub(super) fn obstacle(model: &Model, node: &Node) -> Option<&'static str> {
    let cells = node.output(2).is_some_and(|cells| !model.value(cells).uses().is_empty());
    let own = ["activations", "activation_alpha", "activation_beta"];
    let both = node.attr_str("direction") == Some("bidirectional");
    if model.opset() < Some(OPSET) {
        Some("tract computes lengths of sequences from operator set 11 on")
    } else if node.attr_int("layout").unwrap_or(0) != 0 {
        Some("tract does not compute lengths of sequences with the batch first")
    } else if cells {
        Some("tract does not compute the last cells of sequences of several lengths")
    } else if both && own.iter().any(|name| node.attr(name).is_some()) {
        Some(
            "tract does not compute lengths of sequences in two directions with activations of their own",
        )
    } else {
        None
    }
}

/// Puts layers that read all steps in the place of one with lengths: what lies behind the end of a sequence becomes
/// zero, and the last state is that of its last step.
///
/// # Errors
/// When the number of units is not known, or the outputs are mentioned by carried data.
pub(super) fn spell_out(view: &mut Model, id: NodeId) -> Result<()> {
    let label = view.label(id);
    let done = Draft { view, before: id }.layer();
    done.ok_or_else(|| err!(Engine, "tract does not compute lengths of sequences here").at(label))
}

/// What is the same in all directions, for each step and sequence.
struct Steps {
    /// Whether the step is within the sequence.
    inside: ValueId,
    /// The step that takes its place when the sequence is turned around.
    turned: ValueId,
    /// The last step of each sequence.
    last: ValueId,
    /// The dims to which a number for each step and sequence is repeated for what the layer reads.
    like_x: ValueId,
}

/// Nodes that come to stand before another one.
struct Draft<'a> {
    view: &'a mut Model,
    before: NodeId,
}

impl Draft<'_> {
    fn layer(mut self) -> Option<()> {
        let node = self.view.node(self.before);
        let (x, lengths) = (node.input(0)?, node.input(LENGTHS)?);
        let hidden = recurrent::units(self.view, node)?;
        let zero = recurrent::zero(self.view, node, &[])?;
        let reversed: &[bool] = match node.attr_str("direction") {
            Some("reverse") => &[true],
            Some("bidirectional") => &[false, true],
            _ => &[false],
        };
        let outputs = [node.output(0), node.output(1)];
        let zero = self.constant(zero);
        let of_y = self.ints(&[1, 1, 1, hidden]);
        let steps = self.steps(x, lengths)?;
        let inside = self.reshaped(steps.inside, &[0, 1, -1, 1])?;
        let (mut whole, mut lasts) = (Vec::new(), Vec::new());
        for (place, &turn) in reversed.iter().enumerate() {
            let part = (reversed.len() > 1).then_some(place as i64);
            let of_x = steps.like_x;
            let read = if turn { self.picked(x, steps.turned, &[0, -1, 1], of_x)? } else { x };
            let y = self.forward(read, part)?;
            let last = self.picked(y, steps.last, &[1, 1, -1, 1], of_y)?;
            lasts.push(self.reshaped(last, &[1, -1, hidden])?);
            let y = if turn { self.picked(y, steps.turned, &[0, 1, -1, 1], of_y)? } else { y };
            whole.push(self.op("Where", &[inside, y, zero])?);
        }
        let results = [self.joined(&whole, 1)?, self.joined(&lasts, 0)?];
        let pairs: Vec<_> = outputs.into_iter().zip(results).collect();
        recurrent::replace(self.view, self.before, &pairs)
    }

    /// What follows from the number of steps and the lengths.
    fn steps(&mut self, x: ValueId, lengths: ValueId) -> Option<Steps> {
        let shape = self.op("Shape", &[x])?;
        let (first, zero, one) = (self.int(0), self.int(0), self.int(1));
        let number = self.op("Gather", &[shape, first])?;
        let places = self.op("Range", &[zero, number, one])?;
        let places = self.reshaped(places, &[-1, 1])?;
        let to = i64::from(DType::Int64.to_onnx());
        let wide = NewNode::new("Cast", &[lengths], "lengths").attr("to", to);
        let wide = self.add(wide)?;
        let lengths = self.reshaped(wide, &[1, -1])?;
        let inside = self.op("Less", &[places, lengths])?;
        let last = self.op("Sub", &[lengths, one])?;
        let from_end = self.op("Sub", &[last, places])?;
        let turned = self.op("Where", &[inside, from_end, places])?;
        let (ones, width) = (self.ints(&[1, 1]), self.ints(&[2]));
        let width = self.op("Gather", &[shape, width])?;
        let like_x = self.joined(&[ones, width], 0)?;
        Some(Steps { inside, turned, last, like_x })
    }

    /// The layer that reads all steps forward: all of it, or the part of one direction. Its first output.
    fn forward(&mut self, x: ValueId, part: Option<i64>) -> Option<ValueId> {
        let node = self.view.node(self.before);
        let (op, mut inputs) = (node.op().to_owned(), node.inputs().to_vec());
        let plain = |attribute: &&Attribute| attribute.name != "direction";
        let attributes = node.attributes().iter().filter(plain).cloned().collect();
        let name = format!("{}_{}", self.view.name_of(self.before), part.unwrap_or(0));
        inputs[0] = Some(x);
        inputs[LENGTHS] = None;
        if let Some(part) = part {
            for slot in OF_DIRECTIONS {
                let Some(Some(value)) = inputs.get(slot).copied() else { continue };
                let bounds = [part, part + 1, 0].map(|n| self.ints(&[n]));
                inputs[slot] = Some(self.op("Slice", &[&[value][..], &bounds[..]].concat())?);
            }
        }
        let outputs = vec!["forward".to_owned()];
        self.add(NewNode { op, name, inputs, outputs, attributes, ..NewNode::default() })
    }

    /// The elements of `x` along the first axis that `places` say, which get these dims and are repeated to those of
    /// `like`.
    fn picked(
        &mut self,
        x: ValueId,
        places: ValueId,
        dims: &[i64],
        like: ValueId,
    ) -> Option<ValueId> {
        let places = self.reshaped(places, dims)?;
        let places = self.op("Expand", &[places, like])?;
        self.add(NewNode::new("GatherElements", &[x, places], "picked").attr("axis", 0i64))
    }

    fn joined(&mut self, parts: &[ValueId], axis: i64) -> Option<ValueId> {
        self.add(NewNode::new("Concat", parts, "joined").attr("axis", axis))
    }

    fn reshaped(&mut self, x: ValueId, dims: &[i64]) -> Option<ValueId> {
        let dims = self.ints(dims);
        self.op("Reshape", &[x, dims])
    }

    fn op(&mut self, op: &str, inputs: &[ValueId]) -> Option<ValueId> {
        self.add(NewNode::new(op, inputs, "spelled_out"))
    }

    fn add(&mut self, node: NewNode) -> Option<ValueId> {
        let graph = self.view.node(self.before).graph();
        let made = self.view.add_node(graph, At::Before(self.before), node);
        self.view.node(made).output(0)
    }

    fn int(&mut self, n: i64) -> ValueId {
        self.constant(Tensor::from_i64(&[], &[n]))
    }

    fn ints(&mut self, numbers: &[i64]) -> ValueId {
        self.constant(Tensor::from_i64(&[numbers.len()], numbers))
    }

    fn constant(&mut self, tensor: Tensor) -> ValueId {
        let graph = self.view.node(self.before).graph();
        self.view.add_initializer(graph, "number", tensor)
    }
}
