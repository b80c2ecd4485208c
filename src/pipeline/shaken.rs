//! How far a model moves when each number that it reads is rounded once more: what nobody can ask an edit to
//! stay within.

use std::collections::HashMap;

use bytes::Bytes;

use crate::ir::Model;
use crate::pipeline::check::{Check, Inputs, Outputs};
use crate::tensor::{DType, Tensor};
use crate::validate::drift;

/// An edit may move outputs so much further, in decibel, than rounding what the model reads: it rounds in
/// other places, too, and in as many as the model has layers.
const MARGIN_DB: f64 = 12.0;
/// Outputs that keep less of themselves, in decibel, say nothing: they are rounding errors.
const NOISE_DB: f64 = 20.0;

/// Weights of fewer elements, or without rows, may be sizes and steps, which must be what they are.
const WEIGHT_ELEMENTS: usize = 16;
/// Most bytes of weights that are rounded once more.
const MOST_BYTES: usize = 64 << 20;

/// For each run, how much of itself each output keeps, in decibel.
#[derive(Debug, Default)]
pub(super) struct OwnNoise(Vec<HashMap<String, f64>>);

impl OwnNoise {
    /// Of `before`, which are outputs of a model, beside what it gives when it reads rounded numbers.
    pub fn between(before: &Outputs, shaken: &Outputs) -> Self {
        let run = |(before, shaken): (&_, &_)| -> Option<HashMap<String, f64>> {
            let (Ok(before), Ok(shaken)): (&Result<Vec<_>, _>, &Result<Vec<_>, _>) =
                (before, shaken)
            else {
                return None;
            };
            let found = drift(before, shaken, Tensor::len).ok()?;
            Some(found.outputs.into_iter().map(|o| (o.name, o.distance.sqnr_db())).collect())
        };
        Self(before.iter().zip(shaken).map(|pair| run(pair).unwrap_or_default()).collect())
    }

    /// Of a model on the inputs of the check.
    pub fn of(check: &Check<'_>, model: &Model, before: &Outputs) -> Self {
        let inputs = check.inputs.iter().map(round_inputs).collect();
        let rounded = Check { engine: check.engine, inputs, enough: check.enough };
        let shaken = rounded.outputs_like(&round_weights(model), before);
        Self::between(before, &shaken)
    }

    /// What output `name` must keep in this run where `limit` decibel are promised; nothing when it says nothing.
    pub fn limit(&self, run: usize, name: &str, limit: f64) -> Option<f64> {
        let Some(own) = self.0.get(run).and_then(|run| run.get(name)) else { return Some(limit) };
        (*own >= NOISE_DB).then(|| limit.min((own - MARGIN_DB).max(NOISE_DB - MARGIN_DB)))
    }
}

/// The same inputs, each float off by its last bit.
pub(super) fn round_inputs(inputs: &Inputs) -> Inputs {
    inputs.iter().map(|(name, tensor)| (name.clone(), rounded(tensor))).collect()
}

/// The same model with weights that are off by their last bit.
fn round_weights(model: &Model) -> Model {
    let mut rounded_model = model.clone();
    let mut left = MOST_BYTES;
    for (id, value) in model.values() {
        let Some(tensor) = value.initializer() else { continue };
        let weight = tensor.dims().len() >= 2 && tensor.len() >= WEIGHT_ELEMENTS;
        if !weight || !tensor.dtype().is_float() {
            continue;
        }
        let Some(rest) = left.checked_sub(tensor.bytes().len()) else { continue };
        left = rest;
        rounded_model.set_tensor(id, rounded(tensor));
    }
    rounded_model
}

/// Flips the last bit of all finite floats but 0; for those that nobody told apart that is up or down at random.
pub(super) fn rounded(tensor: &Tensor) -> Tensor {
    let (size, exponent): (usize, &[u8]) = match tensor.dtype() {
        DType::Float => (4, &[0x80, 0x7f]),
        DType::Float16 => (2, &[0x00, 0x7c]),
        DType::Bfloat16 => (2, &[0x80, 0x7f]),
        DType::Double => (8, &[0xf0, 0x7f]),
        _ => return tensor.clone(),
    };
    let mut bytes = tensor.bytes().to_vec();
    for element in bytes.chunks_exact_mut(size) {
        let top = &element[size - 2..];
        let finite = top.iter().zip(exponent).any(|(byte, mask)| byte & mask != *mask);
        if finite && element.iter().any(|byte| *byte != 0) {
            element[0] ^= 1;
        }
    }
    Tensor::new(tensor.dtype(), tensor.dims().to_vec(), Bytes::from(bytes))
        .unwrap_or_else(|_| tensor.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_float_moves_by_one_rounding() {
        let before = [1.0, -3.5e-8, 0.0, f32::INFINITY, f32::NEG_INFINITY, 1e30];
        let tensor = Tensor::from_f32(&[6], &before);
        let after = rounded(&tensor).to_f32().unwrap();
        for (a, b) in before.iter().zip(after.iter()) {
            let same = *a == 0.0 || !a.is_finite();
            let change = ((a - b) / a).abs();
            assert!(if same { a == b } else { change > 0.0 && change < 2e-7 }, "{a} {b}");
        }
        let ids = Tensor::from_i64(&[1], &[7]);
        assert_eq!(rounded(&ids), ids);
    }

    #[test]
    fn what_is_noise_says_nothing_and_what_is_steady_keeps_its_limit() {
        let noise =
            OwnNoise(vec![[("a".into(), 140.0), ("b".into(), 40.0), ("c".into(), 3.0)].into()]);
        assert_eq!(noise.limit(0, "a", 60.0), Some(60.0));
        assert_eq!(noise.limit(0, "b", 60.0), Some(28.0));
        assert_eq!(noise.limit(0, "c", 60.0), None);
        assert_eq!(noise.limit(1, "a", 60.0), Some(60.0));
    }
}
