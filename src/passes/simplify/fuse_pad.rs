//! `fuse-pad`: see `docs/passes/fuse-pad.md`.

use crate::analysis::{Shapes, constant};
use crate::ir::{self, AttrValue, Attribute, Model, Node, NodeId, ValueId};
use crate::passes::{Match, Promise, Rule};

/// Moves a Pad with a constant into the pads of the Conv or pooling behind it.
#[derive(Debug, Clone, Copy, Default)]
pub struct FusePad;

/// The window operator, what the Pad reads, and the pads of both.
pub struct Plan {
    node: NodeId,
    from: ValueId,
    pads: Vec<i64>,
    /// The average is then over the padding, too.
    counts_pads: bool,
}

impl Rule for FusePad {
    type Plan = Plan;

    fn name(&self) -> &'static str {
        "fuse-pad"
    }

    fn summary(&self) -> &'static str {
        "Moves a Pad into the pads of the Conv or pooling behind it."
    }

    fn promise(&self) -> Promise {
        Promise::Exact
    }

    fn find(&self, model: &Model, node: NodeId, shapes: &Shapes) -> Match<Plan> {
        let entry = model.node(node);
        let window = ["Conv", "AveragePool", "MaxPool"].iter().any(|op| entry.is(op));
        let Some(middle) = entry.input(0).filter(|_| window) else { return Match::No };
        let Some(pad) = model.value(middle).producer().filter(|&p| model.node(p).is("Pad")) else {
            return Match::No;
        };
        plan(model, node, pad, middle, shapes).into()
    }

    fn apply(&self, model: &mut Model, plan: Plan) -> String {
        model.set_input(plan.node, 0, Some(plan.from));
        let text = format!("took over the Pad before it: pads = {:?}", plan.pads);
        model.set_attr(plan.node, Attribute::new("pads", AttrValue::Ints(plan.pads)));
        if plan.counts_pads {
            model.set_attr(plan.node, Attribute::new("count_include_pad", AttrValue::Int(1)));
        }
        text
    }
}

fn plan(
    model: &Model,
    node: NodeId,
    pad: NodeId,
    middle: ValueId,
    shapes: &Shapes,
) -> Result<Plan, String> {
    let (entry, source) = (model.node(node), model.node(pad));
    if model.value(middle).only_consumer().is_none() {
        return Err("what the Pad before it makes is used elsewhere too".into());
    }
    let from = source.input(0).ok_or("the Pad before it has no input")?;
    if source.attr_str("mode").unwrap_or("constant") != "constant" {
        return Err("the Pad before it does not pad with a constant".into());
    }
    let rank = shapes.rank(from).ok_or("the number of axes is not known")?;
    let value = fill(model, source)?;
    let more = pads_of(model, source, rank)?;
    let auto = entry.attr_str("auto_pad").unwrap_or("NOTSET");
    if auto != "NOTSET" {
        return Err(format!("its own pads are computed ({auto})"));
    }
    if entry.attr_int("ceil_mode").unwrap_or(0) != 0 {
        // No window starts in the padding of the operator itself, but one may in that of the Pad.
        return Err("it rounds extents up (ceil_mode), and padding of its own counts less".into());
    }
    let spatial = rank - 2;
    let own = entry.attr_ints("pads").map_or_else(|| vec![0; 2 * spatial], <[i64]>::to_vec);
    let outer = |side: usize| &more[side * rank..side * rank + 2];
    if outer(0).iter().chain(outer(1)).any(|&pad| pad != 0) {
        return Err("the Pad before it pads batch or channels".into());
    }
    if more.iter().any(|&pad| pad < 0) || own.len() != 2 * spatial {
        return Err("the Pad before it cuts".into());
    }
    let mut counts_pads = false;
    match entry.op() {
        "Conv" if value == 0.0 => {}
        "MaxPool" if value == f64::NEG_INFINITY && entry.outputs().len() == 1 => {}
        "AveragePool" if value == 0.0 => {
            let counts = entry.attr_int("count_include_pad").unwrap_or(0) == 1;
            if !counts && own.iter().any(|&pad| pad != 0) {
                return Err("its own pads do not count, those of the Pad before it do".into());
            }
            if model.opset_in_force() < 7 {
                return Err("pads can be counted from operator set 7 on".into());
            }
            counts_pads = !counts;
        }
        op => return Err(format!("the Pad before it pads with {value}, {op} with something else")),
    }
    let spatial_pads = (0..2 * spatial).map(|i| {
        let (side, axis) = (i / spatial, i % spatial);
        own[i].checked_add(more[side * rank + 2 + axis])
    });
    let pads: Option<Vec<i64>> = spatial_pads.collect();
    let pads = pads.ok_or("the pads are too large")?;
    // Engines refuse pooling windows that may lie in the padding alone.
    if let Some(kernel) = entry.attr_ints("kernel_shape").filter(|_| entry.op() != "Conv")
        && pads
            .iter()
            .enumerate()
            .any(|(i, &pad)| kernel.get(i % spatial).is_none_or(|&k| pad >= k))
    {
        return Err("the pads would not be smaller than the window".into());
    }
    Ok(Plan { node, from, pads, counts_pads })
}

/// The number that a Pad fills in.
fn fill(model: &Model, pad: &Node) -> Result<f64, String> {
    let Some(value) = pad.input(2) else {
        return Ok(pad.attr_float("value").map_or(0.0, f64::from));
    };
    let tensor = constant(model, value).and_then(|tensor| tensor.to_f64().ok());
    match tensor.as_deref() {
        Some(&[x]) => Ok(x),
        _ => Err("what the Pad before it fills in is not known".into()),
    }
}

/// Begin and end of all axes.
fn pads_of(model: &Model, pad: &Node, rank: usize) -> Result<Vec<i64>, String> {
    let list = |slot: usize| constant(model, pad.input(slot)?)?.to_i64().ok();
    let pads = match pad.attr_ints("pads") {
        Some(pads) => Some(pads.to_vec()),
        None => list(1),
    };
    let pads = pads.ok_or("the pads of the Pad before it are not known")?;
    let pads = match pad.input(3) {
        None => pads,
        Some(_) => {
            let axes = list(3).ok_or("the axes of the Pad before it are not known")?;
            let mut all = vec![0; 2 * rank];
            for (i, &axis) in axes.iter().enumerate() {
                let (Some(axis), Some(&begin), Some(&end)) =
                    (ir::position(axis, rank), pads.get(i), pads.get(axes.len() + i))
                else {
                    return Err("the Pad before it is not well-formed".into());
                };
                (all[axis], all[rank + axis]) = (begin, end);
            }
            all
        }
    };
    if pads.len() != 2 * rank || rank < 3 {
        return Err("the Pad before it is not well-formed".into());
    }
    Ok(pads)
}
