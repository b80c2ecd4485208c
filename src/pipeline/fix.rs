//! Free axes of the inputs are fixed because the user asked for it: the only edit of a model's
//! contract.

use std::collections::{BTreeMap, BTreeSet};

use crate::analysis::{Assume, Shapes, Term, names_an_axis};
use crate::error::{Error, ErrorKind, Result, err};
use crate::ir::{Dim, DimSize, Info, Model, TensorType, ValueId, ValueType};

/// Extents to be fixed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FixedAxes {
    /// Extents of named axes, wherever they are declared.
    pub dims: Vec<(String, usize)>,
    /// All extents of inputs, by name.
    pub shapes: Vec<(String, Vec<usize>)>,
}

impl FixedAxes {
    /// Declares the extents. A named axis of an input gets its extent everywhere, and what follows from it is
    /// declared where outputs and inner values are.
    ///
    /// # Errors
    /// When there is no such input or axis, the number of axes differs, or an axis is declared with
    /// another extent.
    pub fn apply(&self, model: &mut Model) -> Result<()> {
        for (name, extent) in &self.dims {
            if !rename(model, name, *extent) {
                return Err(
                    usage(format!("no input or output has an axis `{name}`")).help(named(model))
                );
            }
        }
        let mut fixed: BTreeSet<String> = self.dims.iter().map(|(name, _)| name.clone()).collect();
        for (name, dims) in &self.shapes {
            shape(model, name, dims, &mut fixed)?;
        }
        if !self.dims.is_empty() || !self.shapes.is_empty() {
            redeclare(model, &fixed);
        }
        Ok(())
    }
}

fn usage(text: String) -> Error {
    Error::new(ErrorKind::Usage, text)
}

/// The named axes of the inputs, for a message.
fn named(model: &Model) -> String {
    let inputs = model.graph(model.main()).inputs().iter().map(|&input| model.value(input));
    let dims = inputs.filter_map(|value| value.tensor_type()?.dims.as_deref()).flatten();
    let mut names: Vec<&str> = dims
        .filter_map(|dim| match &dim.size {
            DimSize::Symbol(name) => Some(name.as_str()),
            _ => None,
        })
        .collect();
    names.sort_unstable();
    names.dedup();
    match names.is_empty() {
        true => "the inputs have no named axes; use --fix-shape".to_owned(),
        false => format!("the inputs have the named axes {}", names.join(", ")),
    }
}

fn shape(
    model: &mut Model,
    name: &str,
    dims: &[usize],
    renamed: &mut BTreeSet<String>,
) -> Result<()> {
    let inputs = model.graph(model.main()).inputs();
    let Some(input) = inputs.iter().copied().find(|&input| model.value(input).name() == name)
    else {
        let names: Vec<&str> = inputs.iter().map(|&input| model.value(input).name()).collect();
        return Err(usage(format!("the model has no input `{name}`"))
            .help(format!("its inputs are {}", names.join(", "))));
    };
    let Some(ty) = model.value(input).tensor_type().cloned() else {
        return Err(err!(Unsupported, "input `{name}` is not a tensor of a known type"));
    };
    let declared = ty.dims.clone().unwrap_or_else(|| vec![open(); dims.len()]);
    if declared.len() != dims.len() {
        let (expected, found) = (declared.len(), dims.len());
        return Err(usage(format!(
            "input `{name}` has {expected} axes, {found} extents were given"
        )));
    }
    let mut given: BTreeMap<&str, usize> = BTreeMap::new();
    for (axis, (dim, &extent)) in declared.iter().zip(dims).enumerate() {
        match &dim.size {
            DimSize::Symbol(symbol) => {
                let known = *given.entry(symbol).or_insert(extent);
                // What exporters write where there is no name is no name.
                if known != extent && names_an_axis(symbol) {
                    return Err(usage(format!(
                        "axis `{symbol}` of input `{name}` cannot be both {known} and {extent}"
                    )));
                }
                if names_an_axis(symbol) {
                    rename(model, symbol, extent);
                    renamed.insert(symbol.clone());
                }
            }
            DimSize::Known(_) if dim.fixed().is_some_and(|fixed| fixed != extent) => {
                let fixed = dim.fixed().unwrap_or_default();
                return Err(usage(format!(
                    "axis {axis} of input `{name}` has the extent {fixed}, which cannot become {extent}"
                )));
            }
            _ => {}
        }
    }
    let fixed = declared
        .into_iter()
        .zip(dims)
        .map(|(dim, &extent)| Dim { size: Dim::known(extent).size, ..dim });
    let ty = TensorType { dims: Some(fixed.collect()), ..ty };
    let info = Info { ty: Some(ValueType::Tensor(ty)), ..model.value(input).info().clone() };
    model.set_info(input, info);
    Ok(())
}

fn open() -> Dim {
    Dim { size: DimSize::Unknown, denotation: None }
}

/// Replaces a named axis everywhere; false when no graph input or output has it.
fn rename(model: &mut Model, name: &str, extent: usize) -> bool {
    let mut public = false;
    let values: Vec<ValueId> = model.values().map(|(id, _)| id).collect();
    for value in values {
        let mut info = model.value(value).info().clone();
        if replace(&mut info, name, extent) {
            public |= model.value(value).is_input();
            model.set_info(value, info);
        }
    }
    for graph in model.graphs().collect::<Vec<_>>() {
        for slot in 0..model.graph(graph).outputs().len() {
            let mut info = model.graph(graph).outputs()[slot].info.clone();
            if replace(&mut info, name, extent) {
                public = true;
                model.set_output_info(graph, slot, info);
            }
        }
    }
    public
}

fn replace(info: &mut Info, name: &str, extent: usize) -> bool {
    let Some(ValueType::Tensor(TensorType { dims: Some(dims), .. })) = &mut info.ty else {
        return false;
    };
    let wanted = dims.iter_mut().filter(|dim| dim.size == DimSize::Symbol(name.to_owned()));
    wanted.map(|dim| dim.size = Dim::known(extent).size).count() > 0
}

/// Declares what follows from the inputs now: of outputs and of inner values that are declared, each axis that is
/// known, and each expression in one of the `fixed` names, which are gone.
fn redeclare(model: &mut Model, fixed: &BTreeSet<String>) {
    // Engines override defaults of inputs only in models of the versions that say so.
    let defaults = model.header.ir_version.is_some_and(|version| version < 4);
    let shapes = Shapes::infer(model, &Assume { defaults, ..Assume::default() });
    let inner = model.values().filter(|(_, value)| !value.is_input());
    let inner =
        inner.filter_map(|(id, value)| Some((id, found(id, value.info(), &shapes, fixed)?)));
    let inner: Vec<(ValueId, Info)> = inner.collect();
    inner.into_iter().for_each(|(id, info)| model.set_info(id, info));
    for graph in model.graphs().collect::<Vec<_>>() {
        for slot in 0..model.graph(graph).outputs().len() {
            let output = &model.graph(graph).outputs()[slot];
            let info = found(output.value, &output.info, &shapes, fixed);
            info.into_iter().for_each(|info| model.set_output_info(graph, slot, info));
        }
    }
}

/// The declaration of a value with what is inferred of it; nothing when that is no news.
fn found(id: ValueId, info: &Info, shapes: &Shapes, fixed: &BTreeSet<String>) -> Option<Info> {
    let Some(ValueType::Tensor(ty)) = &info.ty else { return None };
    let terms = shapes.dims(id)?;
    let open_dims = || vec![open(); terms.len()];
    let declared = ty.dims.clone().filter(|dims| dims.len() == terms.len());
    let declared = declared.unwrap_or_else(open_dims);
    let axis = |(dim, term): (Dim, &Term)| {
        let size = match (&dim.size, term) {
            (_, Term::Known(number)) => DimSize::Known(*number),
            (DimSize::Symbol(text), term) if mentions(text, fixed) => match term.is_named() {
                true => DimSize::Symbol(term.to_string()),
                false => DimSize::Unknown,
            },
            (size, _) => size.clone(),
        };
        Dim { size, ..dim }
    };
    let dims: Vec<Dim> = declared.into_iter().zip(terms).map(axis).collect();
    let news = ty.dims.as_ref() != Some(&dims);
    let ty = TensorType { dims: Some(dims), ..ty.clone() };
    news.then(|| Info { ty: Some(ValueType::Tensor(ty)), ..info.clone() })
}

/// Whether one of `names` is a word of an expression.
fn mentions(expression: &str, names: &BTreeSet<String>) -> bool {
    let words = expression.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '.'));
    names.contains(expression) || words.into_iter().any(|word| names.contains(word))
}
