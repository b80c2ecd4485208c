//! Runs the cases in `tests/passes/*.md`: one file for each pass, one case for each `## section`.
//!
//! - ` ```onnx before`: the model, in text form.
//! - ` ```ranges` (optional): `name=-1..3, other=0..6`, what calibration would have measured; `*`
//!   stands for all other values.
//! - ` ```target` (optional): the runtime that quantize-static works for, e.g. `qnn`.
//! - ` ```wide` (optional): nodes that have wide activations, a pattern on each line.
//! - ` ```text first` (optional): passes that run before, one on each line; the pass then gets the model
//!   before them as its reference, and the moments of random inputs.
//! - ` ```onnx after`: the model after the pass; left out when the pass must change nothing.
//! - ` ```text report`: one line for each edit made (`did: place: text`), declined
//!   (`refused: place: text`) and warning (`warning: text`); `error: text` when the pass fails;
//!   `not executed: text` when the engine cannot run the model. Left out when there is nothing.
//!
//! Both models are executed on random inputs, and the pass must keep its promise; a second run of
//! the pass must change nothing. `BLESS=1` writes what was found into the files.

use std::path::{Path, PathBuf};

use onnxpress::analysis::{Asked, Measure, Range, VectorMoments, Vectors};
use onnxpress::calibrate::Calibration;
use onnxpress::data::{InputSpec, Options, Samples};
use onnxpress::emit::{Elements, TextOptions, text_with};
use onnxpress::exec::Tract;
use onnxpress::ir::{Def, Model};
use onnxpress::passes::{Context, Pass, QuantizeDynamic, QuantizeStatic, Report, Target};
use onnxpress::pipeline::{Check, Outcome};
use onnxpress::{passes, pipeline, read};

use crate::diff;
use crate::markdown::{Document, Edit, Section};

const BEFORE: &str = "onnx before";
const AFTER: &str = "onnx after";
const REPORT: &str = "text report";
const RANGES: &str = "ranges";
const TARGET: &str = "target";
const WIDE: &str = "wide";
const FIRST: &str = "text first";

/// Samples that both models are executed on.
const EXECUTED: &str = "random:4";

#[test]
fn every_case_holds() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/passes");
    let mut paths: Vec<PathBuf> =
        folder.read_dir().expect("tests/passes exists").map(|e| e.unwrap().path()).collect();
    paths.sort();
    let failures: Vec<String> = paths.iter().flat_map(|path| file(path)).collect();
    assert!(
        failures.is_empty(),
        "{} cases fail; `BLESS=1 cargo test` accepts what was found\n\n{}",
        failures.len(),
        failures.join("\n")
    );
}

/// The failures of one file.
fn file(path: &Path) -> Vec<String> {
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let at = |title: &str, message: String| format!("{name}, \"{title}\": {message}\n");
    let Some(pass) = passes::find(&name) else {
        return vec![at("", "no pass has this name".into())];
    };
    let document = match Document::read(path) {
        Ok(document) => document,
        Err(message) => return vec![at("", message)],
    };
    let mut failures = Vec::new();
    let mut edits = Vec::new();
    for (i, section) in document.sections.iter().enumerate() {
        let made = for_target(section, &name);
        match made.and_then(|made| case(made.as_deref().unwrap_or(&*pass), section)) {
            Ok(found) => match expectations(section, found, i) {
                Ok(mut new) if bless() => edits.append(&mut new),
                Ok(_) => {}
                Err((message, _)) if !bless() => failures.push(at(&section.title, message)),
                Err((_, mut new)) => edits.append(&mut new),
            },
            Err(message) => failures.push(at(&section.title, message)),
        }
    }
    if document.sections.is_empty() {
        failures.push(at("", "holds no case: a case is a `## section`".into()));
    }
    if bless()
        && let Err(message) = document.rewrite(edits)
    {
        failures.push(at("", message));
    }
    failures
}

/// quantize-static or quantize-dynamic for the target that a section names.
fn for_target(section: &Section, pass: &str) -> Result<Option<Box<dyn Pass>>, String> {
    let Some(block) = section.block(TARGET) else { return Ok(None) };
    let named = Target::ALL.into_iter().find(|target| target.name() == block.body.trim());
    let target = named.ok_or_else(|| format!("no target is called `{}`", block.body.trim()))?;
    let wide = section.block(WIDE).map(|block| block.body.lines().map(str::to_owned).collect());
    let options =
        QuantizeStatic { target, wide: wide.unwrap_or_default(), ..QuantizeStatic::default() };
    Ok(Some(match pass {
        "quantize-dynamic" => Box::new(QuantizeDynamic::new(options)),
        _ => Box::new(options),
    }))
}

fn bless() -> bool {
    std::env::var_os("BLESS").is_some_and(|value| value == "1")
}

/// What a pass made of the model of a section.
struct Found {
    before: String,
    after: String,
    report: String,
}

fn case(pass: &dyn Pass, section: &Section) -> Result<Found, String> {
    for block in &section.blocks {
        if ![BEFORE, AFTER, REPORT, RANGES, TARGET, WIDE, FIRST].contains(&block.kind.as_str()) {
            return Err(format!("a block of unknown kind `{}`", block.kind));
        }
    }
    let source = section.block(BEFORE).ok_or_else(|| format!("has no block ```{BEFORE}"))?;
    let model = read::text(&source.body).map_err(|error| format!("{BEFORE}: {error}"))?;
    let ranges = section.block(RANGES).map(|block| Ranges::parse(&block.body)).transpose()?;
    let ranges = ranges.map(|ranges| Measured { ranges, samples: samples(&model).ok() });
    let measure = ranges.as_ref().map(|ranges| ranges as &dyn Measure);
    let cx = Context { evaluate: Some(&Tract), measure, ..Context::default() };
    let before = print(&model)?;
    let (mut prepared, mut reference) = (model.clone(), None);
    for name in section.block(FIRST).iter().flat_map(|block| block.body.lines()) {
        let first = passes::find(name).ok_or_else(|| format!("{FIRST}: no pass `{name}`"))?;
        prepared = run(&*first, &prepared, &cx)?.0;
        reference = Some(&model);
    }
    let cx = Context { reference, ..cx };
    let (edited, report) = run(pass, &prepared, &cx)?;
    let after = print(&edited)?;
    let (again, second) = run(pass, &edited, &cx)?;
    let again = print(&again)?;
    if again != after || second.lines().any(|line| line.starts_with("did: ")) {
        let diff = diff::lines(&after, &again);
        return Err(format!("a second run is not without effect\n{second}\n{diff}"));
    }
    Ok(Found { before, after, report })
}

/// Runs the pass as the pipeline does: verified, and executed before and after on random inputs.
/// A broken promise and an invalid model are failures that nothing can bless.
fn run(pass: &dyn Pass, model: &Model, cx: &Context<'_>) -> Result<(Model, String), String> {
    let samples = samples(model);
    let check = samples
        .as_ref()
        .ok()
        .map(|samples| Check::on(&Tract, samples, 4).expect("samples can be read"));
    let borrowed: Vec<Box<dyn Pass + '_>> = vec![Box::new(Borrowed(pass))];
    let finished = match pipeline::run(model.clone(), &borrowed, cx, check.as_ref()) {
        Ok(finished) => finished,
        Err(error) if failed(pass, &error) => {
            return Ok((model.clone(), format!("error: {error}")));
        }
        Err(error) => return Err(error.to_string()),
    };
    let step = finished.steps.first().ok_or("the pipeline ran nothing")?;
    let mut report = lines(&step.report);
    let not_executed = match (&step.outcome, samples) {
        (Some(Outcome::Broken(reason)), _) => return Err(format!("broken promise: {reason}")),
        (Some(Outcome::NotExecuted(reason)), _) => Some(reason.clone()),
        (None, Err(reason)) if step.report.changed() => Some(reason),
        _ => None,
    };
    let first_line = |reason: String| reason.lines().next().unwrap_or_default().to_owned();
    report.extend(not_executed.map(|reason| format!("not executed: {}", first_line(reason))));
    Ok((finished.model, report.join("\n")))
}

/// True when the pass itself gave the error, not the checks behind it.
fn failed(pass: &dyn Pass, error: &onnxpress::Error) -> bool {
    let item = error.place.item.as_deref().unwrap_or_default();
    item.starts_with(&format!("pass {}", pass.name()))
}

/// Random samples for the inputs that have no default.
fn samples(model: &Model) -> Result<Samples, String> {
    let inputs = model.graph(model.main()).inputs().iter().map(|&input| model.value(input));
    let fed = inputs.filter(|value| matches!(value.def(), Def::Input { default: None }));
    let specs = fed.map(|value| {
        let ty = value.tensor_type().ok_or_else(|| format!("`{}` has no type", value.name()))?;
        let dims = ty.dims.as_ref().map(|dims| dims.iter().map(|dim| dim.fixed()).collect());
        Ok(InputSpec { name: value.name().to_owned(), dtype: ty.dtype, dims })
    });
    let specs = specs.collect::<Result<Vec<_>, String>>()?;
    Samples::open(EXECUTED.as_ref(), &specs, &Options::default()).map_err(|e| e.to_string())
}

fn lines(report: &Report) -> Vec<String> {
    let note = |kind: &str, note: &passes::Note| format!("{kind}: {}: {}", note.place, note.text);
    let did = report.done.iter().map(|n| note("did", n));
    let refused = report.refused.iter().map(|n| note("refused", n));
    let warnings = report.warnings.iter().map(|text| format!("warning: {text}"));
    did.chain(refused).chain(warnings).collect()
}

fn print(model: &Model) -> Result<String, String> {
    let verified = model.verify().map_err(|v| onnxpress::Error::from(v).to_string())?;
    let text = text_with(verified, TextOptions { elements: Elements::All });
    Ok(text.trim_end().to_owned())
}

/// Compares with what the section expects. Always gives the edits that would make it so; an error
/// says how the two differ.
fn expectations(
    section: &Section,
    found: Found,
    index: usize,
) -> Result<Vec<Edit>, (String, Vec<Edit>)> {
    let mut message = String::new();
    let after = section.block(AFTER);
    // An expectation may be laid out freely; it is compared as it would be printed.
    let expected = match after {
        None => found.before.clone(),
        Some(block) => match read::text(&block.body) {
            Ok(model) => print(&model).unwrap_or_else(|error| error),
            Err(error) => format!("{AFTER}: {error}"),
        },
    };
    if expected != found.after {
        message.push_str(&format!("another model\n{}", diff::lines(&expected, &found.after)));
    }
    let report = section.block(REPORT);
    let expected = report.map(|block| block.body.as_str()).unwrap_or_default();
    if expected.trim() != found.report {
        message.push_str(&format!("another report\n{}", diff::lines(expected, &found.report)));
    }
    let mut edits = vec![Edit { section: index, kind: BEFORE, body: found.before.clone() }];
    if after.is_some() || found.after != found.before {
        edits.push(Edit { section: index, kind: AFTER, body: found.after });
    }
    if report.is_some() || !found.report.is_empty() {
        edits.push(Edit { section: index, kind: REPORT, body: found.report });
    }
    if message.is_empty() { Ok(edits) } else { Err((message, edits)) }
}

/// Ranges as calibration would measure them.
struct Ranges(Vec<(String, Range)>);

impl Ranges {
    fn parse(text: &str) -> Result<Self, String> {
        let entries = text.split([',', '\n']).map(str::trim).filter(|entry| !entry.is_empty());
        let entry = |entry: &str| {
            let (name, range) = entry.rsplit_once('=')?;
            let (min, max) = range.split_once("..")?;
            let range = Range { min: min.trim().parse().ok()?, max: max.trim().parse().ok()? };
            Some((name.trim().to_owned(), range))
        };
        let parsed = entries.map(|text| {
            entry(text).ok_or_else(|| format!("{RANGES}: expected `name=min..max`, found `{text}`"))
        });
        parsed.collect::<Result<_, _>>().map(Self)
    }
}

/// Ranges as they are written down, and moments of random inputs.
struct Measured {
    ranges: Ranges,
    samples: Option<Samples>,
}

impl Measure for Measured {
    fn ranges(&self, model: &Model, asked: &[Asked]) -> onnxpress::Result<Vec<Option<Range>>> {
        let range = |&Asked { value, .. }: &Asked| {
            let name = model.value(value).name();
            let found = |wanted: &str| self.ranges.0.iter().find(|(known, _)| known == wanted);
            found(name).or_else(|| found("*")).map(|&(_, range)| range)
        };
        Ok(asked.iter().map(range).collect())
    }

    fn moments(
        &self,
        model: &Model,
        asked: &[Vectors],
    ) -> onnxpress::Result<Vec<Option<VectorMoments>>> {
        match &self.samples {
            Some(samples) => {
                Calibration { engine: &Tract, samples, progress: &() }.moments(model, asked)
            }
            None => Ok(vec![None; asked.len()]),
        }
    }
}

/// A pass that is only borrowed.
struct Borrowed<'a>(&'a dyn Pass);

impl Pass for Borrowed<'_> {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn summary(&self) -> &'static str {
        self.0.summary()
    }

    fn promise(&self) -> passes::Promise {
        self.0.promise()
    }

    fn run(&self, model: &mut Model, cx: &Context<'_>) -> onnxpress::Result<Report> {
        self.0.run(model, cx)
    }
}
