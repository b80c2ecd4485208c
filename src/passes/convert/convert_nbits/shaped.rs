//! Matrices of 2 bits that stay behind a DequantizeLinear, in a form that ONNX Runtime computes rightly.

use crate::analysis::constant;
use crate::ir::{At, Attribute, Info, Model, NewNode, NodeId, ValueId};
use crate::tensor::{DType, Tensor};

/// ONNX Runtime makes MatMulNBits of such a matrix by itself, and packs it wrongly unless its columns are a multiple of
/// this.
const COLUMNS: usize = 4;

/// A DequantizeLinear of a matrix that gets an axis more, and a Reshape behind it: no pattern of ONNX Runtime.
pub(super) struct Shaped {
    node: NodeId,
    dims: [usize; 2],
    /// Integers, scales and zero points with one axis more where they have two.
    inputs: Vec<(ValueId, Tensor)>,
    axis: i64,
}

impl Shaped {
    /// What the matrix that a product reads becomes; nothing when ONNX Runtime computes it rightly. Beside activations of
    /// integers (`pairs`) it would look for a product of integers, which it has for no such matrix.
    pub fn find(model: &Model, product: NodeId, pairs: bool) -> Option<Self> {
        let entry = model.node(product);
        if !entry.is("MatMul") && !entry.is("Gemm") {
            return None;
        }
        let by_columns = entry.is("MatMul") || entry.attr_int("transB").unwrap_or(0) == 0;
        let floats = entry.input(1)?;
        let node =
            model.value(floats).producer().filter(|&n| model.node(n).is("DequantizeLinear"))?;
        let unpacking = model.node(node);
        let stored = constant(model, unpacking.input(0)?)?;
        let &[rows, columns] = stored.dims() else { return None };
        let narrow = matches!(stored.dtype(), DType::Int2 | DType::Uint2);
        let packed = by_columns && !columns.is_multiple_of(COLUMNS);
        if !narrow || !packed && !pairs {
            return None;
        }
        let raised = |&value: &ValueId| {
            let tensor = constant(model, value)?;
            match *tensor.dims() {
                [rows, columns] => Some((value, tensor.reshaped(vec![rows, 1, columns]).ok()?)),
                _ => Some((value, tensor)),
            }
        };
        let inputs = unpacking.inputs().iter().flatten().map(raised).collect::<Option<_>>()?;
        let axis = unpacking.attr_int("axis").unwrap_or(1).rem_euclid(2);
        Some(Self { node, dims: [rows, columns], inputs, axis: 2 * axis })
    }

    /// What the report says.
    pub fn text(&self) -> String {
        let [_, columns] = self.dims;
        format!("{columns} columns of 2 bits behind a Reshape, which ONNX Runtime does not fuse")
    }

    /// The node that is edited.
    pub fn node(&self) -> NodeId {
        self.node
    }

    /// Puts the axis in, and the Reshape behind the DequantizeLinear.
    pub fn apply(self, model: &mut Model) {
        let main = model.main();
        let Some(floats) = model.node(self.node).only_output() else { return };
        for (slot, (value, tensor)) in self.inputs.into_iter().enumerate() {
            let entry = model.value(value);
            if entry.only_consumer().is_some() && entry.initializer().is_some() {
                model.set_tensor(value, tensor);
            } else if constant(model, value).is_some_and(|before| before.dims() != tensor.dims()) {
                let name = model.value(value).name().to_owned();
                let raised = model.add_initializer(main, &name, tensor);
                model.set_input(self.node, slot, Some(raised));
            }
        }
        model.set_attr(self.node, Attribute::new("axis", self.axis));
        let [rows, columns] = self.dims;
        let dims = Tensor::from_i64(&[2], &[rows as i64, columns as i64]);
        let dims = model.add_initializer(main, "shape", dims);
        let name = format!("{}_shaped", model.value(floats).name());
        let node =
            NewNode { name: String::new(), ..NewNode::new("Reshape", &[floats, dims], &name) };
        let graph = model.node(self.node).graph();
        let added = model.add_node(graph, At::After(self.node), node);
        let Some(shaped) = model.node(added).only_output() else { return };
        model.replace_uses_where(floats, shaped, |reader, _| reader != added);
        model.set_info(floats, Info::default());
    }
}
