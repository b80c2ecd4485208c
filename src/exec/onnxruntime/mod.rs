//! ONNX Runtime, from a shared library that is found when the program runs.
//!
//! `library` finds it, `load` loads it, `session` runs models, `tensors` are ours and its. All but
//! the first need the cargo feature `ort`. `trace` reads what operators took.

mod library;
#[cfg(feature = "ort")]
mod load;
#[cfg(feature = "ort")]
mod session;
#[cfg(feature = "ort")]
mod tensors;
#[cfg(feature = "ort")]
mod trace;

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use crate::emit;
use crate::error::{Error, Result, err};
use crate::exec::clock::Clock;
use crate::exec::{Engine, InputShape, Session, Tap, guard};
use crate::ir::{Model, Verified};

/// Runs models with ONNX Runtime inside the calling process: whatever the library does to it is the
/// caller's. [`Isolated::onnxruntime`](crate::exec::Isolated::onnxruntime) puts it into a process of
/// its own. A process tries to load one library, once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OnnxRuntime {
    /// Text, because it passes from process to process.
    library: String,
    threads: usize,
    /// `None`: basic for outputs, all for times.
    optimization: Option<Optimization>,
    clock: Clock,
}

/// How far ONNX Runtime may rewrite a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Optimization {
    /// Without a change of what is computed: outputs are those of the operators in the model.
    Basic,
    /// As whoever deploys to it would run the model, with fused and integer kernels.
    All,
}

/// A model as ONNX Runtime gets it.
#[derive(Debug)]
pub(super) struct Lowered {
    pub engine: OnnxRuntime,
    pub model: Bytes,
    /// How many outputs the model has without those that are only observed; they come first.
    pub outputs: usize,
}

impl OnnxRuntime {
    /// The library `named`, a file or the folder that it is in; else that of the environment's
    /// `ORT_DYLIB_PATH`; else the first in the usual folders. Each run takes `threads` threads, and runs of
    /// one session wait for each other.
    ///
    /// # Errors
    /// When no library is found. Whether it is one of ONNX Runtime, and new enough, turns out when it
    /// is loaded, see [`trial`](crate::exec::trial).
    pub fn find(named: Option<&Path>, threads: usize) -> Result<Self> {
        let library = library::find(named)?.into_os_string().into_string().map_err(|path| {
            err!(Engine, "the path of the library is no UTF-8").in_file(path.as_ref())
        })?;
        Ok(Self { library, threads: threads.max(1), optimization: None, clock: Clock::Runs })
    }

    /// This engine with models rewritten that far, whatever they are run for. Without it, outputs are those of
    /// [`Optimization::Basic`], and times ([`Engine::as_written`]) those of [`Optimization::All`].
    pub fn optimized(self, optimization: Optimization) -> Self {
        Self { optimization: Some(optimization), ..self }
    }

    /// Where the library is.
    pub fn library(&self) -> &Path {
        Path::new(&self.library)
    }

    /// From what [`Self::parts`] gave.
    pub(super) fn from_parts(library: String, threads: usize, all: bool, clock: Clock) -> Self {
        let optimization = Some(if all { Optimization::All } else { Optimization::Basic });
        Self { library, threads, optimization, clock }
    }

    /// The library, the threads, whether all optimizations are on, and what is timed.
    pub(super) fn parts(&self) -> (&String, usize, bool, Clock) {
        (&self.library, self.threads, self.optimization == Some(Optimization::All), self.clock)
    }

    /// This engine with all of its optimizations, unless the user has chosen.
    pub(super) fn optimizing(&self) -> Self {
        let optimization = Some(self.optimization.unwrap_or(Optimization::All));
        Self { optimization, ..self.clone() }
    }

    /// This engine with that timed.
    pub(super) fn timing(self, clock: Clock) -> Self {
        Self { clock, ..self }
    }

    /// The encoded model with what is observed as further outputs.
    pub(super) fn lower(&self, model: Verified<'_>, taps: &[Tap]) -> Result<Lowered> {
        let original = model.model();
        guard::check_random(original)?;
        let graph = original.main();
        let outputs = original.graph(graph).outputs().len();
        let engine = self.clone();
        if taps.is_empty() && self.clock == Clock::Runs {
            return Ok(Lowered { engine, model: emit::onnx(model)?.to_bytes(), outputs });
        }
        let wanted: HashSet<&str> = taps.iter().map(|tap| tap.value.as_str()).collect();
        let seen = original.values().filter(|(id, value)| {
            value.graph() == graph
                && value.producer().is_some()
                && wanted.contains(value.name())
                && !original.output_slots(*id).any(|(of, _)| of == graph)
        });
        let mut observed = original.clone();
        for (id, _) in seen {
            // ONNX Runtime infers the type.
            observed.add_output(graph, id, None);
        }
        if self.clock == Clock::Operators {
            name_all(&mut observed);
        }
        let model = emit::onnx(observed.verify().map_err(Error::from)?)?.to_bytes();
        Ok(Lowered { engine, model, outputs })
    }
}

/// Gives every node a name, by which the trace calls it.
fn name_all(model: &mut Model) {
    for node in model.all_nodes() {
        let name = model.name_of(node).to_owned();
        model.set_node_name(node, &name);
    }
}

impl Lowered {
    /// Loads the library, and the model into it.
    #[cfg(feature = "ort")]
    pub(super) fn build(self, taps: &[Tap]) -> Result<Arc<dyn Session>> {
        load::load(self.engine.library())?;
        session::build(&self, taps)
    }

    /// There is nothing that could load a library.
    #[cfg(not(feature = "ort"))]
    pub(super) fn build(self, _taps: &[Tap]) -> Result<Arc<dyn Session>> {
        Err(err!(Engine, "this onnxpress cannot load ONNX Runtime")
            .help("build it with the cargo feature `ort`"))
    }
}

impl Engine for OnnxRuntime {
    fn name(&self) -> &'static str {
        "ONNX Runtime"
    }

    fn prepare(
        &self,
        model: Verified<'_>,
        _inputs: &[InputShape],
        taps: &[Tap],
    ) -> Result<Arc<dyn Session>> {
        self.lower(model, taps)?.build(taps)
    }

    fn takes_uneven_branches(&self) -> bool {
        true
    }

    fn as_written(&self) -> Option<Box<dyn Engine>> {
        Some(Box::new(self.optimizing()))
    }

    fn profiling(&self) -> Option<Box<dyn Engine>> {
        Some(Box::new(self.optimizing().timing(Clock::Operators)))
    }
}
