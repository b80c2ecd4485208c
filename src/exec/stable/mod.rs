//! Operators that tract computes in a form that overflows, or in which infinities and NaN are lost, in a form that
//! is right for every number: put in the place of tract's when it reads a model. `docs/ENGINE.md` lists them.

mod cast;
mod compress;
mod functions;
mod masked;
mod rows;
mod swap;

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

use self::rows::Rows;
use self::swap::swapped;

/// What reads a node of the model: the operator, and names of outer values that its bodies need.
type Read = TractResult<(Box<dyn InferenceOp>, Vec<String>)>;

/// Lets tract read these operators as ours.
pub(super) fn register(framework: &mut tract_onnx::Onnx) {
    let register = &mut framework.op_register;
    functions::register(register);
    cast::register(register);
    compress::register(register);
    for op in ["ReduceMax", "ReduceMin", "ReduceLogSumExp", "ArgMax", "ArgMin", "LogSoftmax"] {
        register.insert(op, by_rows);
    }
    register.insert("Attention", attention);
}

/// What tract itself makes of a node, read as if it were of another operator.
fn tract_reads(op: &str, context: &ParsingContext<'_>, node: &NodeProto) -> Read {
    static TRACT: std::sync::LazyLock<tract_onnx::Onnx> =
        std::sync::LazyLock::new(tract_onnx::onnx);
    let read = TRACT.op_register.0.get(op);
    let read = read.ok_or_else(|| format_err!("tract does not implement {op}"))?;
    read(context, node)
}

/// Axes, and what becomes of them, are the same for ReduceMax and ReduceLogSumExp in all versions, and for Softmax and
/// LogSoftmax.
fn by_rows(context: &ParsingContext<'_>, node: &NodeProto) -> Read {
    let (of, swap): (&str, swap::Swap) = match node.op_type.as_str() {
        "ReduceLogSumExp" => ("ReduceMax", Rows::instead_of_max),
        "LogSoftmax" => ("Softmax", Rows::instead_of_softmax),
        other => (other, Rows::instead),
    };
    let (op, outer) = tract_reads(of, context, node)?;
    Ok((swapped(op, swap)?, outer))
}

fn attention(context: &ParsingContext<'_>, node: &NodeProto) -> Read {
    let (op, outer) = tract_reads("Attention", context, node)?;
    Ok((swapped(op, masked::instead)?, outer))
}
