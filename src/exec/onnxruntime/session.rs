//! A model that ONNX Runtime has loaded.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ort::session::Session as OrtSession;
use ort::session::SessionInputValue;
use ort::session::builder::GraphOptimizationLevel;
use ort::value::DynValue;

use super::trace::Trace;
use super::{Lowered, Optimization, tensors};
use crate::error::{Error, Result, err};
use crate::exec::clock::Clock;
use crate::exec::{Executed, Observation, OperatorTimes, Session, Tap, panic};
use crate::tensor::Tensor;

/// An error of ONNX Runtime on one line.
pub(super) fn engine<R>(error: ort::Error<R>) -> Error {
    let lines: Vec<&str> = error.message().split_whitespace().collect();
    err!(Engine, "ONNX Runtime: {}", lines.join(" "))
}

/// Makes what was lowered ready to run; the library is loaded.
pub(super) fn build(lowered: &Lowered, taps: &[Tap]) -> Result<Arc<dyn Session>> {
    panic::caught(|| {
        let (level, same) = match lowered.engine.optimization {
            None | Some(Optimization::Basic) => (GraphOptimizationLevel::Level1, true),
            Some(Optimization::All) => (GraphOptimizationLevel::All, false),
        };
        let builder = OrtSession::builder().map_err(engine)?;
        let builder = builder.with_optimization_level(level).map_err(engine)?;
        let builder = builder.with_deterministic_compute(same).map_err(engine)?;
        let mut builder = builder.with_intra_threads(lowered.engine.threads).map_err(engine)?;
        let mut trace = None;
        if lowered.engine.clock == Clock::Operators {
            let opened = trace.insert(Trace::new()?);
            builder = builder.with_profiling(opened.prefix()).map_err(engine)?;
        }
        let session = builder.commit_from_memory(&lowered.model).map_err(engine)?;
        trace.as_mut().map_or(Ok(()), Trace::opened)?;
        let name = |outlet: &ort::value::Outlet| outlet.name().to_owned();
        let required: Vec<String> = session.inputs().iter().map(name).collect();
        let defaults = session.overridable_initializers();
        let defaults = defaults.iter().map(|input| input.name().to_owned()).collect();
        let outputs: Vec<String> = session.outputs().iter().map(name).collect();
        let of = |output: &String| {
            let taps = taps.iter().enumerate();
            taps.filter(|(_, tap)| tap.value == *output).map(|(i, _)| i).collect()
        };
        let seen_at = outputs.iter().map(of).collect();
        Ok(Arc::new(Loaded {
            session: Mutex::new(session),
            trace: Mutex::new(trace),
            required,
            defaults,
            outputs: outputs.into_iter().take(lowered.outputs).collect(),
            taps: taps.to_vec(),
            seen_at,
        }) as Arc<dyn Session>)
    })
}

struct Loaded {
    /// Runs of one session may not overlap.
    session: Mutex<OrtSession>,
    /// Of its operators, until somebody reads it.
    trace: Mutex<Option<Trace>>,
    /// Inputs without a default.
    required: Vec<String>,
    /// Inputs that have one.
    defaults: Vec<String>,
    /// The model's own; those that are only observed follow in the session.
    outputs: Vec<String>,
    taps: Vec<Tap>,
    /// Indices of the taps at each output of the session.
    seen_at: Vec<Vec<usize>>,
}

impl Loaded {
    /// The values of all outputs, and the time it took.
    fn execute(&self, inputs: &[(String, Tensor)]) -> Result<(Vec<DynValue>, Duration)> {
        let known = |name| self.required.contains(name) || self.defaults.contains(name);
        let inputs = inputs.iter().filter(|(name, _)| known(name));
        let given = inputs
            .map(|(name, tensor)| {
                let value = tensors::to_value(tensor);
                let value = value.map_err(|error| error.at(format_args!("input `{name}`")))?;
                Ok((name.as_str(), value.into()))
            })
            .collect::<Result<Vec<(&str, SessionInputValue<'_>)>>>()?;
        let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        let start = Instant::now();
        let outputs = session.run(given).map_err(engine)?;
        let time = start.elapsed();
        Ok((outputs.into_iter().map(|(_, value)| value).collect(), time))
    }
}

impl Session for Loaded {
    fn run(&self, inputs: &[(String, Tensor)]) -> Result<Executed> {
        let find = |name: &String| inputs.iter().find(|(given, _)| given == name);
        if let Some(name) = self.required.iter().find(|name| find(name).is_none()) {
            return Err(err!(Data, "input `{name}` of the model is not given"));
        }
        let mut observed: Vec<Option<Observation>> = vec![None; self.taps.len()];
        for (tap, observed) in self.taps.iter().zip(&mut observed) {
            if let Some((_, given)) = find(&tap.value) {
                *observed = tap.observe.of(given.view())?;
            }
        }
        let (values, time) = panic::caught(|| self.execute(inputs))?;
        let mut outputs = Vec::with_capacity(self.outputs.len());
        // Each value is freed when it has been looked at.
        for (at, (value, seen)) in values.into_iter().zip(&self.seen_at).enumerate() {
            for &tap in seen {
                // What is no tensor that we read is not seen.
                let learned = tensors::show(&value, |view| self.taps[tap].observe.of(view));
                observed[tap] = learned.ok().transpose()?.flatten();
            }
            if let Some(name) = self.outputs.get(at) {
                let tensor = tensors::from_value(&value);
                let tensor = tensor.map_err(|error| error.at(format_args!("output `{name}`")))?;
                outputs.push((name.clone(), tensor));
            }
        }
        Ok(Executed { outputs, observed, time })
    }

    fn operators(&self) -> Result<Vec<OperatorTimes>> {
        let trace = self.trace.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(trace) = trace else { return Ok(Vec::new()) };
        let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        panic::caught(|| session.end_profiling().map_err(engine))?;
        trace.read()
    }
}
