//! `convert` and `print`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use onnxpress::emit::{self, Elements, TextOptions};
use onnxpress::ir::Model;
use onnxpress::passes::{
    Context, ConvertOpset, ConvertQoperator, EliminateDead, InlineFunctions, Pass,
    StripQuantization,
};
use onnxpress::pipeline::declare_shapes;
use onnxpress::verbs::check_deployed;
use onnxpress::{Error, ErrorKind, Result};

use super::fixing::FixArgs;
use super::{EXIT_STATUS, Ended, Words, engine, io};

/// Arguments of `convert`.
#[derive(Debug, Args)]
#[command(after_help = format!("Examples:
  onnxpress convert model.onnx -o copy.onnx
  onnxpress convert model.onnx --external-data -o small.onnx
  onnxpress convert model.onnx --opset 17 -o newer.onnx
  onnxpress convert model.onnx --inline-functions -o plain.onnx
  onnxpress convert model.onnx --infer-shapes -o shapes.onnx
  onnxpress convert model.int8.onnx --strip-quantization -o float.onnx
  onnxpress convert model.int8.onnx --qoperator -o integers.onnx

{EXIT_STATUS}"))]
pub struct Convert {
    /// Model to read.
    model: PathBuf,
    #[command(flatten)]
    output: io::Output,
    /// Raise the default operator set to N (13 to 25), and rewrite the nodes that change with it.
    #[arg(long, value_name = "N")]
    opset: Option<i64>,
    /// Replace calls of model-local functions by the nodes of the functions, before anything else.
    #[arg(long)]
    inline_functions: bool,
    /// Remove QuantizeLinear/DequantizeLinear pairs, and turn stored integers back into floats.
    #[arg(long)]
    strip_quantization: bool,
    /// Make operators on integers (QLinearConv, ...) of float ones between DequantizeLinear and
    /// QuantizeLinear: for `ort` those of com.microsoft, too, for `portable` those of ONNX.
    #[arg(long, value_name = "TARGET", num_args = 0..=1, require_equals = true,
          default_missing_value = "ort", conflicts_with = "strip_quantization")]
    qoperator: Option<Runtime>,
    /// Declare types and shapes of inner values, with expressions of the named axes of inputs.
    #[arg(long)]
    infer_shapes: bool,
    #[command(flatten)]
    fix: FixArgs,
    #[command(flatten)]
    words: Words,
}

/// Where operators on integers are to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Runtime {
    Ort,
    Portable,
}

impl Convert {
    pub fn run(self) -> Result<Ended> {
        self.output.check(&self.model, false)?;
        let mut loaded = io::load(&self.model, &self.words)?;
        self.fix.apply(&mut loaded.model)?;
        let mut missed = Vec::new();
        if self.inline_functions {
            let report = InlineFunctions.run(&mut loaded.model, &Context::default())?;
            for note in &report.refused {
                eprintln!("warning: {}: not inlined: {}", note.place, note.text);
            }
            if !report.changed() && !report.refused.is_empty() {
                missed.push("no function was inlined");
            }
        }
        if self.strip_quantization {
            missed.extend(self.strip(&mut loaded.model)?);
        }
        if let Some(target) = self.opset {
            raise(&mut loaded.model, target)?;
        }
        let for_ort = self.qoperator == Some(Runtime::Ort);
        let quantized = for_ort.then(|| loaded.model.clone());
        if let Some(runtime) = self.qoperator {
            missed.extend(self.integers(&mut loaded.model, runtime)?);
        }
        if self.infer_shapes {
            for note in declare_shapes(&mut loaded.model) {
                if !self.words.quiet {
                    eprintln!("note: {}: {}: {}", self.model.display(), note.place, note.text);
                }
            }
        }
        let encoded = self.output.encode(&loaded.model, loaded.external)?;
        if let Some(original) = quantized {
            let models = [&original, &loaded.model];
            let runtime = || engine::deploying(None, None);
            check_deployed(runtime, models, encoded.len() as u64, None)?;
        }
        self.output.save(&encoded)?;
        for missed in &missed {
            eprintln!("MISSED: {}: {missed}", self.model.display());
        }
        Ok(if missed.is_empty() { Ended::Done } else { Ended::Missed })
    }
}

impl Convert {
    /// Makes a float model of a quantized one, and says what stays; returns that nothing was done although something
    /// is quantized.
    fn strip(&self, model: &mut Model) -> Result<Option<&'static str>> {
        let report = StripQuantization.run(model, &Context::default())?;
        EliminateDead.run(model, &Context::default())?;
        for note in &report.refused {
            eprintln!("warning: {}: stays quantized: {}", note.place, note.text);
        }
        if report.changed() {
            return Ok(None);
        }
        let quantized = model.all_nodes().iter().any(|&node| is_quantized(model.node(node).op()));
        if quantized || !report.refused.is_empty() {
            return Ok(Some("nothing was stripped: what is quantized stays"));
        }
        eprintln!("warning: {}: nothing was stripped: nothing is quantized", self.model.display());
        Ok(None)
    }
}

impl Convert {
    /// Makes operators on integers, and says what stays; returns that there are none.
    fn integers(&self, model: &mut Model, runtime: Runtime) -> Result<Option<&'static str>> {
        let pass = ConvertQoperator { microsoft: runtime == Runtime::Ort };
        let report = pass.run(model, &Context::default())?;
        for note in &report.refused {
            if !self.words.quiet {
                eprintln!("note: {}: stays as it is: {}", note.place, note.text);
            }
        }
        let none = "nothing became an operator on integers: `quantize` puts quantization around layers first";
        Ok((!report.changed()).then_some(none))
    }
}

/// Operators that compute with integers or turn them into floats.
fn is_quantized(op: &str) -> bool {
    ["QLinear", "QuantizeLinear", "DequantizeLinear", "MatMulInteger", "ConvInteger", "MatMulNBits"]
        .iter()
        .any(|part| op.contains(part))
}

/// Raises the operator set, or says why that cannot be done.
fn raise(model: &mut Model, target: i64) -> Result<()> {
    let found = model.opset().unwrap_or(0);
    if found > target {
        let text = format!("the model imports opset {found}; it cannot be lowered to {target}");
        return Err(Error::new(ErrorKind::Unsupported, text));
    }
    let report = ConvertOpset { target }.run(model, &Context::default())?;
    match report.refused.first() {
        None => Ok(()),
        Some(note) => {
            Err(Error::new(ErrorKind::Unsupported, note.text.clone()).at(note.place.clone()))
        }
    }
}

/// Arguments of `print`.
#[derive(Debug, Args)]
#[command(after_help = format!("Example:
  onnxpress print model.onnx

{EXIT_STATUS}"))]
pub struct Print {
    /// Model to read.
    model: PathBuf,
    /// Print every element of every tensor.
    #[arg(long)]
    full: bool,
    #[command(flatten)]
    words: Words,
}

impl Print {
    pub fn run(self) -> Result<Ended> {
        let loaded = io::load(&self.model, &self.words)?;
        let elements = if self.full { Elements::All } else { Elements::Few };
        let verified = loaded.model.verify().map_err(Error::from)?;
        io::print(&emit::text_with(verified, TextOptions { elements }))?;
        Ok(Ended::Done)
    }
}
