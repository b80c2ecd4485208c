//! Indices, and the operators that make floats of them.

use super::layout::Layout;
use super::packing::Packing;
use crate::ir::{At, Model, NewNode, NodeId, ValueId};
use crate::passes::rewrite::shared_constants::SharedConstants;
use crate::passes::stored::Share;
use crate::tensor::{DType, Tensor};

/// A weight as indices into a table, and scales.
pub(in crate::passes) struct Code {
    pub layout: Layout,
    /// In rising order.
    pub numbers: Vec<f32>,
    /// One for each part; not written where all elements are one.
    pub scales: Vec<f32>,
    /// For each element its number.
    pub indices: Vec<i32>,
}

impl Code {
    /// Numbers that bytes hold as they are, so that no table is needed.
    fn signs(&self) -> bool {
        self.numbers == [-1.0, 1.0] || self.numbers == [-1.0, 0.0, 1.0]
    }

    /// What is stored.
    fn tensor(&self) -> Tensor {
        packed(&self.layout, Packing::of(self.numbers.len()), &self.indices)
    }
}

/// Indices as bytes: of the extents of the weight when each has its own, otherwise in a row.
pub(super) fn packed(layout: &Layout, packing: Packing, indices: &[i32]) -> Tensor {
    let dims = layout.stored_dims();
    let mut stored = vec![0u8; dims.iter().product()];
    let place = layout.place();
    for (i, &index) in indices.iter().enumerate() {
        stored[place(i)] = index as u8;
    }
    match packing.digits {
        1 => Tensor::from_u8(&dims, &stored),
        _ => {
            let bytes = packing.pack(&stored);
            Tensor::from_u8(&[bytes.len()], &bytes)
        }
    }
}

/// Writes weights; what several of them need stands in the model once.
pub(in crate::passes) struct Writer<'a> {
    model: &'a mut Model,
    constants: SharedConstants,
}

impl<'a> Writer<'a> {
    pub fn new(model: &'a mut Model) -> Self {
        Self { model, constants: SharedConstants::default() }
    }

    /// How messages name a node of the model.
    pub fn label(&self, node: NodeId) -> String {
        self.model.label(node)
    }

    /// Lets `readers` read what `code` stands for instead of the constant `value`, as floats of the same type.
    pub fn write(
        &mut self,
        (value, dtype): (ValueId, DType),
        readers: &[(NodeId, usize)],
        code: &Code,
    ) {
        let name = self.model.value(value).name().to_owned();
        for &(node, slot) in readers {
            self.model.set_input(node, slot, None);
        }
        let stored = self.stored(value, &name, code.tensor());
        let mut chain = Chain { writer: self, name: &name, last: None, value: stored };
        chain.numbers(code);
        chain.scaled(code);
        if dtype != DType::Float {
            chain.cast(dtype);
        }
        let floats = chain.value;
        for &(node, slot) in readers {
            self.model.set_input(node, slot, Some(floats));
        }
    }

    /// The bytes in the place of the weight, or beside it when others read it.
    fn stored(&mut self, value: ValueId, name: &str, bytes: Tensor) -> ValueId {
        let main = self.model.main();
        let entry = self.model.value(value);
        if entry.uses().is_empty() && entry.graph() == main && entry.initializer().is_some() {
            self.model.set_tensor(value, bytes);
            return value;
        }
        self.model.add_initializer(main, &format!("{name}_q"), bytes)
    }

    fn constant(&mut self, role: &str, tensor: Tensor) -> ValueId {
        self.constants.value(self.model, role, tensor)
    }

    fn list(&mut self, role: &str, numbers: &[usize]) -> ValueId {
        let numbers: Vec<i64> = numbers.iter().map(|&x| x as i64).collect();
        self.constant(role, Tensor::from_i64(&[numbers.len()], &numbers))
    }
}

/// Nodes one behind the other, at the start of the main graph, where a runtime computes them once.
struct Chain<'w, 'a> {
    writer: &'w mut Writer<'a>,
    name: &'w str,
    last: Option<NodeId>,
    value: ValueId,
}

impl Chain<'_, '_> {
    fn add(&mut self, op: &str, inputs: &[ValueId], role: &str, attribute: Option<(&str, i64)>) {
        let output = format!("{}_{role}", self.name);
        let node = NewNode { name: String::new(), ..NewNode::new(op, inputs, &output) };
        let node = attribute.into_iter().fold(node, |node, (name, x)| node.attr(name, x));
        let model = &mut *self.writer.model;
        let node = model.add_node(model.main(), self.last.map_or(At::Start, At::After), node);
        self.last = Some(node);
        self.value = model.node(node).only_output().unwrap_or(self.value);
    }

    fn cast(&mut self, dtype: DType) {
        self.add("Cast", &[self.value], "cast", Some(("to", i64::from(dtype.to_onnx()))));
    }

    fn pick(&mut self, from: ValueId, role: &str) {
        self.add("Gather", &[from, self.value], role, None);
    }

    fn reshape(&mut self, dims: &[usize]) {
        let shape = self.writer.list("shape", dims);
        self.add("Reshape", &[self.value, shape], "shaped", None);
    }

    fn slice(&mut self, axis: usize, end: usize) {
        let bounds = [("starts", 0), ("ends", end), ("axes", axis)];
        let [starts, ends, axes] = bounds.map(|(role, x)| self.writer.list(role, &[x]));
        self.add("Slice", &[self.value, starts, ends, axes], "sliced", None);
    }

    /// From bytes to numbers, in the extents in which they are stored.
    fn numbers(&mut self, code: &Code) {
        let packing = Packing::of(code.numbers.len());
        let dims = code.layout.stored_dims();
        self.cast(DType::Int32);
        if packing.digits > 1 {
            let rows = packing.rows();
            let digits = rows.iter().flat_map(|row| &row[..packing.digits]);
            let dims = [rows.len(), packing.digits];
            let tensor = match code.signs() {
                true => {
                    let signs: Vec<i8> =
                        digits.map(|&digit| code.numbers[usize::from(digit)] as i8).collect();
                    Tensor::from_i8(&dims, &signs)
                }
                false => Tensor::from_u8(&dims, &digits.copied().collect::<Vec<u8>>()),
            };
            let digits = self.writer.constant("digits", tensor);
            self.pick(digits, "digits");
        }
        if code.signs() {
            self.cast(DType::Float);
        } else {
            if packing.digits > 1 {
                self.cast(DType::Int32);
            }
            let numbers = Tensor::from_f32(&[code.numbers.len()], &code.numbers);
            let numbers = self.writer.constant("table", numbers);
            self.pick(numbers, "numbers");
        }
        if packing.digits > 1 {
            let count: usize = dims.iter().product();
            if !count.is_multiple_of(packing.digits) {
                self.reshape(&[count.next_multiple_of(packing.digits)]);
                self.slice(0, count);
            }
            self.reshape(&dims);
        }
    }

    /// Times scales, in the extents of the weight.
    fn scaled(&mut self, code: &Code) {
        let layout = &code.layout;
        if code.scales.iter().any(|&scale| scale != 1.0) {
            let scales = Tensor::from_f32(&layout.scale_dims(), &code.scales);
            let scales = self.writer.constant("scale", scales);
            self.add("Mul", &[self.value, scales], "unpacked", None);
        }
        if let Share::Block { axis, .. } = layout.share {
            self.reshape(&layout.whole_dims());
            if layout.whole_dims() != layout.dims {
                self.slice(axis, layout.dims[axis]);
            }
        }
    }
}
