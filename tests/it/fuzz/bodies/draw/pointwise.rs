//! Steps that look at one element at a time.

use onnxpress::ir::NewNode;
use onnxpress::tensor::DType;

use super::builder::{Builder, HIGHEST_DEGREE, LARGEST, Value};

/// Operators of one input, with the operator set that has them.
const UNARY: &[(&str, i64)] = &[
    ("Relu", 7),
    ("Relu", 7),
    ("Identity", 7),
    ("Sigmoid", 7),
    ("Tanh", 7),
    ("Abs", 7),
    ("Neg", 7),
    ("LeakyRelu", 7),
    ("Elu", 7),
    ("Selu", 7),
    ("HardSigmoid", 7),
    ("Softplus", 7),
    ("Softsign", 7),
    ("Cos", 7),
    ("Sin", 7),
    ("Erf", 9),
    ("HardSwish", 14),
    ("Mish", 18),
    ("Gelu", 20),
];

pub fn unary(builder: &mut Builder<'_, '_>) -> Option<Value> {
    let x = builder.pick_float(0..=6)?;
    match builder.choices.below(6) {
        0 => clip(builder, &x),
        1 => dropout(builder, &x),
        _ => {
            let (op, since) = *builder.choices.one_of(UNARY);
            // Not every type had every operator from the start.
            let op = if since > builder.opset { "Relu" } else { op };
            let mut node = NewNode::new(op, &[x.id], "u");
            if matches!(op, "LeakyRelu" | "Elu" | "HardSigmoid") && builder.choices.chance(2) {
                node = node.attr("alpha", 0.3);
            }
            builder.node(node, &x, x.dims.clone())
        }
    }
}

/// Bounds are attributes before operator set 11, and may be left out.
fn clip(builder: &mut Builder<'_, '_>, x: &Value) -> Option<Value> {
    let mut node = NewNode::new("Clip", &[x.id], "clip");
    let (low, high) = (builder.choices.chance(2), builder.choices.chance(2));
    if builder.opset < 11 {
        for (name, bound, given) in [("min", -0.5, low), ("max", 1.5, high)] {
            node = if given { node.attr(name, bound) } else { node };
        }
    } else {
        for (bound, given) in [(-0.5, low), (1.5, high)] {
            let bound = given.then(|| builder.constant(x.dtype, &[], bound, bound).id);
            node.inputs.push(bound);
        }
        while node.inputs.last() == Some(&None) {
            node.inputs.pop();
        }
    }
    builder.node(node, x, x.dims.clone())
}

/// In inference; sometimes with the mask as a second output that nobody reads.
fn dropout(builder: &mut Builder<'_, '_>, x: &Value) -> Option<Value> {
    let mut node = NewNode::new("Dropout", &[x.id], "drop");
    if builder.choices.chance(2) {
        if builder.opset < 12 {
            node = node.attr("ratio", 0.25);
        } else {
            let ratio = builder.constant(DType::Float, &[], 0.25, 0.25);
            node.inputs.push(Some(ratio.id));
        }
    }
    let mut outputs = vec![(x.dtype, x.dims.clone())];
    if builder.opset >= 10 && builder.choices.chance(3) {
        outputs.push((DType::Bool, x.dims.clone()));
    }
    Some(builder.add(node, &outputs, x).swap_remove(0))
}

/// Extents that both broadcast to; nothing when they do not, or when an open batch would meet
/// another extent.
pub fn broadcast(a: &Value, b: &Value) -> Option<Vec<usize>> {
    let rank = a.rank().max(b.rank());
    let extent = |value: &Value, axis: usize| match axis.checked_sub(rank - value.rank()) {
        Some(own) => (value.dims[own], value.batched && own == 0),
        None => (1, false),
    };
    let dims: Option<Vec<usize>> = (0..rank)
        .map(|axis| match (extent(a, axis), extent(b, axis)) {
            ((x, true), (_, true)) => Some(x),
            ((x, true), (1, false)) | ((1, false), (x, true)) if axis == 0 => Some(x),
            ((_, true), _) | (_, (_, true)) => None,
            ((x, _), (y, _)) if x == y || y == 1 => Some(x),
            ((1, _), (y, _)) => Some(y),
            _ => None,
        })
        .collect();
    dims.filter(|dims| dims.iter().product::<usize>() <= LARGEST)
}

/// Two values that depend on the input.
pub fn binary(builder: &mut Builder<'_, '_>) -> Option<Value> {
    let a = builder.pick_float(0..=6)?;
    let b = builder.pick(|b| b.dtype == a.dtype && broadcast(&a, b).is_some())?;
    let dims = broadcast(&a, &b)?;
    let op = *builder.choices.one_of(&["Add", "Add", "Mul", "Max", "Min", "Sum", "Mean", "Where"]);
    let degree = if op == "Mul" { a.degree + b.degree } else { a.degree.max(b.degree) };
    if degree > HIGHEST_DEGREE {
        return None;
    }
    // Max and Min of other floating-point types came with operator set 8 and 12.
    let narrow = a.dtype != DType::Float && builder.opset < 12;
    let op = if narrow && matches!(op, "Max" | "Min") { "Add" } else { op };
    let like = Value { batched: a.batched || b.batched, degree, ..a.clone() };
    let single = matches!(op, "Add" | "Mul") || (builder.opset < 8 && a.dims != b.dims);
    if op == "Where" {
        return select(builder, &a, &b, &like, dims);
    }
    let op = if single && !matches!(op, "Add" | "Mul") { "Add" } else { op };
    builder.node(NewNode::new(op, &[a.id, b.id], "b"), &like, dims)
}

/// `a` where it is larger than a number, else `b`.
fn select(
    builder: &mut Builder<'_, '_>,
    a: &Value,
    b: &Value,
    like: &Value,
    dims: Vec<usize>,
) -> Option<Value> {
    if builder.opset < 9 {
        return None;
    }
    let bound = builder.constant(a.dtype, &[], 0.1, 0.2);
    let greater = NewNode::new("Greater", &[a.id, bound.id], "greater");
    let condition = builder.typed(greater, a, DType::Bool, a.dims.clone())?;
    builder.node(NewNode::new("Where", &[condition.id, a.id, b.id], "where"), like, dims)
}

/// A value and a constant, on either side.
pub fn with_constant(builder: &mut Builder<'_, '_>) -> Option<Value> {
    let x = builder.pick_float(0..=6)?;
    let op = *builder.choices.one_of(&["Mul", "Add", "Sub", "Div", "Mul", "Pow", "PRelu"]);
    if op == "Pow" {
        return power(builder, &x);
    }
    let own = x.rank() - if x.batched { 1 } else { 0 };
    let rank = builder.choices.between(0, own);
    let mut dims = x.dims[x.rank() - rank..].to_vec();
    for dim in &mut dims {
        *dim = if builder.choices.chance(3) { 1 } else { *dim };
    }
    let c = builder.constant(x.dtype, &dims, 0.5, 1.5);
    let aside = matches!(op, "Mul" | "Add" | "Sub") && builder.choices.chance(3);
    let inputs = if aside { [c.id, x.id] } else { [x.id, c.id] };
    builder.node(NewNode::new(op, &inputs, "k"), &x, x.dims.clone())
}

/// The square.
fn power(builder: &mut Builder<'_, '_>, x: &Value) -> Option<Value> {
    let degree = 2 * x.degree;
    if degree > HIGHEST_DEGREE {
        return None;
    }
    let two = builder.constant(x.dtype, &[], 2.0, 2.0);
    let like = Value { degree, ..x.clone() };
    builder.node(NewNode::new("Pow", &[x.id, two.id], "square"), &like, x.dims.clone())
}

/// To another numeric type; floats become integers only where they are small.
pub fn cast(builder: &mut Builder<'_, '_>) -> Option<Value> {
    let x = builder.pick(|value| value.dtype != DType::Bool)?;
    let to = match x.is_float() {
        true => *builder.choices.one_of(&[DType::Float, DType::Double, DType::Float16]),
        false => *builder.choices.one_of(&[DType::Float, DType::Int32, DType::Int64]),
    };
    let node = NewNode::new("Cast", &[x.id], "cast").attr("to", i64::from(to.to_onnx()));
    builder.typed(node, &x, to, x.dims.clone())
}

/// Arithmetic on constants alone, whose result meets a value.
pub fn of_constants(builder: &mut Builder<'_, '_>) -> Option<Value> {
    let x = builder.pick_float(1..=4)?;
    let dims = [*x.dims.last()?];
    if x.batched && x.rank() == 1 {
        return None;
    }
    let mut value = builder.constant(x.dtype, &dims, 0.5, 1.5);
    for _ in 0..builder.choices.between(1, 3) {
        let other = builder.constant(x.dtype, &dims, 0.5, 1.5);
        let node = match builder.choices.below(5) {
            0 => NewNode::new("Sqrt", &[value.id], "root"),
            1 => NewNode::new("Reciprocal", &[value.id], "inverse"),
            2 => NewNode::new("Identity", &[value.id], "same"),
            3 => NewNode::new("Mul", &[value.id, other.id], "product"),
            _ => NewNode::new("Add", &[value.id, other.id], "sum"),
        };
        value = builder.node(node, &value, dims.to_vec())?;
    }
    builder.node(NewNode::new("Mul", &[x.id, value.id], "scaled"), &x, x.dims.clone())
}
