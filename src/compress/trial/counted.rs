//! At which dims of the inputs the work of a model is counted.

use crate::analysis::{Assume, Cost, Shapes, names_an_axis};
use crate::data::Samples;
use crate::ir::{Def, DimSize, Model, Value};

/// Whether all work of a model can be counted, and what that depends on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counted {
    /// Layers that are not counted, as their dims are not known.
    pub unknown: usize,
    /// All layers.
    pub layers: usize,
    /// The free axes of inputs, besides those that count samples, in words.
    pub free: Vec<String>,
}

/// What is assumed of the inputs of `model` when its work is counted: one sample. Where that leaves the dims of
/// layers open, one as large as the largest of `samples`.
pub fn counted_at(model: &Model, samples: Option<&Samples>) -> Assume {
    let one = Assume::one_sample();
    match samples {
        Some(samples) if Cost::of(model, &Shapes::infer(model, &one)).unknown > 0 => {
            samples.dims().iter().fold(one, |at, (name, dims)| at.input(name, dims))
        }
        _ => one,
    }
}

/// What is counted with inputs as `at` says.
pub fn counted(model: &Model, at: &Assume) -> Counted {
    Counted::of(model, at, &Cost::of(model, &Shapes::infer(model, at)))
}

impl Counted {
    /// The same when the cost is known.
    pub fn of(model: &Model, at: &Assume, cost: &Cost) -> Self {
        let inputs = model.graph(model.main()).inputs().iter().map(|&input| model.value(input));
        let open = inputs.filter(|value| !at.inputs.contains_key(value.name()));
        let mut found = Vec::new();
        open.for_each(|input| free_axes(input, &mut found));
        let free = found.iter().map(in_words).collect();
        Self { unknown: cost.unknown, layers: cost.layers.len(), free }
    }

    /// What is not counted, and why, in words; nothing when all is.
    pub fn in_words(&self) -> Option<String> {
        let layers = if self.unknown == 1 { "layer is" } else { "layers are" };
        let why = match self.free.is_empty() {
            true => "the dims depend on the data".to_owned(),
            false if self.free.len() == 1 => {
                format!("the dims depend on the free axis {}", self.free[0])
            }
            false => format!("the dims depend on the free axes {}", self.free.join(", ")),
        };
        (self.unknown > 0).then(|| format!("{} {layers} not counted: {why}", self.unknown))
    }
}

/// A free axis and the inputs that have it.
type Free = (String, Vec<String>);

/// Adds the free axes of an input behind the first, which counts samples.
fn free_axes(value: &Value, found: &mut Vec<Free>) {
    let name = value.name().to_owned();
    let Some(ty) = value.tensor_type() else { return };
    if !matches!(value.def(), Def::Input { default: None }) {
        return;
    }
    let Some(dims) = &ty.dims else { return found.push(("all".to_owned(), vec![name])) };
    let samples = dims.first().map(|dim| &dim.size);
    for (axis, dim) in dims.iter().enumerate().skip(1).filter(|(_, dim)| dim.fixed().is_none()) {
        let symbol = match &dim.size {
            size @ DimSize::Symbol(_) if Some(size) == samples => continue,
            DimSize::Symbol(symbol) if names_an_axis(symbol) => format!("`{symbol}`"),
            _ => axis.to_string(),
        };
        match found.iter_mut().find(|(known, _)| *known == symbol && symbol.starts_with('`')) {
            Some((_, inputs)) => inputs.push(name.clone()),
            None => found.push((symbol, vec![name.clone()])),
        }
    }
}

/// `` `seq` of `x` ``, or with several inputs `` `seq` ``.
fn in_words((axis, inputs): &Free) -> String {
    match &inputs[..] {
        [input] => format!("{axis} of `{input}`"),
        _ => axis.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read;

    fn model(input: &str) -> Model {
        read::text(&format!(
            "<ir_version: 8, opset_import: [\"\" : 17]> g (float[{input}] x) => (y) \
             <float[4,3,1,1] w = {{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}}> {{ y = Conv (x, w) }}"
        ))
        .unwrap()
    }

    #[test]
    fn free_axes_are_named() {
        let words = |input: &str, at: &Assume| counted(&model(input), at).in_words();
        let one = Assume::one_sample();
        assert_eq!(words("N,3,8,8", &one), None);
        let found = words("N,3,H,W", &one).unwrap();
        assert_eq!(
            found,
            "1 layer is not counted: the dims depend on the free axes `H` of `x`, `W` of `x`"
        );
        assert!(words("N,3,8,?", &one).unwrap().ends_with("the free axis 3 of `x`"));
        assert_eq!(words("N,3,H,W", &one.input("x", &[1, 3, 8, 8])), None);
    }
}
