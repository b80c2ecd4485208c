//! Gives a model the interface of another one, so that both can be run on the same samples and compared.

use std::collections::BTreeMap;

use crate::error::{Error, ErrorKind, Result, err};
use crate::ir::{At, Def, DimSize, Info, Model, NewNode, TensorType, Value, ValueId, ValueType};
use crate::tensor::DType;

/// Names of inputs or outputs of an original, and what they are called in a candidate.
pub type Renamed = [(String, String)];

/// `candidate` with inputs and outputs named as in `original`, where `renamed` says what they are called, and taking
/// the types that the original takes: floats of another width are cast, and so are integers.
///
/// # Errors
/// When a name is not known, an input of the candidate has no counterpart or another kind of type, or dims contradict
/// those of the original.
pub fn aligned(original: &Model, candidate: &Model, renamed: &Renamed) -> Result<Model> {
    let mut model = candidate.clone();
    let mut names = BTreeMap::new();
    for (old, new) in renamed {
        let (from, to) = (ports(original), ports(candidate));
        let pairs = [(from.0, to.0, "input"), (from.1, to.1, "output")];
        let known = pairs.iter().filter(|(from, ..)| find(original, from, old).is_some());
        let mut known = known.peekable();
        if known.peek().is_none() {
            let text = format!("the original has no input or output `{old}`");
            return Err(usage(text).help(listed(original)));
        }
        for (_, to, what) in known {
            let value = find(candidate, to, new).ok_or_else(|| {
                usage(format!("the candidate has no {what} `{new}`")).help(listed(candidate))
            })?;
            names.insert(value, old.clone());
        }
    }
    let names: Vec<(ValueId, String)> = names.into_iter().collect();
    model.rename_ports(&names);
    let inputs = required(original);
    for input in required(&model) {
        let name = model.value(input).name().to_owned();
        let Some(known) = find(original, &inputs, &name) else {
            let missing = inputs.iter().map(|&value| original.value(value).name());
            let mut missing =
                missing.filter(|name| find(&model, &required(&model), name).is_none());
            let hint =
                missing.next().map(|old| format!("`--map {old}={name}` says that it is `{old}`"));
            let error = err!(Invalid, "the candidate has an input `{name}`, the original does not");
            return Err(match hint {
                Some(hint) => error.help(hint),
                None => error,
            });
        };
        check_dims(original.value(known), model.value(input))?;
        let [from, to] = [original.value(known), model.value(input)].map(dtype);
        if let (Some(from), Some(to)) = (from, to)
            && from != to
        {
            cast(&mut model, input, from, to)?;
        }
    }
    Ok(model)
}

/// What contradicts the dims that the candidate declares, when it is run on inputs of the original.
///
/// # Errors
/// When an input has dims that the candidate does not take.
pub fn check_fed(original: &Model, candidate: &Model, fed: &[(String, Vec<usize>)]) -> Result<()> {
    for input in required(candidate) {
        let value = candidate.value(input);
        let Some((_, dims)) = fed.iter().find(|(name, _)| name == value.name()) else { continue };
        let declared = value.tensor_type().and_then(|ty| ty.dims.as_deref());
        let Some(declared) = declared else { continue };
        let fits = declared.len() == dims.len()
            && declared.iter().zip(dims).all(|(dim, &n)| dim.fixed().is_none_or(|d| d == n));
        let known = find(original, &required(original), value.name());
        if let (false, Some(known)) = (fits, known) {
            return Err(differ(original.value(known), value)
                .help(format!("the samples are {dims:?}, one at a time")));
        }
    }
    Ok(())
}

fn usage(text: String) -> Error {
    Error::new(ErrorKind::Usage, text)
}

/// Inputs and outputs.
fn ports(model: &Model) -> (Vec<ValueId>, Vec<ValueId>) {
    let main = model.graph(model.main());
    (main.inputs().to_vec(), main.outputs().iter().map(|output| output.value).collect())
}

/// Inputs without a default.
fn required(model: &Model) -> Vec<ValueId> {
    let inputs = model.graph(model.main()).inputs().iter().copied();
    inputs.filter(|&id| matches!(model.value(id).def(), Def::Input { default: None })).collect()
}

fn find(model: &Model, values: &[ValueId], name: &str) -> Option<ValueId> {
    values.iter().copied().find(|&value| model.value(value).name() == name)
}

/// The inputs and outputs of a model, for a message.
fn listed(model: &Model) -> String {
    let names = |values: Vec<ValueId>| {
        let names: Vec<&str> = values.iter().map(|&value| model.value(value).name()).collect();
        names.join(", ")
    };
    let (inputs, outputs) = ports(model);
    format!("its inputs are {}, its outputs {}", names(inputs), names(outputs))
}

fn dtype(value: &Value) -> Option<DType> {
    value.tensor_type().map(|ty| ty.dtype)
}

/// Axes that both fix must agree.
fn check_dims(original: &Value, candidate: &Value) -> Result<()> {
    let dims = |value: &Value| value.tensor_type().and_then(|ty| ty.dims.clone());
    let (Some(a), Some(b)) = (dims(original), dims(candidate)) else { return Ok(()) };
    let agree = |(a, b): (&crate::ir::Dim, &crate::ir::Dim)| match (a.fixed(), b.fixed()) {
        (Some(a), Some(b)) => a == b,
        _ => true,
    };
    match a.len() == b.len() && a.iter().zip(&b).all(agree) {
        true => Ok(()),
        false => Err(differ(original, candidate)),
    }
}

fn differ(original: &Value, candidate: &Value) -> Error {
    let dims = |value: &Value| {
        let dims = value.tensor_type().and_then(|ty| ty.dims.as_deref()).unwrap_or_default();
        let dims: Vec<String> = dims
            .iter()
            .map(|dim| match &dim.size {
                DimSize::Symbol(name) => name.clone(),
                _ => dim.fixed().map_or("?".to_owned(), |n| n.to_string()),
            })
            .collect();
        format!("[{}]", dims.join(","))
    };
    let (name, a, b) = (original.name(), dims(original), dims(candidate));
    err!(Invalid, "input `{name}`: {a} in the original, {b} in the candidate")
}

/// Lets an input take `from`, of which the model makes the type that it took, `to`.
fn cast(model: &mut Model, input: ValueId, from: DType, to: DType) -> Result<()> {
    let safe = (from.is_float() && to.is_float())
        || (from.is_integer() && to.is_integer() && from.bits() > 8 && to.bits() > 8)
        || (from.is_integer() && to.is_float());
    let value = model.value(input);
    if !safe {
        return Err(err!(
            Invalid,
            "input `{}` is {from} in the original, {to} in the candidate: samples of one are none of the other",
            value.name()
        ));
    }
    let ty = value.tensor_type().cloned().unwrap_or_else(|| TensorType::of(from));
    let info = Info {
        ty: Some(ValueType::Tensor(TensorType { dtype: from, ..ty })),
        ..value.info().clone()
    };
    let (name, main) = (format!("{}_cast", value.name()), model.main());
    let node = NewNode::new("Cast", &[input], &name).attr("to", i64::from(to.to_onnx()));
    let node = model.add_node(main, At::Start, node);
    if let Some(made) = model.node(node).output(0) {
        model.replace_uses_where(input, made, |reader, _| reader != node);
    }
    model.set_info(input, info);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read;

    fn model(input: &str, body: &str) -> Model {
        let text = format!(
            "<ir_version: 8, opset_import: [\"\" : 17]> g ({input}) => (float[N,8] y) {{ {body} }}"
        );
        read::text(&text).unwrap()
    }

    fn names(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|&(a, b)| (a.to_owned(), b.to_owned())).collect()
    }

    #[test]
    fn ports_are_renamed_and_cast() {
        let original = model("float[N,8] x", "h = Relu (x) y = Sigmoid (h)");
        let text = "<ir_version: 8, opset_import: [\"\" : 17]> g (float16[B,8] h) => (float16[B,8] x) \
                    { y = Relu (h) x = Sigmoid (y) }";
        let candidate = read::text(text).unwrap();
        let map = names(&[("x", "h"), ("y", "x")]);
        let found = aligned(&original, &candidate, &map).unwrap();
        assert!(found.verify().is_ok());
        let (inputs, outputs) = ports(&found);
        assert_eq!(found.value(inputs[0]).name(), "x");
        assert_eq!(dtype(found.value(inputs[0])), Some(DType::Float));
        assert_eq!(found.value(outputs[0]).name(), "y");
        assert_eq!(found.all_nodes().len(), 3, "a Cast was added");
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let original = model("float[N,3,8,8] x", "y = GlobalMaxPool (x)");
        let error = |input: &str, map: &[(&str, &str)]| {
            let candidate = model(input, "y = Cast <to = 1> (x)");
            aligned(&original, &candidate, &names(map)).unwrap_err().to_string()
        };
        assert_eq!(
            error("float[N,8,8,3] x", &[]),
            "input `x`: [N,3,8,8] in the original, [N,8,8,3] in the candidate"
        );
        assert!(error("float[N,3,8,8] x", &[("q", "x")]).contains("no input or output `q`"));
        assert!(error("float[N,3,8,8] x", &[("x", "q")]).contains("no input `q`"));
        assert!(error("uint8[N,3,8,8] x", &[]).contains("is float in the original, uint8"));
    }
}
