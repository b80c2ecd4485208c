//! The tract engine.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, LazyLock};
use std::time::Instant;

use bytes::Bytes;
use prost::Message;
use tract_onnx::pb;
use tract_onnx::prelude::*;
use tract_onnx::tract_core::ops::OpState;
use tract_onnx::tract_core::ops::math::neg;
use tract_onnx::tract_core::plan::{EvalContext, eval};

use crate::emit;
use crate::error::{Error, Result, err};
use crate::exec::clock::{Clock, Stopwatch};
use crate::exec::{
    Engine, Executed, InputShape, OperatorTimes, Session, Tap, grid, guard, observe::Observation,
    panic, stable, tensors, view,
};
use crate::ir::Verified;
use crate::tensor::Tensor as OurTensor;

/// Runs models with tract inside the calling process, one thread for each run. Panics become
/// errors; a stack overflow, a failed allocation or a hang is the caller's: see
/// [`Isolated`](crate::exec::Isolated).
#[derive(Debug, Clone, Copy, Default)]
pub struct Tract;

/// How a model is put to tract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Lowering {
    /// With short cuts that compute the same in less time.
    #[default]
    Short,
    /// With nothing but what tract needs.
    AsWritten,
}

static FRAMEWORK: LazyLock<tract_onnx::Onnx> = LazyLock::new(|| {
    let framework = tract_onnx::onnx().with_ignore_output_shapes(true);
    let mut framework = framework.with_ignore_value_info(true);
    grid::register(&mut framework);
    stable::register(&mut framework);
    framework
});

impl Engine for Tract {
    fn name(&self) -> &'static str {
        "tract"
    }

    fn prepare(
        &self,
        model: Verified<'_>,
        inputs: &[InputShape],
        taps: &[Tap],
    ) -> Result<Arc<dyn Session>> {
        build(lower(model, inputs, Lowering::Short)?, inputs, taps, Clock::Runs)
    }

    fn as_written(&self) -> Option<Box<dyn Engine>> {
        Some(Box::new(AsWritten(Clock::Runs)))
    }

    fn profiling(&self) -> Option<Box<dyn Engine>> {
        Some(Box::new(AsWritten(Clock::Operators)))
    }
}

/// [`Tract`] without short cuts.
struct AsWritten(Clock);

impl Engine for AsWritten {
    fn name(&self) -> &'static str {
        Tract.name()
    }

    fn prepare(
        &self,
        model: Verified<'_>,
        inputs: &[InputShape],
        taps: &[Tap],
    ) -> Result<Arc<dyn Session>> {
        build(lower(model, inputs, Lowering::AsWritten)?, inputs, taps, self.0)
    }
}

/// The encoded tract view of a model that tract may see: what it would get wrong is refused here.
pub(super) fn lower(
    model: Verified<'_>,
    inputs: &[InputShape],
    lowering: Lowering,
) -> Result<Bytes> {
    let model = view::inlined(model.model())?;
    guard::check(&model, |op| op != grid::OP && FRAMEWORK.op_register.0.contains_key(op))?;
    let view = view::of(model, inputs, lowering)?;
    Ok(emit::onnx(view.verify().map_err(Error::from)?)?.to_bytes())
}

/// Makes what [`lower`] gave ready to run.
pub(super) fn build(
    lowered: Bytes,
    inputs: &[InputShape],
    taps: &[Tap],
    clock: Clock,
) -> Result<Arc<dyn Session>> {
    panic::caught(|| {
        let proto = pb::ModelProto::decode(lowered)
            .map_err(|error| err!(Engine, "tract cannot decode the model: {error}"))?;
        // tract's optimizer knows less than its plain planner: what it refuses may still run.
        let optimized = Plan::build(&proto, inputs, taps, true);
        let plan =
            optimized.or_else(|first| Plan::build(&proto, inputs, taps, false).map_err(|_| first));
        let mut plan = plan?;
        plan.time(clock);
        Ok(Arc::new(plan) as Arc<dyn Session>)
    })
}

struct Plan {
    plan: Arc<TypedRunnableModel>,
    /// Names of the inputs in tract's order.
    inputs: Vec<String>,
    outputs: Vec<String>,
    taps: Vec<Tap>,
    /// Indices of the taps at each outlet.
    seen_at: HashMap<OutletId, Vec<usize>>,
    /// Taps that are graph inputs, with the name of the input.
    input_taps: Vec<(usize, String)>,
    /// Outlets kept alive only to be observed; their data is freed at once.
    observed_only: HashSet<OutletId>,
    /// By the ids of nodes, when they are timed.
    stopwatch: Option<Stopwatch>,
}

/// tract's error chain on one line.
fn engine(error: TractError) -> Error {
    let chain: Vec<String> = error.chain().map(ToString::to_string).collect();
    err!(Engine, "tract: {}", chain.join(": "))
}

impl Plan {
    fn build(
        proto: &pb::ModelProto,
        shapes: &[InputShape],
        taps: &[Tap],
        optimize: bool,
    ) -> Result<Self> {
        let parsed = FRAMEWORK.parse(proto, None).map_err(engine)?;
        let mut model = parsed.model;
        let graph = proto.graph.as_ref();
        let outputs: Vec<String> =
            graph.iter().flat_map(|graph| &graph.output).map(|o| o.name.clone()).collect();
        let mut inputs = Vec::new();
        for (i, outlet) in model.inputs.clone().into_iter().enumerate() {
            let name = model.node(outlet.node).name.clone();
            let shape = shapes
                .iter()
                .find(|shape| shape.name == name)
                .ok_or_else(|| err!(Data, "input `{name}` of the model is not given"))?;
            let datum = tensors::datum_type(shape.dtype)
                .ok_or_else(|| guard::no_type(&name, shape.dtype))?;
            let fact = InferenceFact::dt_shape(datum, &shape.dims);
            model.set_input_fact(i, fact).map_err(engine)?;
            inputs.push(name);
        }
        let (mut input_taps, mut wanted) = (Vec::new(), Vec::new());
        for (index, tap) in taps.iter().enumerate() {
            if inputs.contains(&tap.value) {
                input_taps.push((index, tap.value.clone()));
            } else if let Some(&outlet) = parsed.outlets_by_name.get(&tap.value) {
                wanted.push((index, outlet));
            }
        }
        // Taps become outputs first, so that optimization keeps values apart that it would merge.
        let real = model.outputs.len();
        let mut selected = model.outputs.clone();
        selected.extend(wanted.iter().map(|&(_, outlet)| outlet));
        let whole = kept_whole(proto);
        selected.extend(whole.filter_map(|name| parsed.outlets_by_name.get(name)).copied());
        model.select_output_outlets(&selected).map_err(engine)?;
        let mut typed = model.into_typed().map_err(engine)?;
        read_twice(&mut typed, real + wanted.len()).map_err(engine)?;
        if optimize {
            typed = typed.into_optimized().map_err(engine)?;
        }
        let selected = typed.outputs.clone();
        let mut at: HashMap<OutletId, Vec<usize>> = HashMap::new();
        // What follows the taps was an output only while tract optimized.
        for (&(index, _), &outlet) in wanted.iter().zip(&selected[real..]) {
            at.entry(outlet).or_default().push(index);
        }
        let mut kept = selected[..real].to_vec();
        let mut observed_only = HashSet::new();
        let mut outlets: Vec<OutletId> = at.keys().copied().collect();
        outlets.sort();
        for outlet in outlets {
            let consumed = !typed.outlet_successors(outlet).is_empty();
            if !consumed && !kept.contains(&outlet) {
                observed_only.insert(outlet);
                kept.push(outlet);
            }
        }
        typed.select_output_outlets(&kept).map_err(engine)?;
        let plan = typed.into_runnable().map_err(engine)?;
        let taps = taps.to_vec();
        let (seen_at, stopwatch) = (at, None);
        Ok(Self { plan, inputs, outputs, taps, seen_at, input_taps, observed_only, stopwatch })
    }

    /// Times nodes when that is asked for.
    fn time(&mut self, clock: Clock) {
        let nodes = self.plan.model().nodes().iter();
        let named = nodes.map(|node| (node.name.clone(), node.op().name().into_owned()));
        self.stopwatch = (clock == Clock::Operators).then(|| Stopwatch::new(named.collect()));
    }
}

/// Outputs of Softmax and LogSoftmax in a model that skips elements (Conv with strides, Slice with
/// steps). tract's optimizer takes all their axes for independent, and would skip elements before it
/// normalizes over them; it does not where a value is read twice.
fn kept_whole(proto: &pb::ModelProto) -> impl Iterator<Item = &String> {
    /// Inputs of a Slice that has steps.
    const WITH_STEPS: usize = 5;
    let nodes = || proto.graph.iter().flat_map(|graph| &graph.node);
    let strided = |node: &pb::NodeProto| {
        let strides = node.attribute.iter().find(|attribute| attribute.name == "strides");
        strides.is_some_and(|strides| strides.ints.iter().any(|&stride| stride != 1))
    };
    let skips = nodes().any(|node| match node.op_type.as_str() {
        "Conv" => strided(node),
        "Slice" => node.input.len() >= WITH_STEPS,
        _ => false,
    });
    let normalizing = |node: &&pb::NodeProto| ["Softmax", "LogSoftmax"].contains(&&*node.op_type);
    nodes().filter(move |_| skips).filter(normalizing).flat_map(|node| &node.output)
}

/// Replaces the outputs from `first` on by something that reads them.
fn read_twice(model: &mut TypedModel, first: usize) -> TractResult<()> {
    let mut outputs = model.outputs.clone();
    for (i, outlet) in outputs.iter_mut().enumerate().skip(first) {
        *outlet = model.wire_node(format!("whole.{i}"), neg(), &[*outlet])?[0];
    }
    model.select_output_outlets(&outputs)
}

impl Session for Plan {
    fn run(&self, inputs: &[(String, OurTensor)]) -> Result<Executed> {
        let find = |name: &String| {
            inputs
                .iter()
                .find(|(given, _)| given == name)
                .map(|(_, tensor)| tensor)
                .ok_or_else(|| err!(Data, "input `{name}` of the model is not given"))
        };
        let start = Instant::now();
        let mut observed: Vec<Option<Observation>> = vec![None; self.taps.len()];
        for (index, name) in &self.input_taps {
            observed[*index] = self.taps[*index].observe.of(find(name)?.view())?;
        }
        let values = self
            .inputs
            .iter()
            .map(|name| Ok(tensors::to_tract(find(name)?)?.into_tvalue()))
            .collect::<Result<TVec<TValue>>>()?;
        let mut lap = self.stopwatch.as_ref().map(Stopwatch::lap);
        let outputs = panic::caught(|| {
            let mut state = self.plan.spawn().map_err(engine)?;
            let outputs = state
                .run_plan_with_eval(
                    values,
                    |context: &EvalContext,
                     op_state: Option<&mut (dyn OpState + 'static)>,
                     node: &TypedNode,
                     input: TVec<TValue>|
                     -> TractResult<TVec<TValue>> {
                        let begin = Instant::now();
                        let mut outputs = eval(context, op_state, node, input)?;
                        if let Some(lap) = &mut lap {
                            lap.add(node.id, begin);
                        }
                        for (slot, value) in outputs.iter_mut().enumerate() {
                            let outlet = OutletId::new(node.id, slot);
                            for &tap in self.seen_at.get(&outlet).into_iter().flatten() {
                                let observe = &self.taps[tap].observe;
                                observed[tap] = tensors::show(value, |view| observe.of(view))??;
                            }
                            if self.observed_only.contains(&outlet) {
                                // Without axes, which tract would compare with what it expects.
                                *value = Tensor::zero_dt(value.datum_type(), &[])?.into_tvalue();
                            }
                        }
                        Ok(outputs)
                    },
                )
                .map_err(engine)?;
            let named = self.outputs.iter().cloned().zip(&outputs);
            named.map(|(name, value)| Ok((name, tensors::from_tract(value)?))).collect()
        });
        let executed = Executed { outputs: outputs?, observed, time: start.elapsed() };
        if let (Some(stopwatch), Some(lap)) = (&self.stopwatch, lap) {
            stopwatch.keep(lap);
        }
        Ok(executed)
    }

    fn operators(&self) -> Result<Vec<OperatorTimes>> {
        Ok(self.stopwatch.as_ref().map(Stopwatch::times).unwrap_or_default())
    }
}
