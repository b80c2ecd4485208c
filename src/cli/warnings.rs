//! What commands that write a model warn of.

use onnxpress::pipeline::{Outcome, Step};
use onnxpress::report::{Pair, bytes};

/// The passes that were taken back.
pub fn taken_back(steps: &[Step]) -> impl Iterator<Item = String> {
    steps.iter().filter_map(|step| match &step.outcome {
        Some(Outcome::Broken(reason)) => {
            Some(format!("pass {} was taken back: {reason}", step.name))
        }
        _ => None,
    })
}

/// That the file became larger.
pub fn grew(sizes: &Pair<u64>) -> Option<String> {
    (sizes.candidate > sizes.original).then(|| {
        let (from, to) = (bytes(sizes.original), bytes(sizes.candidate));
        format!("the file grew from {from} to {to}")
    })
}
