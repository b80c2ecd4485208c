//! Seeded inputs on which a model is executed when nobody gives samples.

use std::collections::BTreeMap;

use crate::analysis::{Assume, Reach, Shapes, index_bounds, names_an_axis};
use crate::data::random_below;
use crate::ir::{Def, DimSize, Model, Value, ValueId, ValueType};
use crate::pipeline::check::Inputs;
use crate::tensor::{DType, element_count};

/// Extents of free axes.
#[derive(Debug, Clone, Copy)]
struct Extents {
    /// Of first axes, which mostly count samples.
    first: usize,
    /// Of others.
    other: usize,
    /// How much larger each other axis is than the one before it, if it has a name of its own or none.
    step: usize,
}

const fn extents(first: usize, other: usize, step: usize) -> Extents {
    Extents { first, other, step }
}

/// What is tried, in this order. One sample comes first: what a model calls free it may need to be 1. No sample
/// at all and odd extents catch what holds for usual ones only, extents that differ what mixes axes up; the
/// larger ones are for images that are halved several times.
const EXTENTS: [Extents; 9] = [
    extents(1, 8, 0),
    extents(0, 8, 0),
    extents(2, 13, 2),
    extents(2, 13, 0),
    extents(2, 1, 0),
    extents(1, 32, 0),
    extents(1, 75, 0),
    extents(1, 96, 0),
    extents(1, 224, 0),
];

/// Seeded integers are below this, and below the number of rows of tables that they are looked up in.
const BELOW: i64 = 8;

/// Most bytes of one input.
const MOST_BYTES: usize = 1 << 30;

/// Seeded inputs for `model`, the same for equal seeds: one for a model whose extents are all
/// fixed, otherwise one for each of several extents of its free axes. Axes of one name have one
/// extent. Not every extent has to suit the model. Inputs that nothing can be made up for, such as strings,
/// are not among them: see [`lacking`].
pub fn probes(model: &Model, seed: u64) -> Vec<Inputs> {
    let inputs = given(model);
    if inputs.is_empty() {
        return vec![Inputs::new()];
    }
    let open = |(_, value): &(ValueId, &Value)| match &value.info().ty {
        Some(ValueType::Tensor(ty)) => ty.fixed_dims().is_none(),
        _ => false,
    };
    let tried = if inputs.iter().any(open) { &EXTENTS[..] } else { &EXTENTS[..1] };
    let mut all: Vec<Assigned> = Vec::new();
    for &extents in tried {
        let assigned = assign(&inputs, extents);
        if !all.contains(&assigned) {
            all.push(assigned);
        }
    }
    all.iter().map(|assigned| draw(model, assigned, seed)).collect()
}

/// The first input of `model` that `inputs` give nothing for, in words.
pub fn lacking(model: &Model, inputs: &Inputs) -> Option<String> {
    // Without elements there is nothing to see.
    let nothing = |value: &Value| {
        value.tensor_type().and_then(|ty| ty.fixed_dims()).is_some_and(|dims| dims.contains(&0))
    };
    let known =
        |value: &Value| !nothing(value) && inputs.iter().any(|(name, _)| name == value.name());
    let (_, missing) = given(model).into_iter().find(|(_, value)| !known(value))?;
    let what = match &missing.info().ty {
        Some(ValueType::Tensor(ty)) => match ty.fixed_dims() {
            Some(dims) => format!("{} of dims {dims:?}", ty.dtype),
            None => ty.dtype.to_string(),
        },
        _ => "no tensor of a known type".to_owned(),
    };
    Some(format!("nothing can be made up for input `{}` ({what})", missing.name()))
}

/// The inputs without a default.
fn given(model: &Model) -> Vec<(ValueId, &Value)> {
    let inputs = model.graph(model.main()).inputs().iter().map(|&id| (id, model.value(id)));
    inputs.filter(|(_, value)| matches!(value.def(), Def::Input { default: None })).collect()
}

/// Inputs with their extents.
type Assigned = Vec<(ValueId, DType, Vec<usize>)>;

/// The inputs that are tensors, with their free axes filled.
fn assign(inputs: &[(ValueId, &Value)], extents: Extents) -> Assigned {
    let mut named: BTreeMap<String, usize> = BTreeMap::new();
    let mut last = extents.other;
    let mut fresh = |axis: usize| {
        if axis == 0 {
            return extents.first;
        }
        last += extents.step;
        last - extents.step
    };
    let unknown = [crate::ir::Dim { size: DimSize::Unknown, denotation: None }];
    let types = inputs.iter().filter_map(|(id, value)| Some((*id, value.tensor_type()?)));
    // What a first axis is called counts samples wherever it stands.
    for dim in types.clone().filter_map(|(_, ty)| ty.dims.as_ref()?.first()) {
        if let DimSize::Symbol(name) = &dim.size
            && names_an_axis(name)
        {
            named.insert(name.to_string(), extents.first);
        }
    }
    types
        .map(|(id, ty)| {
            let dims = ty.dims.as_deref().unwrap_or(&unknown);
            let extent = |(axis, dim): (usize, &crate::ir::Dim)| match &dim.size {
                DimSize::Symbol(name) if names_an_axis(name) => {
                    *named.entry(name.to_string()).or_insert_with(|| fresh(axis))
                }
                _ => dim.fixed().unwrap_or_else(|| fresh(axis)),
            };
            (id, ty.dtype, dims.iter().enumerate().map(extent).collect())
        })
        .collect()
}

/// One run of random inputs.
fn draw(model: &Model, assigned: &Assigned, seed: u64) -> Inputs {
    let assume = assigned.iter().fold(Assume::default(), |assume, (id, _, dims)| {
        assume.input(model.value(*id).name(), dims)
    });
    let whole = |(_, dtype, _): &(ValueId, DType, Vec<usize>)| dtype.is_integer();
    let bounds = match assigned.iter().any(whole) {
        true => index_bounds(model, &Shapes::infer(model, &assume), Reach::Possible),
        false => Default::default(),
    };
    let one = |(stream, (id, dtype, dims)): (u64, &(ValueId, DType, Vec<usize>))| {
        let bytes = element_count(dims).and_then(|count| dtype.byte_len(count));
        bytes.filter(|&bytes| bytes <= MOST_BYTES)?;
        let below = bounds.get(id).map_or(BELOW, |&rows| rows.min(BELOW)).max(1);
        let tensor = random_below(*dtype, dims, seed, stream, below.unsigned_abs()).ok()?;
        Some((model.value(*id).name().to_owned(), tensor))
    };
    (0..).zip(assigned).filter_map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(inputs: &str) -> Model {
        let text = format!(
            r#"<ir_version: 10, opset_import: ["" : 21]>
            g ({inputs}) => (int64[1] n) {{ dims = Shape (x) zero = Constant <value_ints = [0]> ()
                n = Gather (dims, zero) }}"#
        );
        crate::read::text(&text).expect("a text form")
    }

    fn dims(inputs: &[Inputs]) -> Vec<Vec<Vec<usize>>> {
        let each = |inputs: &Inputs| inputs.iter().map(|(_, t)| t.dims().to_vec()).collect();
        inputs.iter().map(each).collect()
    }

    #[test]
    fn names_have_one_extent_and_samples_are_none_one_or_two() {
        let found = dims(&probes(&model("float[B,C] x, float[2,B,D] y, float[?,C] z"), 0));
        assert_eq!(found[0], [vec![1, 8], vec![2, 1, 8], vec![1, 8]]);
        assert_eq!(found[1], [vec![0, 8], vec![2, 0, 8], vec![0, 8]]);
        assert_eq!(found[2], [vec![2, 13], vec![2, 2, 15], vec![2, 13]]);
        assert!(found.contains(&vec![vec![2, 1], vec![2, 2, 1], vec![2, 1]]));
    }

    #[test]
    fn what_is_fixed_is_drawn_once_and_what_cannot_be_drawn_is_named() {
        let fixed = model("float[2,3] x");
        assert_eq!(dims(&probes(&fixed, 0)), [[[2, 3]]]);
        for (inputs, words) in [
            ("float[2] x, string[2] s", "input `s` (string of dims [2])"),
            ("float[2] x, seq(float[2]) q", "input `q` (no tensor of a known type)"),
            ("float[2] x, float8e4m3fn[1] f", "input `f` (float8e4m3fn of dims [1])"),
            ("float[2] x, float[1000000,1000000] f", "input `f` (float of dims"),
        ] {
            let model = model(inputs);
            let found = probes(&model, 0);
            assert_eq!(found[0].len(), 1, "{inputs}");
            let reason = lacking(&model, &found[0]).unwrap();
            assert!(reason.contains(words), "{reason}");
        }
        assert_eq!(lacking(&fixed, &probes(&fixed, 0)[0]), None);
        let empty = model("float[0,3] x");
        assert_eq!(dims(&probes(&empty, 0)), [[[0, 3]]]);
        assert!(lacking(&empty, &probes(&empty, 0)[0]).is_some());
    }
}
