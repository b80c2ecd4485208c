//! Whether an engine works at all.

use crate::error::{Error, Result};
use crate::exec::Engine;
use crate::ir::{At, Model, NewNode};
use crate::tensor::Tensor;

/// Old enough for every engine.
const IR_VERSION: i64 = 7;
/// Of the same age.
const OPSET: i64 = 13;

/// Runs a model of one node, so that an engine that cannot work says so before anything depends on
/// it.
///
/// # Errors
/// When the engine does not run.
pub fn trial(engine: &dyn Engine) -> Result<()> {
    let mut model = Model::new(IR_VERSION, OPSET);
    let graph = model.main();
    let one = model.add_initializer(graph, "one", Tensor::from_f32(&[1], &[1.0]));
    let node = model.add_node(graph, At::End, NewNode::new("Neg", &[one], "negative"));
    if let Some(output) = model.node(node).output(0) {
        model.add_output(graph, output, None);
    }
    let session = engine.prepare(model.verify().map_err(Error::from)?, &[], &[])?;
    session.run(&[]).map(drop)
}
