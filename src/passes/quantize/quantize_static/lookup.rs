//! Tables that Gather reads.

use crate::analysis::{ConstantFloats, Shapes, constant_floats};
use crate::ir::{Model, NodeId, ValueId};
use crate::passes::quantize::quantize_static::candidate::{
    SMALLEST_STORED, finite, no_kernel, what,
};
use crate::passes::quantize::quantize_static::plan::{Lookup, PlannedNode, Weight};
use crate::passes::quantize::quantize_static::{Format, Granularity, QuantizeStatic, kernels};
use crate::passes::stored::Share;
use crate::tensor::DType;

/// Bits and smallest block of GatherBlockQuantized.
const PACKED: (usize, usize) = (4, 16);

/// How a Gather reads a table of integers.
pub(super) enum Found {
    /// There is no table to be stored.
    None,
    /// Floats are made of the table, and rows of them are read.
    Floats(PlannedNode),
    /// Rows are integers, and floats are made of these.
    Rows(Lookup),
}

/// What a Gather of a constant reads.
///
/// # Errors
/// Why its table stays in float.
pub(super) fn find(
    model: &Model,
    id: NodeId,
    options: &QuantizeStatic,
    shapes: &Shapes,
) -> Result<Found, String> {
    if let Some(packed) = packed(model, id, options)? {
        return Ok(Found::Floats(packed));
    }
    let node = model.node(id);
    let Some(table) = node.input(0) else { return Ok(Found::None) };
    let found = constant_floats(model, table);
    let Some(floats) = found.filter(|floats| floats.tensor.len() >= SMALLEST_STORED) else {
        return Ok(Found::None);
    };
    if is_table_alone(model, table) {
        let found = lookup(model, id, floats, options, shapes)?;
        return Ok(found.map_or(Found::None, Found::Rows));
    }
    let rules = options.target.rules();
    if !options.weights_only && !rules.stored.contains(&"Gather") {
        return Err(no_kernel(rules));
    }
    let ConstantFloats { tensor, dtype } = floats;
    finite(model, table, &tensor)?;
    let dims = tensor.dims().to_vec();
    let fine = options.granularity != Granularity::Tensor && rules.channels.contains(&"Gather");
    let share = if fine && dims.len() > 1 { Share::Axis(dims.len() - 1) } else { Share::Tensor };
    let weight =
        Weight { slot: 0, value: table, tensor, dtype, dims, share, turned: None, shared: true };
    Ok(Found::Floats(reader(id, weight)))
}

/// A node that reads floats of a stored weight.
pub(super) fn reader(node: NodeId, weight: Weight) -> PlannedNode {
    let (weights, activations, text) = (vec![weight], Vec::new(), String::new());
    PlannedNode { node, weights, bias: None, activations, kernel: false, text }
}

/// A table in blocks along its last axis behind a DequantizeLinear, which becomes a GatherBlockQuantized;
/// nothing when the options ask for no such table.
///
/// # Errors
/// Why it stays in float.
fn packed(
    model: &Model,
    id: NodeId,
    options: &QuantizeStatic,
) -> Result<Option<PlannedNode>, String> {
    let node = model.node(id);
    let Granularity::Block(size) = options.granularity else { return Ok(None) };
    let Some(table) = node.input(0).filter(|_| options.packed_tables) else { return Ok(None) };
    let Some(ConstantFloats { tensor, dtype }) = constant_floats(model, table) else {
        return Ok(None);
    };
    let dims = tensor.dims().to_vec();
    let (bits, least) = PACKED;
    let gathered = node.attr_int("axis").unwrap_or(0);
    let last = dims.len() as i64 - 1;
    let fits = options.weights().dtype.bits() == bits
        && size >= least
        && size.is_power_of_two()
        && dims.len() > 1
        && gathered != last
        && gathered != -1;
    let outermost = node.graph() == model.main();
    if !fits || !outermost || tensor.len() < SMALLEST_STORED {
        return Ok(None);
    }
    let share = Share::Block { axis: dims.len() - 1, size };
    finite(model, table, &tensor)?;
    let weight =
        Weight { slot: 0, value: table, tensor, dtype, dims, share, turned: None, shared: false };
    let text = what(&weight, options).replace("weight", "table");
    Ok(Some(PlannedNode { text, ..reader(id, weight) }))
}

/// Whether nothing but Gather reads a table.
fn is_table_alone(model: &Model, table: ValueId) -> bool {
    let entry = model.value(table);
    let gathers = entry.consumers().all(|(reader, slot)| {
        let reader = model.node(reader);
        slot == 0 && reader.is("Gather")
    });
    gathers && entry.consumers().count() == entry.uses().len()
}

/// A table that nothing but Gather reads, rows of which become floats behind the Gather.
fn lookup(
    model: &Model,
    id: NodeId,
    ConstantFloats { tensor, dtype }: ConstantFloats,
    options: &QuantizeStatic,
    shapes: &Shapes,
) -> Result<Option<Lookup>, String> {
    let node = model.node(id);
    let (Some(table), Some(output)) = (node.input(0), node.output(0)) else { return Ok(None) };
    if options.weights().is_float() {
        return Err("tables are not stored as 8-bit floats".into());
    }
    let rules = options.target.rules();
    if !options.weights_only && !rules.stored.contains(&"Gather") {
        return Err(no_kernel(rules));
    }
    let format = match options.weights() {
        narrow if narrow.dtype.bits() >= 8 => kernels::of_table(narrow),
        // Gather reads no narrower integers.
        narrow if options.weights_only => Format { dtype: DType::Int8, ..narrow },
        _ => return Err("stays in float: Gather reads no integers of less than 8 bits".into()),
    };
    finite(model, table, &tensor)?;
    let rank = tensor.dims().len();
    let gathered = node.attr_int("axis").unwrap_or(0);
    let last = rank as i64 - 1;
    // Of the rows that are gathered, every column keeps its place: it is the last axis.
    let columns = match shapes.rank(output) {
        Some(rank) if gathered != last && gathered != -1 => rank.checked_sub(1),
        _ => None,
    };
    let fine = options.granularity != Granularity::Tensor && rules.channels.contains(&"Gather");
    let columns = columns.filter(|_| fine && rank > 1);
    let share = columns.map_or(Share::Tensor, |_| Share::Axis(rank - 1));
    // In newer operator sets ONNX Runtime moves one zero point of int8 on wrongly; without, rows are as well off.
    let format = match (columns, format.dtype) {
        (None, DType::Int8) => Format { symmetric: true, ..format },
        _ => format,
    };
    let dims = tensor.dims().to_vec();
    let weight =
        Weight { slot: 0, value: table, tensor, dtype, dims, share, turned: None, shared: false };
    Ok(Some(Lookup { node: id, weight, format, columns }))
}
