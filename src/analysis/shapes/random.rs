//! Random graphs: what is inferred for open extents agrees with what is inferred for every choice of
//! them.

use proptest::prelude::*;

use super::*;
use crate::ir::{At, Dim, DimSize, NewNode, TensorType};
use crate::tensor::Tensor;

/// One node. Numbers choose among what is there, modulo how much there is.
type Step = (usize, usize, usize);

struct Builder {
    model: Model,
    /// Values of shape `[…, …, …, …]`.
    values: Vec<ValueId>,
}

impl Builder {
    fn new() -> Self {
        let mut model = Model::new(8, 18);
        let main = model.main();
        let open = |name: &str| Dim { size: DimSize::Symbol(name.into()), denotation: None };
        let input =
            |dims: Vec<Dim>| TensorType { dims: Some(dims), ..TensorType::of(DType::Float) };
        let x = input(vec![open("N"), Dim::known(4), open("H"), open("W")]);
        let y = input(vec![open("N"), Dim::known(4), open("H"), Dim::known(6)]);
        let values = vec![model.add_input(main, "x", x), model.add_input(main, "y", y)];
        Self { model, values }
    }

    fn ints(&mut self, xs: &[i64]) -> ValueId {
        let main = self.model.main();
        self.model.add_initializer(main, "ints", Tensor::from_i64(&[xs.len()], xs))
    }

    fn add(&mut self, node: NewNode) -> ValueId {
        let id = self.model.add_node(self.model.main(), At::End, node);
        self.model.node(id).output(0).unwrap()
    }

    /// The axis of a value as a vector of one element, through an arithmetic detour.
    fn axis(&mut self, value: ValueId, axis: usize, detour: usize) -> ValueId {
        let shape = self.add(NewNode::new("Shape", &[value], "shape"));
        let index = self.ints(&[axis as i64]);
        let extent = self.add(NewNode::new("Gather", &[shape, index], "extent"));
        let two = self.ints(&[2]);
        match detour % 3 {
            0 => extent,
            1 => {
                let twice = self.add(NewNode::new("Mul", &[extent, two], "twice"));
                self.add(NewNode::new("Div", &[twice, two], "half"))
            }
            _ => {
                let more = self.add(NewNode::new("Add", &[extent, two], "more"));
                self.add(NewNode::new("Sub", &[more, two], "less"))
            }
        }
    }

    fn step(&mut self, (op, a, b): Step) {
        let pick =
            |choice: usize| self.values[self.values.len() - 1 - choice % self.values.len().min(4)];
        let (x, y) = (pick(a), pick(b));
        let [start, stop, step] = [(a % 5) as i64 - 2, (b % 7) as i64 - 2, (a % 2) as i64 + 1];
        let pool = |op: &str| {
            let window = [(a % 3 + 1) as i64, (b % 3 + 1) as i64];
            NewNode::new(op, &[x], "pooled")
                .attr("kernel_shape", window.to_vec())
                .attr("strides", vec![(b % 2 + 1) as i64, (a % 3 + 1) as i64])
                .attr("ceil_mode", (a / 3 % 2) as i64)
        };
        let value = match op % 10 {
            0 => self.add(NewNode::new("Add", &[x, y], "sum")),
            1 => self.add(pool("MaxPool")),
            2 => self.add(pool("AveragePool").attr("pads", vec![0, 0, (a % 2) as i64, 1])),
            3 => self.add(NewNode::new("Concat", &[x, y], "joined").attr("axis", (a % 4) as i64)),
            4 => {
                let inputs = [vec![start], vec![stop], vec![(b % 4) as i64], vec![step]];
                let inputs = inputs.map(|list| self.ints(&list));
                let inputs = [&[x][..], &inputs].concat();
                self.add(NewNode::new("Slice", &inputs, "cut"))
            }
            5 => {
                let pads = self.ints(&[0, 0, (a % 3) as i64, 0, 0, (b % 2) as i64, 0, 1]);
                self.add(NewNode::new("Pad", &[x, pads], "padded"))
            }
            6 => self.add(NewNode::new("Transpose", &[x], "turned").attr("perm", vec![0, 3, 1, 2])),
            7 => {
                let repeats = self.ints(&[1, (a % 2) as i64 + 1, (b % 3) as i64, 1]);
                self.add(NewNode::new("Tile", &[x, repeats], "tiled"))
            }
            8 => {
                // [a, b, c, d] -> [a, c, b·d, 1] with a computed target.
                let parts = [self.axis(x, 0, a), self.axis(x, 2, b), self.ints(&[-1, 1])];
                let target = self.add(NewNode::new("Concat", &parts, "target").attr("axis", 0));
                self.add(NewNode::new("Reshape", &[x, target], "reshaped"))
            }
            _ => {
                let node = NewNode::new("Split", &[x], "part").attr("axis", (a % 4) as i64);
                let mut node = node.attr("num_outputs", 2);
                node.outputs.push("rest".into());
                self.add(node)
            }
        };
        self.values.push(value);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn open_extents_hold_for_every_choice(
        steps in proptest::collection::vec((0..10usize, 0..100usize, 0..100usize), 1..9),
        choices in proptest::collection::vec([1..4usize, 9..20usize, 9..20usize], 4),
    ) {
        let mut builder = Builder::new();
        steps.into_iter().for_each(|step| builder.step(step));
        let open = Shapes::infer(&builder.model, &Assume::default());
        for [n, h, w] in choices {
            let extents = [("N", n), ("H", h), ("W", w)];
            let assume = extents.iter().fold(Assume::default(), |a, (name, n)| a.symbol(name, *n));
            let fixed = Shapes::infer(&builder.model, &assume);
            // From the first value whose extents contradict each other on, no run exists; an empty
            // one may become a 0 in a target of Reshape.
            let full = |&&v: &&ValueId| fixed.elements(v).is_some_and(|count| count > 0);
            let valid = builder.values.iter().take_while(full);
            for &value in valid {
                let (terms, numbers) = (open.dims(value).unwrap(), fixed.fixed_dims(value).unwrap());
                prop_assert_eq!(terms.len(), numbers.len());
                for (term, number) in terms.iter().zip(numbers) {
                    if !term.follows_from_inputs() {
                        continue;
                    }
                    let found = term.evaluate(&|symbol| {
                        let name = symbol.to_string();
                        extents.iter().find(|(n, _)| *n == name).map(|(_, n)| *n as i64)
                    });
                    prop_assert_eq!(found, Some(number as i64), "{} at {:?}", term, extents);
                }
            }
        }
    }
}
