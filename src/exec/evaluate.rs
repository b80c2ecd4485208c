//! Constant expressions, computed by running a model of one node, and believed where the result is known to be right:
//! of operators in the table, of finite numbers, confirmed in double precision.

use crate::analysis::Evaluate;
use crate::error::{Error, Result, err};
use crate::exec::Engine;
use crate::exec::trusted::{self, Trust};
use crate::ir::{At, Model, NewNode, Node, NodeId};
use crate::tensor::{DType, Tensor};

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
        match trusted::trust(source, inputs) {
            Trust::Yes => {}
            Trust::Cast(dtype) => return cast(inputs, dtype),
            Trust::No(reason) => return Err(err!(Unsupported, "{reason}")),
        }
        let outputs = run(self, model, source, inputs)?;
        if !outputs.iter().flatten().all(trusted::is_finite) {
            return Err(err!(Unsupported, "its result is not finite; engines differ in those"));
        }
        let Some(wide) = trusted::widened(inputs) else { return Ok(outputs) };
        let confirmed = run(self, model, source, &wide).is_ok_and(|wide| {
            outputs.iter().zip(&wide).all(|pair| match pair {
                (Some(found), Some(wide)) => trusted::confirms(wide, found),
                (found, _) => found.is_none(),
            })
        });
        if confirmed {
            Ok(outputs)
        } else {
            Err(err!(Unsupported, "double precision does not confirm its result"))
        }
    }
}

/// Floats without their fraction, which all are within the range of the integers.
fn cast(inputs: &[Option<Tensor>], dtype: DType) -> Result<Vec<Option<Tensor>>> {
    let Some(Some(tensor)) = inputs.first() else {
        return Err(err!(Unsupported, "its input is missing"));
    };
    let whole: Vec<i128> = tensor.to_f64()?.into_iter().map(|x| x.trunc() as i128).collect();
    let bytes: Vec<u8> = match dtype.bits() {
        bits @ (8 | 16 | 32 | 64) => {
            let width = bits / 8;
            whole.iter().flat_map(|x| x.to_le_bytes()[..width].to_vec()).collect()
        }
        _ => return Err(err!(Unsupported, "integers of {} bits are not computed", dtype.bits())),
    };
    Ok(vec![Some(Tensor::new(dtype, tensor.dims().to_vec(), bytes.into())?)])
}

/// The outputs of the node for these inputs.
fn run(
    engine: &dyn Engine,
    model: &Model,
    source: &Node,
    inputs: &[Option<Tensor>],
) -> Result<Vec<Option<Tensor>>> {
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
    let session = engine.prepare(single.verify().map_err(Error::from)?, &[], &[])?;
    let mut results = session.run(&[])?.outputs.into_iter();
    let slots = 0..outputs.len();
    Ok(slots.map(|slot| if wanted(slot) { results.next().map(|r| r.1) } else { None }).collect())
}
