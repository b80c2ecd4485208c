//! Constant expressions, computed by running a model of one node.

use crate::analysis::Evaluate;
use crate::error::{Error, Result, err};
use crate::exec::Engine;
use crate::ir::{At, Model, NewNode, NodeId};
use crate::tensor::Tensor;

impl<E: Engine> Evaluate for E {
    fn evaluate(
        &self,
        model: &Model,
        node: NodeId,
        inputs: &[Option<Tensor>],
    ) -> Result<Vec<Option<Tensor>>> {
        let source = model.node(node);
        if source.bodies().next().is_some() {
            return Err(err!(Unsupported, "operators with bodies are not evaluated"));
        }
        let mut single = Model::new(model.header.ir_version.unwrap_or(0), 0);
        single.header.opsets.clone_from(&model.header.opsets);
        let graph = single.main();
        let inputs: Vec<_> = inputs
            .iter()
            .map(|input| input.clone().map(|tensor| single.add_initializer(graph, "input", tensor)))
            .collect();
        let copy = single.add_node(
            graph,
            At::End,
            NewNode {
                op: source.op().to_owned(),
                domain: source.domain().to_owned(),
                overload: source.overload().to_owned(),
                name: source.name().to_owned(),
                inputs,
                outputs: (0..source.outputs().len()).map(|slot| format!("output{slot}")).collect(),
                attributes: source.attributes().to_vec(),
            },
        );
        let outputs: Vec<_> = single.node(copy).outputs().to_vec();
        let wanted = |slot: usize| source.output(slot).is_some();
        for (slot, output) in outputs.iter().enumerate() {
            if let (true, Some(output)) = (wanted(slot), output) {
                single.add_output(graph, *output, None);
            }
        }
        let session = self.prepare(single.verify().map_err(Error::from)?, &[], &[])?;
        let mut results = session.run(&[])?.outputs.into_iter();
        let slots = 0..outputs.len();
        Ok(slots
            .map(|slot| if wanted(slot) { results.next().map(|r| r.1) } else { None })
            .collect())
    }
}
