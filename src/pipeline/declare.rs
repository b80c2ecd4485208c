//! Writes what shape inference finds into the declarations of a model.

use std::collections::BTreeSet;

use crate::analysis::{Assume, Shapes, Term};
use crate::ir::{Def, Dim, DimSize, Info, Model, TensorType, Value, ValueType};
use crate::passes::Note;

/// Declares type and shape of every inner value, those of bodies included, as far as they are known
/// in every run. Inputs and outputs of the model and constants keep their declarations, and so does every axis that
/// the file knows more about. An expression becomes the name of its axis when all its symbols have
/// names. Returns the declarations that contradicted what follows from the inputs, and were replaced.
pub fn declare_shapes(model: &mut Model) -> Vec<Note> {
    // Engines override defaults of inputs only in models of the versions that say so.
    let defaults = model.header.ir_version.is_some_and(|version| version < 4);
    let shapes = Shapes::infer(model, &Assume { defaults, ..Assume::default() });
    let names = names(model);
    let (mut infos, mut replaced) = (Vec::new(), Vec::new());
    for (id, value) in model.values() {
        let inner = matches!(value.def(), Def::Output { .. });
        let inner = inner && !model.output_slots(id).any(|(graph, _)| graph == model.main());
        let Some(dtype) = shapes.dtype(id).filter(|_| inner) else { continue };
        let declared = match &value.info().ty {
            Some(ValueType::Opaque(_)) => continue,
            Some(ValueType::Tensor(ty)) => Some(ty),
            None => None,
        };
        let mut found = TensorType::of(dtype);
        found.denotation = declared.and_then(|ty| ty.denotation.clone());
        found.dims = match (shapes.dims(id), declared.and_then(|ty| ty.dims.as_deref())) {
            (None, dims) => dims.map(<[Dim]>::to_vec),
            (Some(terms), dims) => {
                let dims = dims.filter(|dims| dims.len() == terms.len());
                let axis = |(i, term)| merged(dims.map(|dims| &dims[i]), term, &names);
                Some(terms.iter().enumerate().map(axis).collect())
            }
        };
        if declared == Some(&found) {
            continue;
        }
        replaced.extend(
            declared.filter(|ty| contradicts(ty, &found)).map(|ty| note(value, ty, &found)),
        );
        infos.push((id, Info { ty: Some(ValueType::Tensor(found)), ..value.info().clone() }));
    }
    model.declare(infos);
    replaced
}

/// Names of axes of inputs that could be taken for expressions.
fn names(model: &Model) -> BTreeSet<String> {
    let inputs = model.graph(model.main()).inputs().iter().map(|&input| model.value(input));
    let dims = inputs.filter_map(|input| input.tensor_type()?.dims.as_deref()).flatten();
    let name = |dim: &Dim| match &dim.size {
        DimSize::Symbol(name) => Some(name.clone()),
        _ => None,
    };
    dims.filter_map(name).collect()
}

/// One axis: what was found, or what the file says where nothing can be said.
fn merged(declared: Option<&Dim>, found: &Term, names: &BTreeSet<String>) -> Dim {
    let symbolic = |term: &Term| {
        let text = term.to_string();
        let is_name = matches!(term, Term::Symbolic(sum) if sum.symbol().is_some());
        (term.is_named() && (is_name || !names.contains(&text))).then_some(DimSize::Symbol(text))
    };
    let kept = || match declared.map(|dim| &dim.size) {
        // A number cannot hold in every run where the extent follows from a free one.
        Some(DimSize::Known(_)) if found.follows_from_inputs() => DimSize::Unknown,
        Some(size) => size.clone(),
        None => DimSize::Unknown,
    };
    let size = match found {
        Term::Known(number) => DimSize::Known(*number),
        other => symbolic(other).unwrap_or_else(kept),
    };
    Dim { size, denotation: declared.and_then(|dim| dim.denotation.clone()) }
}

/// True when the type, the number of axes or a number was changed.
fn contradicts(declared: &TensorType, found: &TensorType) -> bool {
    let numbers = |a: &[Dim], b: &[Dim]| {
        a.iter().zip(b).any(|(a, b)| a.fixed().is_some() && a.fixed() != b.fixed())
    };
    let dims = match (&declared.dims, &found.dims) {
        (Some(a), Some(b)) => a.len() != b.len() || numbers(a, b),
        _ => false,
    };
    dims || declared.dtype != found.dtype
}

fn note(value: &Value, declared: &TensorType, found: &TensorType) -> Note {
    let text = |ty: &TensorType| {
        let dim = |dim: &Dim| match &dim.size {
            DimSize::Known(number) => number.to_string(),
            DimSize::Symbol(name) => name.clone(),
            DimSize::Unknown => "?".to_owned(),
        };
        let dims = |dims: &Vec<Dim>| dims.iter().map(dim).collect::<Vec<_>>().join(", ");
        format!("{}[{}]", ty.dtype, ty.dims.as_ref().map_or("…".to_owned(), dims))
    };
    Note {
        place: format!("value `{}`", value.name()),
        text: format!("declared as {}, but is {}", text(declared), text(found)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::{At, NewNode, ValueId};
    use crate::tensor::DType;

    fn symbol(name: &str) -> Dim {
        Dim { size: DimSize::Symbol(name.to_owned()), denotation: None }
    }

    fn tensor(dims: Vec<Dim>) -> TensorType {
        TensorType { dims: Some(dims), ..TensorType::of(DType::Float) }
    }

    fn declare(model: &mut Model, value: ValueId, ty: TensorType) {
        model.declare(vec![(value, Info { ty: Some(ValueType::Tensor(ty)), ..Info::default() })]);
    }

    /// `x: [N, 3, H, ?]` through MaxPool, Relu and a custom operator; Relu's output is an output.
    fn model() -> (Model, [ValueId; 3]) {
        let mut m = Model::new(8, 17);
        let main = m.main();
        let open = Dim { size: DimSize::Unknown, denotation: None };
        let dims = vec![symbol("N"), Dim::known(3), symbol("H"), open];
        let x = m.add_input(main, "x", tensor(dims));
        let mut add = |node| {
            let id = m.add_node(main, At::End, node);
            m.node(id).output(0).unwrap()
        };
        let pool = NewNode::new("MaxPool", &[x], "pooled");
        let pool = pool.attr("kernel_shape", vec![2, 2]).attr("strides", vec![2, 2]);
        let pooled = add(pool);
        let relu = add(NewNode::new("Relu", &[pooled], "y"));
        let custom = NewNode { domain: "custom".into(), ..NewNode::new("Thing", &[relu], "z") };
        let custom = add(custom);
        m.add_output(main, relu, None);
        (m, [pooled, relu, custom])
    }

    fn text(model: &Model, value: ValueId) -> String {
        let value = model.value(value);
        value.tensor_type().map_or("none".to_owned(), |ty| note(value, ty, ty).text)
    }

    #[test]
    fn expressions_become_names_and_outputs_stay() {
        let (mut m, [pooled, relu, custom]) = model();
        assert!(declare_shapes(&mut m).is_empty());
        let expected = "float[N, 3, floor(H/2), ?]";
        assert_eq!(text(&m, pooled), format!("declared as {expected}, but is {expected}"));
        assert_eq!([relu, custom].map(|value| text(&m, value)), ["none", "none"]);
        assert_eq!(m.declared_of(m.main()).count(), 1);
        let before = m.value(pooled).info().clone();
        assert!(declare_shapes(&mut m).is_empty());
        assert_eq!(*m.value(pooled).info(), before);
        assert_eq!(m.declared_of(m.main()).count(), 1);
    }

    #[test]
    fn what_the_file_knows_more_about_stays_and_contradictions_go() {
        let (mut m, [pooled, ..]) = model();
        let dims = vec![Dim::known(1), Dim::known(3), symbol("rows"), symbol("columns")];
        declare(&mut m, pooled, tensor(dims));
        let notes = declare_shapes(&mut m);
        assert_eq!(notes.len(), 1);
        assert_eq!(notes[0].place, "value `pooled`");
        assert_eq!(
            notes[0].text,
            "declared as float[1, 3, rows, columns], but is float[N, 3, floor(H/2), columns]"
        );
    }
}
