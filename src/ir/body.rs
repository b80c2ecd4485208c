//! The way out of a body: what its values are called outside, and how they get there.

use crate::ir::{
    At, AttrValue, Attribute, Def, GraphId, Model, NewNode, NodeId, TensorType, ValueId,
};
use crate::tensor::{DType, Tensor};

/// The first operator set whose Scan stacks what its body gives, without batches.
const FIRST_PLAIN_SCAN: i64 = 9;

impl Model {
    /// A name of a value that no other value has, as long as no name is made to look like one: its name in
    /// the main graph, and for a value of a body `OUTPUT.ATTRIBUTE/NAME`, where `OUTPUT` is the path of the
    /// first output of the node that the body belongs to. Branches may use a name twice.
    pub fn path_of(&self, value: ValueId) -> String {
        let mut path = self.value(value).name().to_owned();
        let mut graph = self.value(value).graph();
        while let Some((owner, attribute)) = self.owner(graph) {
            let entry = self.node(owner);
            let output = entry.outputs().iter().flatten().next();
            let output = output.map_or(entry.name(), |&output| self.value(output).name());
            path = format!("{output}.{attribute}/{path}");
            graph = entry.graph();
        }
        path
    }

    /// The node that a body belongs to, and the attribute that holds it; `None` for the main graph.
    pub fn owner(&self, body: GraphId) -> Option<(NodeId, &str)> {
        let node = self.graph(body).parent()?;
        let mut attributes = self.node(node).attributes().iter();
        let holds = |attribute: &&Attribute| attribute.value.graphs().contains(&body);
        Some((node, attributes.find(holds)?.name.as_str()))
    }

    /// Makes a `float` value of a body one more output of the node that the body belongs to, and returns
    /// that. Loop and Scan stack what the runs of their body give; with an If, the other branch gives
    /// `otherwise`. `None`, and nothing changes, for other operators.
    pub fn return_from(
        &mut self,
        body: GraphId,
        value: ValueId,
        otherwise: &Tensor,
    ) -> Option<ValueId> {
        let (node, _) = self.owner(body)?;
        let before = self.graph(body).outputs().len();
        let slot = match self.node(node).op() {
            _ if !self.node(node).is_standard() => return None,
            "If" => {
                for branch in self.node(node).bodies().collect::<Vec<_>>() {
                    if branch != body {
                        let value = self.add_constant(branch, otherwise);
                        self.add_output(branch, value, Some(TensorType::of(DType::Float)));
                    }
                }
                before
            }
            // The body returns the condition, which the node does not.
            "Loop" => before.checked_sub(1)?,
            "Scan" if self.opset()? >= FIRST_PLAIN_SCAN => {
                self.stack_along_first(node);
                before
            }
            _ => return None,
        };
        self.add_output(body, value, Some(TensorType::of(DType::Float)));
        let base = format!("{}_returned", self.value(value).name());
        Some(self.add_node_output(node, slot, &base))
    }

    fn add_constant(&mut self, graph: GraphId, tensor: &Tensor) -> ValueId {
        let node = NewNode::new("Constant", &[], "otherwise").attr("value", tensor.clone());
        let node = self.add_node(graph, At::End, node);
        self.node(node).output(0).expect("made with one output")
    }

    /// Where a Scan says of each output how it is stacked, it says so of one more.
    fn stack_along_first(&mut self, scan: NodeId) {
        for name in ["scan_output_axes", "scan_output_directions"] {
            if let Some(listed) = self.node(scan).attr_ints(name) {
                let listed: Vec<i64> = listed.iter().copied().chain([0]).collect();
                self.set_attr(scan, Attribute::new(name, AttrValue::Ints(listed)));
            }
        }
    }

    /// Output `slot` of a node that had fewer.
    fn add_node_output(&mut self, node: NodeId, slot: usize, base: &str) -> ValueId {
        let name = self.fresh_name(base);
        let graph = self.node(node).graph();
        let value = self.add_value(graph, name, Def::Output { node, slot });
        let outputs = &mut self.nodes[node.index()].outputs;
        outputs.resize(slot, None);
        outputs.push(Some(value));
        self.touch(node);
        value
    }
}

#[cfg(test)]
mod tests {
    use crate::ir::{Model, ValueId};
    use crate::tensor::Tensor;

    const NESTED: &str = r#"
        <ir_version: 8, opset_import: ["" : 17]>
        g (int64 n, bool go, float[2] x) => (float[2] y) {
            y = Loop (n, go, x) <body = run (int64 i, bool c, float[2] s) => (bool d, float[2] t) {
                d = Identity (c)
                t = If (c) <
                    then_branch = then () => (float[2] a) { h = Neg (s) a = Neg (h) },
                    else_branch = other () => (float[2] b) { h = Abs (s) b = Abs (h) }
                >
            }>
        }"#;

    fn found(model: &Model, name: &str) -> Vec<ValueId> {
        model.values().filter(|(_, value)| value.name() == name).map(|(id, _)| id).collect()
    }

    fn nested() -> Model {
        crate::read::text(NESTED).unwrap()
    }

    #[test]
    fn values_of_bodies_have_paths() {
        let model = nested();
        let paths = |name| -> Vec<String> {
            found(&model, name).into_iter().map(|value| model.path_of(value)).collect()
        };
        assert_eq!(paths("h"), ["y.body/t.then_branch/h", "y.body/t.else_branch/h"]);
        assert_eq!((paths("s"), paths("x")), (vec!["y.body/s".into()], vec!["x".into()]));
    }

    #[test]
    fn what_a_body_returns_reaches_the_main_graph() {
        let mut model = nested();
        let otherwise = Tensor::from_f32(&[2], &[0.0, 0.0]);
        let mut value = found(&model, "h")[0];
        while model.value(value).graph() != model.main() {
            value = model.return_from(model.value(value).graph(), value, &otherwise).unwrap();
        }
        let main = model.main();
        model.add_output(main, value, None);
        assert!(model.verify().is_ok());
        let producer = model.node(model.value(value).producer().unwrap());
        assert!(producer.is("Loop") && producer.outputs().len() == 2);
        assert_eq!(model.return_from(main, value, &otherwise), None);
    }
}
