//! The values inside two models side by side, by name.

use std::collections::HashMap;

use crate::analysis::{Assume, Shapes};
use crate::data::Samples;
use crate::error::{Result, err};
use crate::exec::{Engine, Observation, Observe, Runner, Tap};
use crate::ir::Model;
use crate::math::Distance;
use crate::tensor::Tensor;

/// A value that both models compute.
#[derive(Debug, Clone, PartialEq)]
pub struct ValueDrift {
    /// Its name.
    pub name: String,
    /// The operator that makes it in the candidate.
    pub op: String,
    /// How far the candidate's is from the original's.
    pub distance: Distance,
    /// How far its signal-to-noise ratio, in decibel, is below the lowest of the nearest compared values
    /// that it is computed from; `None` where it follows none, or both are equal.
    pub fall_db: Option<f64>,
}

/// What became of the values of a model.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LayerDrifts {
    /// Samples on which they were compared.
    pub samples: usize,
    /// In the order in which the candidate computes them.
    pub values: Vec<ValueDrift>,
    /// Names that both models have for values of different extents: channels were cut.
    pub unlike: Vec<String>,
}

/// Bytes of values that one run hands out at a time: small beside a model and its engine.
const MOST_BYTES: usize = 64 << 20;
/// What a value of unknown extents is taken to have.
const UNKNOWN_BYTES: usize = 1 << 20;
/// Ratios in decibel above which values count as equal: rounding of `float` is no fall.
const EQUAL_DB: f64 = 100.0;

/// Compares the float values that are computed in the main graph of `candidate` with those of the same
/// name in one of `originals`, on at most `most_runs` runs, spread over the samples. When several
/// originals have a name, the nearer one counts: passes that fold a layer into another leave the name
/// of the first to the result of both, as it is in the original after these passes.
///
/// # Errors
/// When one of the models cannot be run.
pub fn layers(
    engine: &dyn Engine,
    originals: &[&Model],
    candidate: &Model,
    samples: &Samples,
    most_runs: usize,
) -> Result<LayerDrifts> {
    let names = common(originals, candidate);
    let runs = most_runs.min(samples.runs());
    let mut found = LayerDrifts::default();
    let mut drifts: HashMap<String, Distance> = HashMap::new();
    for group in groups(candidate, &names, samples.batch()) {
        let taps: Vec<Tap> =
            group.iter().map(|name| Tap { value: name.clone(), observe: Observe::Value }).collect();
        let runners: Vec<Runner> =
            originals.iter().map(|model| Runner::new(engine, model, taps.clone())).collect();
        let after = Runner::new(engine, candidate, taps.clone());
        let mut sums: Vec<Vec<Option<Distance>>> = vec![vec![None; group.len()]; originals.len()];
        let mut unlike = vec![false; group.len()];
        found.samples = 0;
        for i in 0..runs {
            let run = samples.run(i * samples.runs() / runs)?;
            found.samples += run.count;
            let b = after.run(&run.inputs).map_err(|error| error.at("candidate model"))?.observed;
            for (runner, sums) in runners.iter().zip(&mut sums) {
                let a = runner.run(&run.inputs).map_err(|error| error.at("original model"))?;
                for (((a, b), sum), unlike) in a.observed.iter().zip(&b).zip(sums).zip(&mut unlike)
                {
                    let (Some(a), Some(b)) = (floats(a), floats(b)) else { continue };
                    *unlike |= a.dims() != b.dims();
                    if a.dims() == b.dims() {
                        let part = Distance::between(&a.to_f32()?, &b.to_f32()?);
                        *sum = Some(sum.map_or(part, |sum: Distance| sum.merge(part)));
                    }
                }
            }
        }
        for (at, name) in group.into_iter().enumerate() {
            let nearest = sums.iter().filter_map(|sums| sums[at]);
            match nearest.max_by(|a, b| a.sqnr_db().total_cmp(&b.sqnr_db())) {
                Some(nearest) => drop(drifts.insert(name, nearest)),
                None if unlike[at] => found.unlike.push(name),
                None => {}
            }
        }
    }
    if runs == 0 {
        return Err(err!(Data, "there are no samples to compare the layers on"));
    }
    found.values = falls(candidate, &drifts);
    Ok(found)
}

fn floats(observed: &Option<Observation>) -> Option<&Tensor> {
    match observed {
        Some(Observation::Value(tensor)) if tensor.dtype().is_float() => Some(tensor),
        _ => None,
    }
}

/// Names of values that nodes of the candidate's main graph compute, and those of an original, too.
fn common(originals: &[&Model], candidate: &Model) -> Vec<String> {
    let computed = |model: &Model, name: &str| {
        let value = model.find_value(model.main(), name);
        value.is_some_and(|value| model.value(value).producer().is_some())
    };
    let outputs = candidate.nodes_of(candidate.main()).flat_map(|(_, node)| node.outputs());
    let names = outputs.flatten().map(|&value| candidate.value(value).name());
    let known = names.filter(|name| originals.iter().any(|model| computed(model, name)));
    known.map(str::to_owned).collect()
}

/// The names in parts whose values fit into memory together.
fn groups(candidate: &Model, names: &[String], batch: usize) -> Vec<Vec<String>> {
    let shapes = Shapes::infer(candidate, &Assume::one_sample());
    let mut groups: Vec<Vec<String>> = Vec::new();
    let mut room = 0;
    for name in names {
        let value = candidate.find_value(candidate.main(), name);
        let elements = value.and_then(|value| shapes.elements(value));
        let bytes = elements.and_then(|n| n.checked_mul(size_of::<f32>() * batch.max(1)));
        let bytes = bytes.unwrap_or(UNKNOWN_BYTES);
        match groups.last_mut() {
            Some(group) if bytes <= room => group.push(name.clone()),
            _ => {
                groups.push(vec![name.clone()]);
                room = MOST_BYTES;
            }
        }
        room = room.saturating_sub(bytes);
    }
    groups
}

/// The drifts in the order of the candidate, each with its fall below what it is computed from.
fn falls(candidate: &Model, drifts: &HashMap<String, Distance>) -> Vec<ValueDrift> {
    let mut found = Vec::new();
    // The lowest ratio at a value, or at the nearest compared ones that it comes from.
    let mut lowest = HashMap::new();
    for (id, node) in candidate.nodes_of(candidate.main()) {
        let from = candidate.reads(id).into_iter().filter_map(|value| lowest.get(&value));
        let from = from.copied().reduce(f64::min);
        for &output in node.outputs().iter().flatten() {
            let name = candidate.value(output).name();
            let Some(distance) = drifts.get(name) else {
                lowest.extend(from.map(|from| (output, from)));
                continue;
            };
            let ratio = distance.sqnr_db().min(EQUAL_DB);
            lowest.insert(output, ratio);
            let fall =
                from.map(|from| from - ratio).filter(|fall| fall.is_finite() && *fall != 0.0);
            found.push(ValueDrift {
                name: name.to_owned(),
                op: node.op().to_owned(),
                distance: *distance,
                fall_db: fall,
            });
        }
    }
    found
}
