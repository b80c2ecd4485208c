//! Things of a model in a few words.

use crate::ir::{
    AttrValue, Constant, DimSize, Model, Node, Stored, StoredAs, TensorType, Value, ValueId,
    ValueType,
};
use crate::tensor::Tensor;

/// Lists and tensors up to this many elements are shown whole.
const SHOWN_WHOLE: usize = 8;
/// Elements shown of a longer one.
const SHOWN_OF_MORE: usize = 4;

/// A name in backticks, with nothing in it that moves a terminal's cursor.
pub(super) fn quoted(name: &str) -> String {
    format!("`{}`", name.escape_debug())
}

/// What a node is called: its name, or that of its first output.
pub(super) fn node_name(model: &Model, node: &Node) -> String {
    let output = node.outputs().iter().flatten().next();
    match (node.name(), output) {
        ("", Some(&output)) => model.value(output).name().to_owned(),
        (name, _) => name.to_owned(),
    }
}

/// The operator, with its domain unless that is the default one, and with its overload.
pub(super) fn operator(node: &Node) -> String {
    let domain = if node.is_standard() { "" } else { node.domain() };
    path(domain, node.op(), node.overload())
}

/// `domain.name:overload`, without what is empty.
pub(super) fn path(domain: &str, name: &str, overload: &str) -> String {
    let dot = if domain.is_empty() { "" } else { "." };
    let colon = if overload.is_empty() { "" } else { ":" };
    format!("{domain}{dot}{name}{colon}{overload}")
}

/// The name of the value in an input or output slot.
pub(super) fn slot(model: &Model, value: Option<ValueId>) -> Option<String> {
    value.map(|value| model.value(value).name().to_owned())
}

/// `` `x`, `w` -> `y` <axis = 1>``.
pub(super) fn node(model: &Model, node: &Node) -> String {
    let names = |values: &[Option<ValueId>]| {
        let names = values
            .iter()
            .map(|&value| slot(model, value).map_or("none".into(), |name| quoted(&name)));
        names.collect::<Vec<_>>().join(", ")
    };
    let attributes = node.attributes().iter().map(|attribute| {
        format!("{} = {}", attribute.name.escape_debug(), attr(model, &attribute.value))
    });
    let attributes: Vec<String> = attributes.collect();
    let attributes = match attributes.is_empty() {
        true => String::new(),
        false => format!(" <{}>", attributes.join(", ")),
    };
    let inputs = names(node.inputs());
    let space = if inputs.is_empty() { "" } else { " " };
    format!("{inputs}{space}-> {}{attributes}", names(node.outputs()))
}

/// The value of an attribute.
pub(super) fn attr(model: &Model, value: &AttrValue) -> String {
    let text = |bytes: &[u8]| format!("{:?}", String::from_utf8_lossy(bytes));
    match value {
        AttrValue::Float(x) => format!("{x:?}"),
        AttrValue::Int(x) => x.to_string(),
        AttrValue::String(x) => text(x),
        AttrValue::Tensor(stored) => tensor(&stored.tensor),
        AttrValue::Graph(body) => {
            let nodes = model.nodes_of(*body).count();
            format!("body {} of {nodes} nodes", quoted(model.graph(*body).name()))
        }
        AttrValue::Floats(xs) => format!("[{}]", list(xs.len(), |i| format!("{:?}", xs[i]))),
        AttrValue::Ints(xs) => format!("[{}]", list(xs.len(), |i| xs[i].to_string())),
        AttrValue::Strings(xs) => format!("[{}]", list(xs.len(), |i| text(&xs[i]))),
        AttrValue::Tensors(xs) => format!("[{}]", list(xs.len(), |i| tensor(&xs[i].tensor))),
        AttrValue::Graphs(xs) => format!("{} bodies", xs.len()),
        AttrValue::Reference { name, .. } => format!("@{}", name.escape_debug()),
        AttrValue::Opaque => "of a type that is not shown".into(),
    }
}

/// Element type and dims, and the elements when they are few.
fn tensor(tensor: &Tensor) -> String {
    let ty = tensor_type(tensor);
    if tensor.len() > SHOWN_WHOLE {
        return ty;
    }
    let elements = match tensor.strings() {
        Some(xs) => list(xs.len(), |i| format!("{:?}", String::from_utf8_lossy(&xs[i]))),
        None => match (tensor.to_i64(), tensor.to_f32()) {
            (Ok(xs), _) => list(xs.len(), |i| xs[i].to_string()),
            (_, Ok(xs)) => list(xs.len(), |i| xs[i].to_string()),
            _ => return ty,
        },
    };
    format!("{ty} {{{elements}}}")
}

fn list(count: usize, text: impl Fn(usize) -> String) -> String {
    if count <= SHOWN_WHOLE {
        return (0..count).map(text).collect::<Vec<_>>().join(", ");
    }
    let shown: Vec<String> = (0..SHOWN_OF_MORE).map(text).collect();
    format!("{}, ... {count} elements", shown.join(", "))
}

/// `float[64,3,3,3]`.
pub(super) fn tensor_type(tensor: &Tensor) -> String {
    value_type(&ValueType::Tensor(TensorType::with_dims(tensor.dtype(), tensor.dims())))
}

/// A declared type: `float[N,3]`, `float` for a scalar, `float[]` for an unknown rank.
pub(super) fn value_type(ty: &ValueType) -> String {
    let ty = match ty {
        ValueType::Tensor(ty) => ty,
        ValueType::Opaque(encoded) => {
            return format!("sequence, map or other type ({} bytes)", encoded.len());
        }
    };
    let note = |denotation: &Option<String>| {
        denotation.as_ref().map(|text| format!(":{}", text.escape_debug())).unwrap_or_default()
    };
    let dims = ty.dims.as_ref().map(|dims| {
        let dims = dims.iter().map(|dim| {
            let size = match &dim.size {
                DimSize::Known(size) => size.to_string(),
                DimSize::Symbol(name) => name.escape_debug().to_string(),
                DimSize::Unknown => "?".to_owned(),
            };
            size + &note(&dim.denotation)
        });
        dims.collect::<Vec<_>>()
    });
    let dims = match dims {
        None => "[]".to_owned(),
        Some(dims) if dims.is_empty() => String::new(),
        Some(dims) => format!("[{}]", dims.join(",")),
    };
    format!("{}{dims}{}", ty.dtype, note(&ty.denotation))
}

/// What kind of constant a value is.
pub(super) fn role(value: &Value, constant: &Constant) -> String {
    let sparse = if matches!(constant, Constant::Sparse(_)) { "sparse " } else { "" };
    let kind = if value.is_input() { "default of an input" } else { "constant" };
    format!("{sparse}{kind}")
}

/// Type of a constant.
pub(super) fn constant(constant: &Constant) -> String {
    match constant {
        Constant::Dense(stored) => tensor(&stored.tensor),
        Constant::Sparse(sparse) => {
            let (dtype, dims, count) = (sparse.dtype(), &sparse.dims, sparse.values.tensor.len());
            format!("sparse {dtype}{dims:?} with {count} elements")
        }
    }
}

/// The field that holds the elements.
pub(super) fn storage(stored: &Stored) -> &'static str {
    match stored.stored_as {
        StoredAs::Raw => "raw data",
        StoredAs::Field => "typed field",
        StoredAs::Absent => "no data",
    }
}
