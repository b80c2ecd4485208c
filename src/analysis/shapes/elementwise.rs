//! Operators that work element by element, with broadcasting and with arithmetic on contents.

use crate::analysis::shapes::arithmetic;
use crate::analysis::shapes::call::Call;
use crate::analysis::shapes::content::{Content, broadcast_strides};
use crate::analysis::shapes::fact::{Fact, all_known, broadcast};
use crate::analysis::shapes::term::Term;
use crate::tensor::DType;

/// Type and extents of the first input.
pub(super) fn same(call: &Call<'_>) -> Fact {
    call.fact(0).without_content()
}

/// The first input itself.
pub(super) fn identity(call: &Call<'_>) -> Fact {
    call.fact(0).clone()
}

/// Extents of the first input, truth values.
pub(super) fn test(call: &Call<'_>) -> Fact {
    Fact::new(Some(DType::Bool), call.shape(0))
}

/// Extents of the first input; element type from an attribute, or that of the input.
pub(super) fn like(call: &Call<'_>) -> Fact {
    Fact::new(call.dtype_attr("dtype").or(call.dtype(0)), call.shape(0))
}

/// One operand, with arithmetic.
pub(super) fn unary(call: &Call<'_>) -> Fact {
    let op = call.node.op();
    let fact = same(call);
    let Some(dtype) = fact.dtype else { return fact };
    let content = call.fact(0).content.as_ref().and_then(|content| match content {
        Content::Ints(x) => {
            Content::from_ints(x.iter().map(|x| arithmetic::unary_int(op, x, dtype)))
        }
        Content::Floats(x) => Content::from_floats(
            x.iter().map(|x| x.and_then(|x| arithmetic::unary_float(op, x, dtype))),
        ),
    });
    fact.holding(content)
}

/// Two operands of one type, or any number of them one after the other.
pub(super) fn arithmetic(call: &Call<'_>) -> Fact {
    if before_broadcasting(call) {
        return same(call);
    }
    let floor_mod = !call.flag("fmod", false);
    let mut total = call.fact(0).clone();
    for slot in 1..call.node.inputs().len() {
        total = combine(call, &total, call.fact(slot), floor_mod);
    }
    if call.node.op() == "Mean" { total.without_content() } else { total }
}

fn combine(call: &Call<'_>, a: &Fact, b: &Fact, floor_mod: bool) -> Fact {
    let op = call.node.op();
    let dtype = a.dtype.or(b.dtype);
    let fact = broadcast_facts(dtype, &[a, b]);
    let Some(dtype) = dtype else { return fact };
    let content = match (aligned(call, &fact, a), aligned(call, &fact, b)) {
        (Some(Content::Ints(a)), Some(Content::Ints(b))) => Content::from_ints(
            a.iter().zip(b.iter()).map(|(a, b)| arithmetic::binary_int(op, a, b, dtype, floor_mod)),
        ),
        // Engines add up more than two in an order and a precision of their own.
        (Some(Content::Floats(_)), Some(_)) if op == "Sum" && call.node.inputs().len() > 2 => None,
        (Some(Content::Floats(a)), Some(Content::Floats(b))) => Content::from_floats(
            a.iter().zip(b.iter()).map(|(&a, &b)| arithmetic::binary_float(op, a?, b?, dtype)),
        ),
        _ => None,
    };
    fact.holding(content)
}

/// Two operands, truth values out.
pub(super) fn compare(call: &Call<'_>) -> Fact {
    let op = call.node.op();
    if before_broadcasting(call) {
        return test(call);
    }
    let (a, b) = (call.fact(0), call.fact(1));
    let fact = broadcast_facts(Some(DType::Bool), &[a, b]);
    let content = match (aligned(call, &fact, a), aligned(call, &fact, b)) {
        (Some(Content::Ints(a)), Some(Content::Ints(b))) => Content::from_ints(
            a.iter().zip(b.iter()).map(|(a, b)| arithmetic::compare_ints(op, a, b).map(i64::from)),
        ),
        (Some(Content::Floats(a)), Some(Content::Floats(b))) => {
            let compare = |(&a, &b): (&Option<f64>, &Option<f64>)| {
                arithmetic::compare_floats(op, a?, b?).map(i64::from)
            };
            Content::from_ints(a.iter().zip(b.iter()).map(compare))
        }
        _ => None,
    };
    fact.holding(content)
}

/// Where: the second input where the first is true, the third elsewhere.
pub(super) fn select(call: &Call<'_>) -> Fact {
    let (condition, a, b) = (call.fact(0), call.fact(1), call.fact(2));
    let fact = broadcast_facts(a.dtype.or(b.dtype), &[condition, a, b]);
    let content =
        match (aligned(call, &fact, condition), aligned(call, &fact, a), aligned(call, &fact, b)) {
            (Some(Content::Ints(c)), Some(Content::Ints(a)), Some(Content::Ints(b))) => {
                Content::from_ints(pick_each(&c, &a, &b))
            }
            (Some(Content::Ints(c)), Some(Content::Floats(a)), Some(Content::Floats(b))) => {
                Content::from_floats(pick_each(&c, &a, &b))
            }
            _ => None,
        };
    fact.holding(content)
}

/// Elements of `a` where the condition holds; the default stands for an unknown element.
fn pick_each<T: Clone + Default + PartialEq>(condition: &[Term], a: &[T], b: &[T]) -> Vec<T> {
    let pairs = a.iter().zip(b);
    let choose = |(condition, (a, b)): (&Term, (&T, &T))| match condition.known() {
        Some(0) => b.clone(),
        Some(_) => a.clone(),
        None if a == b => a.clone(),
        None => T::default(),
    };
    condition.iter().zip(pairs).map(choose).collect()
}

/// Cast: the type from an attribute.
pub(super) fn cast(call: &Call<'_>) -> Fact {
    cast_to(call, call.dtype_attr("to"))
}

/// CastLike: the type of the second input.
pub(super) fn cast_like(call: &Call<'_>) -> Fact {
    cast_to(call, call.dtype(1))
}

fn cast_to(call: &Call<'_>, dtype: Option<DType>) -> Fact {
    let content = call.fact(0).content.as_ref().zip(dtype).and_then(|(c, dtype)| c.cast(dtype));
    Fact::new(dtype, call.shape(0)).holding(content)
}

/// BitCast keeps extents; contents are not followed.
pub(super) fn bit_cast(call: &Call<'_>) -> Fact {
    Fact::new(call.dtype_attr("to"), call.shape(0))
}

/// Before operator set 7 the second operand was fitted to the first.
fn before_broadcasting(call: &Call<'_>) -> bool {
    call.opset < 7
        && call.node.inputs().len() == 2
        && !matches!(call.node.op(), "Max" | "Min" | "Mean" | "Sum")
}

fn broadcast_facts(dtype: Option<DType>, operands: &[&Fact]) -> Fact {
    let mut dims = Some(Vec::new());
    for operand in operands {
        dims = dims.zip(operand.dims.as_deref()).map(|(a, b)| broadcast(&a, b));
    }
    Fact::new(dtype, dims)
}

/// The contents of an operand as they line up with a broadcast result.
fn aligned(call: &Call<'_>, result: &Fact, operand: &Fact) -> Option<Content> {
    let content = operand.content.as_ref()?;
    let dims = result.fixed_dims()?;
    let own = all_known(operand.dims.as_deref()?)?;
    content.pick(&call.view(&dims, 0, &broadcast_strides(&own, dims.len()))?)
}
