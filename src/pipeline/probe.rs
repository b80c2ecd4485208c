//! Seeded inputs on which a model is executed when nobody gives samples.

use std::collections::BTreeMap;
use std::path::Path;

use crate::data::{InputSpec, Options, Samples};
use crate::error::Result;
use crate::ir::{Def, DimSize, Model};
use crate::pipeline::check::Inputs;
use crate::pipeline::inputs;

/// Extents of free axes that are tried: of first axes, which mostly count samples, and of others.
/// Two that differ everywhere catch what holds for one extent only; the larger ones are for images
/// that are halved several times.
const EXTENTS: &[(usize, usize)] = &[(1, 8), (2, 12), (1, 32), (1, 96), (1, 224)];

/// Seeded inputs for `model`, the same for equal seeds: one for a model whose extents are all
/// fixed, otherwise one for each of several extents of its free axes. Axes of one name have one
/// extent. Not every extent has to suit the model.
///
/// # Errors
/// When an input is no tensor, or too large.
pub fn probes(model: &Model, seed: u64) -> Result<Vec<Inputs>> {
    let specs = inputs(model)?;
    if specs.is_empty() {
        return Ok(vec![Inputs::new()]);
    }
    let fixed = specs.iter().all(|spec| spec.dims.as_ref().is_some_and(|d| !d.contains(&None)));
    let extents = if fixed { &EXTENTS[..1] } else { EXTENTS };
    extents.iter().map(|&extents| draw(&assign(model, &specs, extents), seed)).collect()
}

/// The inputs with their free axes filled.
fn assign(model: &Model, specs: &[InputSpec], (first, other): (usize, usize)) -> Vec<InputSpec> {
    let mut named: BTreeMap<&str, usize> = BTreeMap::new();
    let values = model.graph(model.main()).inputs().iter().map(|&input| model.value(input));
    let given = values.filter(|value| matches!(value.def(), Def::Input { default: None }));
    let fill = |(value, spec): (&'_ crate::ir::Value, &InputSpec)| {
        let declared = value.tensor_type().and_then(|ty| ty.dims.as_deref()).unwrap_or_default();
        (declared.to_vec(), spec.clone())
    };
    let pairs: Vec<_> = given.zip(specs).map(fill).collect();
    for (declared, _) in &pairs {
        for (axis, dim) in declared.iter().enumerate() {
            if let DimSize::Symbol(name) = &dim.size {
                named.entry(name).or_insert(if axis == 0 { first } else { other });
            }
        }
    }
    let extent =
        |declared: &[crate::ir::Dim], axis: usize| match declared.get(axis).map(|d| &d.size) {
            Some(DimSize::Symbol(name)) => named[name.as_str()],
            _ if axis == 0 => first,
            _ => other,
        };
    let filled = pairs.iter().map(|(declared, spec)| {
        let dims = spec.dims.as_deref().unwrap_or(&[None]);
        let dims =
            dims.iter().enumerate().map(|(i, d)| Some(d.unwrap_or_else(|| extent(declared, i))));
        InputSpec { dims: Some(dims.collect()), ..spec.clone() }
    });
    filled.collect()
}

/// One run of random inputs.
fn draw(specs: &[InputSpec], seed: u64) -> Result<Inputs> {
    let batch = specs.iter().filter_map(|spec| *spec.dims.as_ref()?.first()?).max().unwrap_or(1);
    let options = Options { seed, ..Options::default() };
    let samples = Samples::open(Path::new(&format!("random:{}", batch.max(1))), specs, &options)?;
    Ok(samples.run(0)?.inputs)
}
