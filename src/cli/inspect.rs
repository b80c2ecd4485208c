//! `inspect`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use onnxpress::Result;
use onnxpress::analysis::channels::Options;
use onnxpress::analysis::{Assume, Channels, Cost, Shapes};
use onnxpress::compress;
use onnxpress::compress::{Counted, PrunePasses};
use onnxpress::data::{self, Samples};
use onnxpress::emit::Overwrite;
use onnxpress::ir::{Def, DimSize, Model, Node, ValueType};
use onnxpress::passes::{Context, separate_vectors};
use onnxpress::pipeline::{self, When};
use onnxpress::read::Loaded;
use onnxpress::report::{
    ChannelsReport, InspectionReport, LayerReport, PortReport, PossibilityReport, WeightReport,
};

use super::fixing::FixArgs;
use super::{EXIT_STATUS, Ended, Talk, io, page};

/// Arguments of `inspect`.
#[derive(Debug, Args)]
#[command(after_help = format!("Examples:
  onnxpress inspect model.onnx
  onnxpress inspect model.onnx --layers
  onnxpress inspect model.onnx --prunable
  onnxpress inspect model.onnx --layers --fix-dim H=224 --fix-dim W=224
  onnxpress inspect model.onnx --weights --possible
  onnxpress inspect model.onnx --report model.html
  onnxpress inspect model.onnx --json

{EXIT_STATUS}"))]
pub struct Inspect {
    /// Model to read.
    model: PathBuf,
    /// Show each layer with its weights and multiply-accumulates.
    #[arg(long)]
    layers: bool,
    /// Show what can be cut, and why the rest cannot: groups of channels, hidden units and attention
    /// heads of the model as `prune` prepares it.
    #[arg(long = "prunable", alias = "channels")]
    channels: bool,
    /// With --channels: make initializers constants that callers may now override, as `prune` would.
    #[arg(long, requires = "channels")]
    freeze_initializers: bool,
    #[command(flatten)]
    fix: FixArgs,
    /// Count multiply-accumulates with inputs as large as these samples, where the model leaves that open.
    #[arg(long, value_name = "DATA")]
    data: Option<PathBuf>,
    /// Show how the weights of each layer are spread, and how far outliers are out.
    #[arg(long = "weight-stats", alias = "weights")]
    weights: bool,
    /// Show what `quantize`, `prune` and `factorize` could do to each layer with their usual options, and
    /// what is in the way. Nothing is executed.
    #[arg(long)]
    possible: bool,
    #[command(flatten)]
    page: page::ReportFile,
    /// Replace OUT.html when it exists.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    talk: Talk,
}

impl Inspect {
    pub fn run(self) -> Result<Ended> {
        let overwrite = if self.force { Overwrite::Replace } else { Overwrite::Never };
        self.page.check(&[&self.model], overwrite)?;
        let mut loaded = io::load(&self.model, &self.talk.words)?;
        self.fix.apply(&mut loaded.model)?;
        let samples = match &self.data {
            Some(data) => {
                let inputs = pipeline::inputs(&loaded.model)?;
                Some(Samples::open(data, &inputs, &data::Options::default())?)
            }
            None => None,
        };
        let at = compress::counted_at(&loaded.model, samples.as_ref());
        let mut report = report(&loaded, &at, self.layers);
        (report.show_weights, report.show_possible) = (self.weights, self.possible);
        if self.weights || self.page.is_wanted() {
            let nodes = loaded.model.all_nodes();
            report.weights = Some(WeightReport::all(&loaded.model, nodes.into_iter()));
        }
        if self.possible || self.page.is_wanted() {
            let possible = compress::possible(&loaded.model)?;
            report.possible = Some(possible.iter().map(PossibilityReport::from).collect());
        }
        if self.channels {
            report.channels = Some(channels(loaded.model.clone(), &at, self.freeze_initializers)?);
        }
        self.page.write("inspect", &report, overwrite)?;
        if self.talk.json {
            io::print(&io::report_json("inspect", &report)?)?;
        } else {
            io::show(&report)?;
        }
        Ok(Ended::Done)
    }
}

/// What `prune` could cut. The model is prepared as it would be, by what needs no execution.
fn channels(model: Model, at: &Assume, freeze_initializers: bool) -> Result<ChannelsReport> {
    let options = PrunePasses { freeze_initializers, ..PrunePasses::default() };
    let passes = compress::prepare_prune(&options);
    let cx = Context::default();
    let mut model = pipeline::settle(model, &passes, &cx, None, When::AtEnd)?.model;
    separate_vectors(&mut model);
    let shapes = Shapes::infer(&model, &Assume::default());
    let channels = Channels::of(&model, &shapes, Options::default());
    let cost = Cost::of(&model, &Shapes::infer(&model, at));
    Ok(ChannelsReport::new(&model, &channels, &cost))
}

fn report(loaded: &Loaded, at: &Assume, show_layers: bool) -> InspectionReport {
    let model = &loaded.model;
    let cost = Cost::of(model, &Shapes::infer(model, at));
    let uncounted = Counted::of(model, at, &cost).in_words();
    let all: u64 = cost.layers.iter().filter_map(|layer| layer.macs).sum();
    let nodes = model.all_nodes();
    let mut operators = BTreeMap::new();
    for &id in &nodes {
        *operators.entry(operator(model.node(id))).or_insert(0) += 1;
    }
    let main = model.graph(model.main());
    let given = main.inputs().iter().map(|&input| model.value(input));
    let given = given.filter(|input| matches!(input.def(), Def::Input { default: None }));
    let outputs = main.outputs().iter();
    let domain = |domain: &str| if domain.is_empty() { "ai.onnx" } else { domain }.to_owned();
    InspectionReport {
        opset: model.opset(),
        opsets: model.header.opsets.iter().map(|(d, version)| (domain(d), *version)).collect(),
        ir_version: model.header.ir_version,
        producer: model.header.producer.clone(),
        nodes: nodes.len(),
        operators,
        parameters: cost.parameters,
        weight_bytes: cost.weight_bytes,
        macs: cost.macs,
        macs_unknown: cost.unknown,
        macs_at: at.inputs.clone(),
        macs_uncounted: uncounted,
        inputs: given.map(|input| port(input.name(), input.info().ty.as_ref())).collect(),
        outputs: outputs.map(|o| port(model.value(o.value).name(), o.info.ty.as_ref())).collect(),
        functions: functions(model),
        layers: cost
            .layers
            .into_iter()
            .map(|layer| LayerReport {
                name: layer.name,
                op: layer.op,
                macs: layer.macs,
                parameters: layer.parameters,
                weight_bytes: layer.weight_bytes,
                output: layer.output.map(|dims| dims.iter().map(ToString::to_string).collect()),
                macs_share: layer.macs.filter(|_| all > 0).map(|macs| macs as f64 / all as f64),
                bytes_share: layer.weight_bytes as f64 / cost.weight_bytes.max(1) as f64,
            })
            .collect(),
        weights: None,
        possible: None,
        notes: loaded.notes.clone(),
        channels: None,
        show_layers,
        show_weights: false,
        show_possible: false,
    }
}

/// The operator with its domain, unless that is the default one.
fn operator(node: &Node) -> String {
    if node.is_standard() { node.op().into() } else { format!("{}.{}", node.domain(), node.op()) }
}

fn functions(model: &Model) -> Vec<String> {
    model.functions().iter().map(|f| format!("{}.{}", f.domain, f.name)).collect()
}

fn port(name: &str, ty: Option<&ValueType>) -> PortReport {
    let (dtype, shape) = match ty {
        Some(ValueType::Tensor(tensor)) => {
            let dims = tensor.dims.as_ref().map(|dims| {
                let sizes = dims.iter().map(|dim| match &dim.size {
                    DimSize::Known(size) if *size >= 0 => size.to_string(),
                    DimSize::Symbol(name) => name.clone(),
                    _ => "?".to_owned(),
                });
                sizes.collect()
            });
            (tensor.dtype.to_string(), dims)
        }
        Some(ValueType::Opaque(_)) => ("opaque".into(), None),
        None => ("unknown".into(), None),
    };
    PortReport { name: name.to_owned(), dtype, shape }
}
