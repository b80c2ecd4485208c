//! An engine in a process of its own, so that whatever it does to that process is an error here.
//!
//! `process` is the parent's side, `serve` the worker's; `message` is what passes between them,
//! `wire` how it is spelled, and `limits` what the worker may use. See `docs/ISOLATION.md`.

mod limits;
mod message;
mod obituary;
mod process;
mod serve;
mod wire;

pub use limits::Limits;
pub use obituary::met_a_limit;
pub use serve::serve;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind, Result, err};
use crate::exec::backend::Backend;
use crate::exec::clock::Clock;
use crate::exec::isolated::message::{Reply, Request};
use crate::exec::isolated::process::Worker;
use crate::exec::tract::Lowering;
use crate::exec::{Engine, Executed, InputShape, OnnxRuntime, OperatorTimes, Session, Tap};
use crate::ir::Verified;
use crate::tensor::Tensor;

/// The only argument that a worker is started with.
pub const WORKER: &str = "worker";

/// Workers that wait for the next model: the two of a comparison.
const KEPT_IDLE: usize = 2;

/// How often the time limit may pass in crashes and hangs before the engine is given up: a model
/// with thousands of nodes that hang must not take thousands of limits.
const PATIENCE: u32 = 2;

/// Runs models with tract, or with ONNX Runtime, in worker processes: each session has one to itself, with limits on
/// memory and time. When it crashes, hangs or asks for too much, the session's calls end with an
/// [`Engine`](ErrorKind::Engine) error that says what happened, and the caller goes on.
///
/// Results are those of [`Tract`](crate::exec::Tract) or [`OnnxRuntime`], bit for bit.
#[derive(Debug, Clone)]
pub struct Isolated {
    program: PathBuf,
    limits: Limits,
    backend: Backend,
    pool: Arc<Pool>,
}

/// Workers without a session, and what was lost with those that died.
#[derive(Debug, Default)]
struct Pool {
    idle: Mutex<Vec<Worker>>,
    lost: Mutex<Duration>,
}

impl Isolated {
    /// Workers are started as `program worker`; that program must call [`serve`] when
    /// [`WORKER`] is its only argument, as the command `onnxpress` does.
    pub fn new(program: impl Into<PathBuf>, limits: Limits) -> Self {
        let backend = Backend::Tract(Lowering::default(), Clock::default());
        Self { program: program.into(), limits, backend, pool: Arc::default() }
    }

    /// Workers that load ONNX Runtime. One that the library ends by being loaded is an error, too.
    pub fn onnxruntime(self, engine: OnnxRuntime) -> Self {
        self.apart(Backend::OnnxRuntime(engine))
    }

    /// Workers are started from the running program, see [`Self::new`].
    ///
    /// # Errors
    /// When the operating system does not tell where that program is.
    pub fn this_program(limits: Limits) -> Result<Self> {
        // Stays the running program when its file is replaced meanwhile.
        let running = Path::new("/proc/self/exe");
        if cfg!(target_os = "linux") && running.exists() {
            return Ok(Self::new(running, limits));
        }
        let program = std::env::current_exe()
            .map_err(|error| err!(Engine, "the running program cannot be found: {error}"))?;
        Ok(Self::new(program, limits))
    }

    /// With processes of its own, so that the memory of earlier models is not counted.
    fn apart(&self, backend: Backend) -> Self {
        Self { backend, pool: Arc::default(), ..self.clone() }
    }

    fn start(&self) -> Result<Worker> {
        let start = Instant::now();
        let worker = Worker::start(&self.program, &self.limits, self.backend.name());
        if worker.is_err() {
            self.pool.lose(start.elapsed());
        }
        worker
    }

    /// One that waits, or a new one.
    fn worker(&self) -> Result<Worker> {
        loop {
            let idle = self.pool.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            match idle {
                Some(worker) if worker.is_alive() => return Ok(worker),
                Some(_) => {}
                None => return self.start(),
            }
        }
    }
}

impl Pool {
    /// Notes the time that went into a call after which the worker was dead.
    fn lose(&self, time: Duration) {
        *self.lost.lock().unwrap_or_else(PoisonError::into_inner) += time;
    }

    fn keep(&self, worker: Worker) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < KEPT_IDLE {
            idle.push(worker);
        }
    }

    fn call(&self, worker: &Worker, request: &Request) -> Result<Reply> {
        let start = Instant::now();
        let reply = worker.call(request);
        if reply.is_err() {
            self.lose(start.elapsed());
        }
        match reply? {
            Reply::Failed(error) => Err(error),
            reply => Ok(reply),
        }
    }
}

impl Engine for Isolated {
    fn name(&self) -> &'static str {
        self.backend.name()
    }

    fn prepare(
        &self,
        model: Verified<'_>,
        inputs: &[InputShape],
        taps: &[Tap],
    ) -> Result<Arc<dyn Session>> {
        let lost = *self.pool.lost.lock().unwrap_or_else(PoisonError::into_inner);
        if lost >= self.limits.time.saturating_mul(PATIENCE) {
            return Err(obituary::given_up(self.name(), lost));
        }
        let model = self.backend.lower(model, inputs, taps)?;
        let request = Request::Prepare { model, inputs: inputs.to_vec(), taps: taps.to_vec() };
        let worker = self.worker()?;
        // From here on, so that a refusal gives the worker back.
        let engine = self.name();
        let session = Remote { engine, worker: Some(worker), pool: self.pool.clone() };
        match session.call(&request)? {
            Reply::Done => Ok(Arc::new(session)),
            other => Err(unexpected(&other)),
        }
    }

    fn takes_uneven_branches(&self) -> bool {
        self.backend.takes_uneven_branches()
    }

    fn as_written(&self) -> Option<Box<dyn Engine>> {
        Some(Box::new(self.apart(self.backend.as_written())))
    }

    fn profiling(&self) -> Option<Box<dyn Engine>> {
        Some(Box::new(self.apart(self.backend.profiling())))
    }
}

/// A session that lives in a worker.
struct Remote {
    engine: &'static str,
    /// Taken when dropped.
    worker: Option<Worker>,
    pool: Arc<Pool>,
}

impl Remote {
    fn call(&self, request: &Request) -> Result<Reply> {
        match &self.worker {
            Some(worker) => self.pool.call(worker, request),
            None => Err(err!(Engine, "the session has ended")),
        }
    }
}

impl Session for Remote {
    fn run(&self, inputs: &[(String, Tensor)]) -> Result<Executed> {
        if let Some((name, tensor)) = inputs.iter().find(|(_, t)| t.strings().is_some()) {
            let message = format!("{} gets no {} tensors", self.engine, tensor.dtype());
            return Err(Error::new(ErrorKind::Engine, message).at(format_args!("input `{name}`")));
        }
        match self.call(&Request::Run { inputs: inputs.to_vec() })? {
            Reply::Executed(executed) => Ok(executed),
            other => Err(unexpected(&other)),
        }
    }

    fn operators(&self) -> Result<Vec<OperatorTimes>> {
        match self.call(&Request::Operators)? {
            Reply::Operators(operators) => Ok(operators),
            other => Err(unexpected(&other)),
        }
    }

    fn memory(&self) -> Result<Option<u64>> {
        match self.call(&Request::Memory)? {
            Reply::Memory(bytes) => Ok(bytes),
            other => Err(unexpected(&other)),
        }
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        // A worker that cannot let go of its model is not used again.
        let let_go = matches!(self.call(&Request::Release), Ok(Reply::Done));
        if let (true, Some(worker)) = (let_go, self.worker.take()) {
            self.pool.keep(worker);
        }
    }
}

fn unexpected(reply: &Reply) -> Error {
    let found = match reply {
        Reply::Ready(_) => "a greeting",
        Reply::Done => "nothing",
        Reply::Executed(_) => "results",
        Reply::Operators(_) => "times",
        Reply::Memory(_) => "bytes",
        Reply::Failed(_) => "an error",
    };
    err!(Engine, "the engine's process answered with {found} where something else was asked")
}
