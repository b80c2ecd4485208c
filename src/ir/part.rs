//! A part of a model as a model of its own.

use crate::ir::schema::{self, Role};
use crate::ir::{At, Def, Info, Model, NewNode, NodeId, TensorType, Use, ValueId, ValueType};

impl Model {
    /// The nodes of the main graph that `outputs` need, when the values of `inputs` are given: a
    /// model with these inputs, of these types, and one output for each of `outputs`, in order.
    /// Inputs of the whole model that the part needs and that are not listed stay inputs. Values
    /// keep their ids and, but for the outputs, their names; weights are shared.
    #[must_use]
    pub fn part(&self, inputs: &[(ValueId, TensorType)], outputs: &[ValueId]) -> Self {
        let mut part = self.clone();
        let main = part.main();
        for (slot, output) in
            std::mem::take(&mut part.graphs[main.index()].outputs).into_iter().enumerate()
        {
            part.drop_use(output.value, Use::Output { graph: main, slot });
        }
        part.graphs[main.index()].carried = bytes::Bytes::new();
        for value in &mut part.values {
            value.uses.retain(|u| !matches!(u, Use::Carried { .. }));
        }
        for &output in outputs {
            // A copy, because an output may be an input, a constant, or asked for twice.
            let copy = part.add_node(main, At::End, NewNode::new("Identity", &[output], "part"));
            if let Some(made) = part.node(copy).output(0) {
                part.push_output(
                    main,
                    crate::ir::GraphOutput { value: made, info: Info::default() },
                );
            }
        }
        for (value, ty) in inputs {
            part.cut(*value, ty.clone());
        }
        part.drop_unneeded();
        part
    }

    /// Makes a value of the main graph an input.
    fn cut(&mut self, value: ValueId, ty: TensorType) {
        let main = self.main();
        if let Def::Output { node, slot } = self.values[value.index()].def {
            self.nodes[node.index()].outputs[slot] = None;
        }
        self.values[value.index()].def = Def::Input { default: None };
        self.set_info(value, Info { ty: Some(ValueType::Tensor(ty)), ..Info::default() });
        let inputs = &mut self.graphs[main.index()].inputs;
        if !inputs.contains(&value) {
            inputs.push(value);
        }
    }

    /// The rest of a node is needed. Outputs that were cut off and need not be there are left out; others
    /// are values that nobody reads: an operator may have as many outputs as it is asked for.
    fn fill_cut_outputs(&mut self, node: NodeId) {
        let (entry, main) = (self.node(node), self.main());
        let version = self.opset_of(entry.domain()).unwrap_or(1);
        let operator = schema::find(entry.domain(), entry.op(), version);
        let needed = |slot: &usize| {
            let role = operator.and_then(|operator| Some(operator.output(*slot)?.role));
            role.is_none_or(|role| role != Role::Optional)
        };
        let cut = (0..entry.outputs.len()).filter(|&slot| entry.outputs[slot].is_none());
        for slot in cut.filter(needed).collect::<Vec<_>>() {
            let name = self.fresh_name("unread");
            let value = self.add_value(main, name, Def::Output { node, slot });
            self.nodes[node.index()].outputs[slot] = Some(value);
        }
        let outputs = &mut self.nodes[node.index()].outputs;
        while outputs.last() == Some(&None) {
            outputs.pop();
        }
    }

    /// Removes nodes, initializers and inputs of the main graph that no output needs.
    fn drop_unneeded(&mut self) {
        let main = self.main();
        let nodes: Vec<NodeId> = self.nodes_of(main).map(|(id, _)| id).collect();
        for &node in nodes.iter().rev() {
            let mut outputs = self.node(node).outputs.iter().flatten();
            if outputs.all(|&output| self.value(output).uses.is_empty()) {
                self.remove_node(node);
                continue;
            }
            self.fill_cut_outputs(node);
        }
        let unused = |model: &Self, value: &ValueId| model.value(*value).uses.is_empty();
        let mut graph = std::mem::take(&mut self.graphs[main.index()]);
        let unneeded: Vec<ValueId> = graph
            .inputs
            .iter()
            .chain(&graph.initializers)
            .chain(&graph.sparse_initializers)
            .copied()
            .filter(|value| unused(self, value))
            .collect();
        for list in [&mut graph.inputs, &mut graph.initializers, &mut graph.sparse_initializers] {
            list.retain(|value| !unused(self, value));
        }
        self.graphs[main.index()] = graph;
        unneeded.into_iter().for_each(|value| self.values[value.index()].alive = false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::DType;

    /// `y = Add(Relu(x) · w, Relu(x))`, and an output that nothing else needs.
    fn model() -> (Model, Vec<ValueId>) {
        let mut model = Model::new(8, 17);
        let main = model.main();
        let float = || TensorType::with_dims(DType::Float, &[2]);
        let x = model.add_input(main, "x", float());
        let w =
            model.add_initializer(main, "w", crate::tensor::Tensor::from_f32(&[2], &[1.0, 2.0]));
        let node = |model: &mut Model, op: &str, inputs: &[ValueId]| {
            let id = model.add_node(main, At::End, NewNode::new(op, inputs, &op.to_lowercase()));
            model.node(id).output(0).unwrap()
        };
        let relu = node(&mut model, "Relu", &[x]);
        let mul = node(&mut model, "Mul", &[relu, w]);
        let add = node(&mut model, "Add", &[mul, relu]);
        let neg = node(&mut model, "Neg", &[x]);
        model.add_output(main, add, Some(float()));
        model.add_output(main, neg, Some(float()));
        (model, vec![x, w, relu, mul, add, neg])
    }

    #[test]
    fn a_part_has_what_its_outputs_need_and_nothing_else() {
        let (model, values) = model();
        let [_, w, relu, mul, add, _] = values[..] else { panic!("six values") };
        let float = TensorType::with_dims(DType::Float, &[2]);
        let part = model.part(&[(relu, float)], &[add, mul, mul, relu]);
        part.verify().unwrap();
        let main = part.graph(part.main());
        assert_eq!((main.inputs(), main.outputs().len()), (&[relu][..], 4));
        let ops: Vec<_> = part.nodes_of(part.main()).map(|(_, node)| node.op()).collect();
        assert_eq!(ops, ["Mul", "Add", "Identity", "Identity", "Identity", "Identity"]);
        assert!(part.is_live_value(w));
    }

    #[test]
    fn outputs_that_nobody_reads_any_more_stay_where_their_number_counts() {
        let text = r#"<ir_version: 8, opset_import: ["" : 13]>
            g (float[4] x) => (float[2] y, float[2] z) { a, b = Split <axis = 0> (x) y = Neg (a) z = Abs (b) }"#;
        let model = crate::read::text(text).unwrap();
        let of = |name| model.find_value(model.main(), name).unwrap();
        let ty = TensorType::with_dims(DType::Float, &[2]);
        let part = model.part(&[(of("b"), ty)], &[of("y"), of("z")]);
        part.verify().unwrap();
        let split = part.all_nodes().into_iter().find(|&n| part.node(n).is("Split")).unwrap();
        let outputs = part.node(split).outputs();
        assert!(outputs.len() == 2 && outputs[1].is_some_and(|v| v != of("b")), "{outputs:?}");
        assert_eq!(part.graph(part.main()).inputs().len(), 2);
    }

    #[test]
    fn inputs_and_weights_that_a_part_does_not_need_go() {
        let (model, values) = model();
        let part = model.part(&[], &[values[5]]);
        part.verify().unwrap();
        assert_eq!(part.graph(part.main()).inputs(), [values[0]]);
        assert!(!part.is_live_value(values[1]));
        assert_eq!(part.all_nodes().len(), 2);
    }
}
