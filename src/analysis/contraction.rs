//! Linear layers as products of a matrix with vectors.

use crate::analysis::{constant_floats, is_layer};
use crate::ir::ops::{Conv, Gemm};
use crate::ir::{Model, NodeId, ValueId};
use crate::math::{Moments, Padding, Unfold, Windows};
use crate::tensor::{DType, Tensor};

/// A Conv, ConvTranspose, Gemm or MatMul as `y = W x`: for each of its groups a matrix of weights, and
/// the vectors that it is multiplied with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contraction {
    /// What is multiplied with the weights.
    pub input: ValueId,
    /// How it becomes vectors.
    pub unfold: Unfold,
    /// Number of matrices.
    pub groups: usize,
    /// Outputs of each matrix.
    pub rows: usize,
    /// Inputs of each matrix.
    pub columns: usize,
    order: Order,
}

/// Where weights stand in their tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    /// `[output, …]`: Conv, and Gemm with `transB`.
    RowFirst,
    /// `[input, output, place]`: ConvTranspose, and with one place Gemm and MatMul.
    ColumnFirst { places: usize },
}

/// The slot of the weights in every such layer.
pub const WEIGHT_SLOT: usize = 1;

/// The weights of such a layer as `float`, when they are constant floats.
pub fn float_weight(model: &Model, layer: NodeId) -> Option<Tensor> {
    let weight = constant_floats(model, model.node(layer).input(WEIGHT_SLOT)?)?.tensor;
    match weight.dtype() {
        DType::Float => Some(weight),
        _ => Some(Tensor::from_f32(weight.dims(), &weight.to_f32().ok()?)),
    }
}

impl Contraction {
    /// The layers of `float` whose weights are constants.
    pub fn all(model: &Model) -> impl Iterator<Item = (NodeId, Self)> {
        let layers = model.all_nodes().into_iter().filter(|&node| is_layer(model.node(node)));
        layers.filter_map(|node| {
            let weight = constant_floats(model, model.node(node).input(WEIGHT_SLOT)?)?;
            let known = weight.dtype == DType::Float;
            Some((node, Self::of(model, node, weight.tensor.dims()).ok().filter(|_| known)?))
        })
    }

    /// The layer `node`, whose weights have `dims`.
    ///
    /// # Errors
    /// Why it cannot be seen so.
    pub fn of(model: &Model, node: NodeId, dims: &[usize]) -> Result<Self, String> {
        let entry = model.node(node);
        let odd = || format!("its weights have dims {dims:?}");
        let input = entry.input(0).ok_or("it has no input")?;
        if let Some(conv) = Conv::of(model, node) {
            return Self::of_conv(model, node, &conv, dims).ok_or_else(odd);
        }
        let [a, b] = *dims else { return Err(odd()) };
        let column_first = Order::ColumnFirst { places: 1 };
        let (unfold, trans_b) = match Gemm::of(model, node) {
            Some(gemm) => (if gemm.trans_a { Unfold::Columns } else { Unfold::Rows }, gemm.trans_b),
            None if entry.is("MatMul") => (Unfold::Rows, false),
            None => return Err("it is no Conv, ConvTranspose, Gemm or MatMul".into()),
        };
        let (rows, columns, order) =
            if trans_b { (a, b, Order::RowFirst) } else { (b, a, column_first) };
        Ok(Self { input, unfold, groups: 1, rows, columns, order })
    }

    /// What an LSTM, GRU or RNN multiplies with its input: the gates of all units in all directions, from
    /// weights of `dims`.
    ///
    /// # Errors
    /// Why it cannot be seen so.
    pub fn of_recurrent(model: &Model, node: NodeId, dims: &[usize]) -> Result<Self, String> {
        let input = model.node(node).input(0).ok_or("it has no input")?;
        let [directions, gates, columns] = *dims else {
            return Err(format!("its weights have dims {dims:?}"));
        };
        let rows = directions.checked_mul(gates).ok_or("its weights are too many")?;
        let (unfold, order) = (Unfold::Rows, Order::RowFirst);
        Ok(Self { input, unfold, groups: 1, rows, columns, order })
    }

    /// A Gather of rows of a constant table of `dims`: the table, transposed, times vectors with a single
    /// one. Such vectors are never cut out of anything.
    ///
    /// # Errors
    /// Why it cannot be seen so.
    pub fn of_table(model: &Model, node: NodeId, dims: &[usize]) -> Result<Self, String> {
        let entry = model.node(node);
        let input = entry.input(1).ok_or("it has no indices")?;
        let [columns, rows] = *dims else { return Err(format!("its table has dims {dims:?}")) };
        if entry.attr_int("axis").unwrap_or(0) != 0 {
            return Err("it picks no rows".into());
        }
        let (unfold, order) = (Unfold::Rows, Order::ColumnFirst { places: 1 });
        Ok(Self { input, unfold, groups: 1, rows, columns, order })
    }

    fn of_conv(model: &Model, node: NodeId, conv: &Conv, dims: &[usize]) -> Option<Self> {
        let entry = model.node(node);
        let [first, second, kernel @ ..] = dims else { return None };
        let axes = kernel.len();
        let numbers = |name: &str| match entry.attr_ints(name) {
            Some(given) => given.iter().map(|&x| usize::try_from(x).ok()).collect(),
            None => Some(vec![1; axes]),
        };
        let pads = entry.attr_ints("pads").map_or(vec![0; 2 * axes], <[i64]>::to_vec);
        let padding = match entry.attr_str("auto_pad").unwrap_or("NOTSET") {
            "NOTSET" if pads.len() == 2 * axes && entry.attr("output_shape").is_none() => {
                Padding::Explicit { begin: pads[..axes].to_vec(), end: pads[axes..].to_vec() }
            }
            "VALID" => Padding::Explicit { begin: vec![0; axes], end: vec![0; axes] },
            "SAME_UPPER" => Padding::SameUpper,
            "SAME_LOWER" => Padding::SameLower,
            _ => return None,
        };
        let windows = Windows {
            groups: conv.group,
            transposed: conv.transposed,
            kernel: kernel.to_vec(),
            strides: numbers("strides")?,
            dilations: numbers("dilations")?,
            padding,
        };
        let places: usize = kernel.iter().product();
        let per_group = first.checked_div(conv.group).filter(|n| n * conv.group == *first)?;
        let (rows, inputs, order) = match conv.transposed {
            false => (per_group, *second, Order::RowFirst),
            true => (*second, per_group, Order::ColumnFirst { places }),
        };
        let columns = inputs.checked_mul(places)?;
        let unfold = Unfold::Windows(windows);
        Some(Self { input: conv.x, unfold, groups: conv.group, rows, columns, order })
    }

    /// Number of weights.
    pub fn weights(&self) -> usize {
        self.groups * self.rows * self.columns
    }

    /// For the flat index of a weight in its tensor its index in the matrices: groups, their rows, their
    /// columns. Row `r` of group `g` is output channel `g · rows + r`.
    pub fn place(&self, flat: usize) -> usize {
        match self.order {
            Order::RowFirst => flat,
            Order::ColumnFirst { places } => {
                let (input, rest) = (flat / (self.rows * places), flat % (self.rows * places));
                let (row, place) = (rest / places, rest % places);
                let inputs = self.columns / places.max(1);
                let (group, within) = (input / inputs.max(1), input % inputs.max(1));
                (group * self.rows + row) * self.columns + within * places + place
            }
        }
    }

    /// The elements of the tensor of the weights in the order of the matrices.
    pub fn matrices<T: Copy + Default>(&self, tensor: &[T]) -> Vec<T> {
        let mut matrices = vec![T::default(); self.weights()];
        tensor.iter().enumerate().for_each(|(flat, &x)| matrices[self.place(flat)] = x);
        matrices
    }

    /// What [`matrices`](Self::matrices) was made of.
    pub fn tensor<T: Copy>(&self, matrices: &[T]) -> Vec<T> {
        (0..matrices.len()).map(|flat| matrices[self.place(flat)]).collect()
    }
}

/// Vectors whose moments are asked of a [`Measure`](crate::analysis::Measure).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vectors {
    /// The value that they are cut out of.
    pub value: ValueId,
    /// How.
    pub unfold: Unfold,
    /// Number of groups.
    pub groups: usize,
    /// Elements of a vector.
    pub columns: usize,
    /// Second moments are wanted, too.
    pub products: bool,
}

/// The vectors of one run.
#[derive(Debug, Clone, PartialEq)]
pub struct RunRows {
    /// Something is judged on this run, not fitted to it.
    pub held_out: bool,
    /// For each that was asked for, an array of groups, rows and columns; `None` when it was not seen.
    pub rows: Vec<Option<Tensor>>,
}

/// Moments of vectors, for each group, on the samples that something is fitted to and on those held out.
#[derive(Debug, Clone, PartialEq)]
pub struct VectorMoments {
    /// What something is fitted to.
    pub fitting: Vec<Moments>,
    /// What it is judged on.
    pub held_out: Vec<Moments>,
}

impl VectorMoments {
    /// Nothing was seen yet.
    pub fn none(vectors: &Vectors) -> Self {
        let empty = match vectors.products {
            true => Moments::second(vectors.columns),
            false => Moments::first(vectors.columns),
        };
        let each = vec![empty; vectors.groups];
        Self { fitting: each.clone(), held_out: each }
    }

    /// Both parts saw something, and nothing but finite numbers.
    pub fn is_usable(&self) -> bool {
        let mut all = self.fitting.iter().chain(&self.held_out);
        all.all(|moments| moments.rows() > 0 && moments.is_finite())
    }
}

impl Contraction {
    /// What a [`Measure`](crate::analysis::Measure) is asked for the outputs of this layer, which stand
    /// in `value`: one column for each channel of all groups, rows in the order of
    /// [`vectors`](Self::vectors).
    pub fn outputs(&self, value: ValueId, channels: usize) -> Vectors {
        let unfold = match &self.unfold {
            Unfold::Windows(windows) => Unfold::Windows(windows.points()),
            Unfold::Rows | Unfold::Columns => Unfold::Rows,
        };
        Vectors { value, unfold, groups: 1, columns: channels, products: false }
    }

    /// What a [`Measure`](crate::analysis::Measure) is asked for the moments of this layer.
    pub fn vectors(&self, products: bool) -> Vectors {
        Vectors {
            value: self.input,
            unfold: self.unfold.clone(),
            groups: self.groups,
            columns: self.columns,
            products,
        }
    }

    /// Bytes that second moments for fitting and held out take.
    pub fn moment_bytes(&self) -> usize {
        let square = self.columns.saturating_mul(self.columns);
        square.saturating_mul(2 * size_of::<f64>()).saturating_mul(self.groups)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(node: &str, weight: &str) -> Contraction {
        let text = format!(
            "<ir_version: 10, opset_import: [\"\" : 21]>\n\
             g (float[1,4,9] x, {weight} w) => (y) {{ y = {node} (x, w) }}"
        );
        let model = crate::read::text(&text).unwrap();
        let id = model.all_nodes()[0];
        let value = model.node(id).input(1).unwrap();
        let dims = model.value(value).tensor_type().unwrap().dims.clone().unwrap();
        let dims: Vec<usize> = dims.iter().map(|dim| dim.fixed().unwrap()).collect();
        Contraction::of(&model, id, &dims).unwrap()
    }

    #[test]
    fn weights_are_put_into_matrices_and_back() {
        let cases = [
            ("MatMul", "float[9,2]", (1, 2, 9)),
            ("Conv <group = 2>", "float[6,2,3]", (2, 3, 6)),
            ("ConvTranspose <group = 2>", "float[4,3,5]", (2, 3, 10)),
        ];
        for (node, weight, shape) in cases {
            let found = layer(node, weight);
            assert_eq!((found.groups, found.rows, found.columns), shape, "{node}");
            let all: Vec<usize> = (0..found.weights()).collect();
            assert_eq!(found.tensor(&found.matrices(&all)), all, "{node}");
        }
        // Input channel 2 is the first of group 1; output channel 1 of it, place 4.
        let found = layer("ConvTranspose <group = 2>", "float[4,3,5]");
        assert_eq!(found.place(2 * 15 + 5 + 4), (3 + 1) * 10 + 4);
    }
}
