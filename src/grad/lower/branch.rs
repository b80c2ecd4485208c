//! If: the branch that runs when that is always the same one, else both of them.

use crate::analysis::constant;
use crate::grad::Real;
use crate::grad::lower::tensor::Value;
use crate::grad::lower::{Known, Lower};
use crate::grad::op::select::Select;
use crate::ir::{AttrValue, Node, NodeId};

impl<T: Real> Lower<'_, T> {
    /// What comes out of an If. Where the condition is computed, both branches are, and it selects; so the
    /// gradient goes to the branch that ran.
    pub fn branches(&mut self, id: NodeId) -> Known<Vec<Option<Value>>> {
        let model = self.model;
        let node = model.node(id);
        let condition = node.input(0).ok_or("it has no condition")?;
        let known = constant(model, condition).or_else(|| self.shapes.tensor(condition));
        match known.and_then(|tensor| tensor.to_i64().ok()).as_deref() {
            Some(&[0]) => self.branch(node, "else_branch"),
            Some(&[_]) => self.branch(node, "then_branch"),
            _ => {
                let truth = self.get(condition)?;
                let then = self.branch(node, "then_branch")?;
                let other = self.branch(node, "else_branch")?;
                let pairs = then.into_iter().zip(other);
                pairs.map(|(a, b)| Ok(Some(self.either(&truth, a, b)?))).collect()
            }
        }
    }

    /// Puts the nodes of a branch on the tape.
    fn branch(&mut self, node: &Node, name: &str) -> Known<Vec<Option<Value>>> {
        let Some(&AttrValue::Graph(body)) = node.attr(name) else {
            return Err("a branch is missing".to_owned());
        };
        let nodes: Vec<NodeId> = self.model.nodes_of(body).map(|(id, _)| id).collect();
        nodes.into_iter().for_each(|node| self.node(node));
        let outputs = self.model.graph(body).outputs();
        outputs.iter().map(|output| self.get(output.value).map(Some)).collect()
    }

    fn either(&mut self, truth: &Value, a: Option<Value>, b: Option<Value>) -> Known<Value> {
        let (Some(a), Some(b)) = (a, b) else { return Err("a branch has no output".to_owned()) };
        let (a, b) = (self.plain(&a), self.plain(&b));
        if a.dims != b.dims || truth.len() != 1 {
            return Err("its branches give different extents".to_owned());
        }
        let ones = vec![1; a.rank()];
        let kernel = Select::new(&a.dims, [&ones, &a.dims, &b.dims]);
        let buffers = [truth.buffer, a.buffer, b.buffer];
        let buffer = self.tape.step(kernel, &buffers, a.len());
        Ok(Value { buffer, ..a })
    }
}
