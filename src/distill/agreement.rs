//! Whether the engine computes what was trained.

use crate::distill::lessons::Lessons;
use crate::distill::matched::Match;
use crate::distill::student::Student;
use crate::error::Result;
use crate::exec::{Engine, Runner};
use crate::ir::Model;

/// Runs the result in the engine on a few samples held out, and compares with what was trained.
pub fn agreement_db(
    engine: &dyn Engine,
    model: &Model,
    learner: &Student<'_>,
    lessons: &Lessons,
    found: &[Match],
    best: &[Vec<f32>],
) -> Result<f64> {
    let samples: Vec<usize> = lessons.held_out.iter().copied().cycle().take(learner.size).collect();
    let taps = found.iter().filter(|m| m.output).map(|m| crate::exec::Tap {
        value: learner.model.value(m.student).name().to_owned(),
        observe: crate::exec::Observe::Value,
    });
    let shown = Runner::new(engine, model, taps.collect()).run(&lessons.run(&samples)?)?;
    let numbers = learner.lowered.inputs.iter().map(|name| {
        let mut numbers = Vec::new();
        lessons.gather(name, &samples, &mut numbers).map(|()| numbers)
    });
    let numbers: Vec<Vec<f32>> = numbers.collect::<Result<_>>()?;
    let inputs: Vec<&[f32]> = numbers.iter().map(Vec::as_slice).collect();
    let mut work = learner.program().workspace();
    let seen = learner.seen(best);
    learner.forward(&mut work, &seen, &inputs);
    let given = crate::grad::Given { parameters: &seen, inputs: &inputs };
    let mut lowest = f64::INFINITY;
    let (mut shown, mut place) = (shown.observed.into_iter(), 0);
    for (m, known) in found.iter().zip(&learner.lowered.wanted) {
        let observed = if m.output { shown.next().flatten() } else { None };
        if known.is_err() {
            continue;
        }
        if let Some(crate::exec::Observation::Value(tensor)) = observed {
            let trained = learner.program().wanted(&work, given, place);
            let (mut signal, mut noise) = (0.0, 0.0);
            for (&a, b) in trained.iter().zip(tensor.to_f32()?) {
                signal += f64::from(a) * f64::from(a);
                noise += f64::from(a - b) * f64::from(a - b);
            }
            lowest = lowest.min(10.0 * (signal / noise.max(signal * 1e-30).max(1e-300)).log10());
        }
        place += 1;
    }
    Ok(lowest)
}
