//! At which dims of the inputs the work of a model is counted.

use crate::analysis::{Assume, Cost, Shapes};
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
        let free = open.filter_map(free_axes).collect();
        Self { unknown: cost.unknown, layers: cost.layers.len(), free }
    }

    /// What is not counted, and why, in words; nothing when all is.
    pub fn in_words(&self) -> Option<String> {
        let layers = if self.unknown == 1 { "layer is" } else { "layers are" };
        let why = match self.free.is_empty() {
            true => "the dims depend on the data".to_owned(),
            false => format!("the dims depend on {}", self.free.join(" and ")),
        };
        (self.unknown > 0).then(|| format!("{} {layers} not counted: {why}", self.unknown))
    }
}

/// The free axes of an input behind the first, which counts samples, in words.
fn free_axes(value: &Value) -> Option<String> {
    let name = value.name();
    if !matches!(value.def(), Def::Input { default: None }) {
        return None;
    }
    let Some(dims) = &value.tensor_type()?.dims else {
        return Some(format!("the shape of `{name}`"));
    };
    let samples = dims.first().map(|dim| &dim.size);
    let free = dims.iter().enumerate().skip(1).filter(|(_, dim)| dim.fixed().is_none());
    let free = free.filter_map(|(axis, dim)| match &dim.size {
        size @ DimSize::Symbol(_) if Some(size) == samples => None,
        DimSize::Symbol(symbol) if !symbol.is_empty() => Some(format!("`{symbol}`")),
        _ => Some(axis.to_string()),
    });
    let free: Vec<String> = free.collect();
    let axes = if free.len() == 1 { "axis" } else { "axes" };
    (!free.is_empty()).then(|| format!("the free {axes} {} of `{name}`", free.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read;

    fn model(input: &str) -> Model {
        read::text(&format!(
            "<ir_version: 8, opset_import: [\"\" : 17]> g (float[{input}] x) => (y) \
             <float[4,3,1,1] w> {{ y = Conv (x, w) }}"
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
            "1 layer is not counted: the dims depend on the free axes `H`, `W` of `x`"
        );
        assert!(words("N,3,8,?", &one).unwrap().ends_with("the free axis 3 of `x`"));
        assert_eq!(words("N,3,H,W", &one.input("x", &[1, 3, 8, 8])), None);
    }
}
