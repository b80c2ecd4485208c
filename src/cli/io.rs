//! Arguments that several commands share: models, samples, results.

use std::collections::BTreeSet;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use onnxpress::data::{
    Channels, Layout, Options, Preprocess, Preset, Resize, Samples, Size, parse_number,
    parse_numbers,
};
use onnxpress::emit::{self, Encoded, Overwrite};
use onnxpress::ir::Model;
use onnxpress::read::{self, Loaded};
use onnxpress::report;
use onnxpress::verbs::Outcome;
use onnxpress::wire::Rope;
use onnxpress::{Error, ErrorKind, Result};
use serde::Serialize;

use super::limits::SampleLimits;
use super::page::ReportFile;
use super::{Ended, Talk, Words};
use super::{leftovers, standard};

/// Where the result goes.
#[derive(Debug, Args)]
pub struct Output {
    /// File to write; written beside it first and then renamed, never torn. `-` is standard output;
    /// the report then goes to standard error.
    #[arg(short, long, value_name = "OUT")]
    pub output: PathBuf,
    /// Replace OUT when it exists.
    #[arg(long)]
    pub force: bool,
    /// Keep weights in a file of their own beside OUT; the default when the input does, and for
    /// models beyond 2 GB.
    #[arg(long)]
    pub external_data: bool,
    /// Keep weights in OUT itself; the default when the input does.
    #[arg(long, conflicts_with = "external_data")]
    pub inline_data: bool,
}

/// How samples become inputs.
#[derive(Debug, Args)]
pub struct Preprocessing {
    /// Use only the first N samples; of images in class folders, as many of each class as possible.
    #[arg(long, value_name = "N")]
    pub samples: Option<usize>,
    /// A recipe by name: `imagenet` (--resize 256 --crop 224 --scale 1/255 --mean 0.485,0.456,0.406
    /// --std 0.229,0.224,0.225), `tf` (--scale 1/127.5 --mean 1) or `unit` (--scale 1/255). Options
    /// beside it replace its parts; --resize or --crop replaces both of them.
    #[arg(long, value_name = "NAME")]
    pub preprocess: Option<Preset>,
    /// Scale images: the shorter side to N pixels, or both sides to HxW (height x width).
    #[arg(long, value_name = "N|HxW")]
    pub resize: Option<Resize>,
    /// Cut this size out of the middle of images, after --resize.
    #[arg(long, value_name = "N|HxW")]
    pub crop: Option<Size>,
    /// Multiply every value, e.g. 1/255.
    #[arg(long, value_name = "X", value_parser = parse_number)]
    pub scale: Option<f64>,
    /// Subtract after scaling: one number, or one for each channel, e.g. 0.485,0.456,0.406.
    #[arg(long, value_name = "X,…", value_parser = parse_numbers, allow_hyphen_values = true)]
    pub mean: Option<Numbers>,
    /// Divide after that: one number, or one for each channel.
    #[arg(long, value_name = "X,…", value_parser = parse_numbers)]
    pub std: Option<Numbers>,
    /// Layout of the samples in the file: nchw or nhwc. Images have none; for them it is the layout
    /// that the model takes, needed only if its extents leave that open.
    #[arg(long, value_name = "LAYOUT")]
    pub layout: Option<Layout>,
    /// Order of the colours that the model wants, for RGB samples: rgb or bgr.
    #[arg(long, value_name = "ORDER", default_value = "rgb")]
    pub channels: Channels,
    /// Seed of `random:N`.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    #[command(flatten)]
    pub limits: SampleLimits,
}

/// One number for each channel; the alias keeps clap from taking a list of arguments.
pub type Numbers = Vec<f64>;

impl Preprocessing {
    /// Opens samples that may or may not hold the array of labels.
    pub fn open_unlabelled(
        &self,
        data: &Path,
        labels: Option<&str>,
        original: &Loaded,
    ) -> Result<Samples> {
        let labelled = labels.and_then(|labels| self.open(data, Some(labels), original).ok());
        labelled.map_or_else(|| self.open(data, None, original), Ok)
    }

    /// Opens samples for the inputs of a model.
    pub fn open(&self, data: &Path, labels: Option<&str>, original: &Loaded) -> Result<Samples> {
        let options = Options {
            labels: labels.map(ToOwned::to_owned),
            samples: self.samples,
            preprocess: Preprocess {
                preset: self.preprocess,
                scale: self.scale,
                mean: self.mean.clone().unwrap_or_default(),
                std: self.std.clone().unwrap_or_default(),
                layout: self.layout,
                channels: self.channels,
                resize: self.resize,
                crop: self.crop,
            },
            limits: self.limits.options(),
            seed: self.seed,
            ..Options::default()
        };
        onnxpress::samples(original, data, &options)
    }
}

/// Says what is odd about what a model is fed, before any work is done.
pub fn say_fed<'a>(all: impl IntoIterator<Item = &'a Samples>, words: &Words) -> Result<()> {
    let mut said = Vec::new();
    for samples in all {
        let fed = samples.fed()?;
        let notes = fed.renamed().filter(|_| !words.quiet).map(|note| format!("note: {note}"));
        let warnings = fed.warnings.iter().map(|warning| format!("warning: {warning}"));
        for line in notes.chain(warnings) {
            if !said.contains(&line) {
                eprintln!("{line}");
                said.push(line);
            }
        }
    }
    Ok(())
}

/// Prints to standard output, or to standard error when the result goes there; a reader that has gone away is
/// no error.
pub fn print(text: &str) -> Result<()> {
    if standard::is_taken() {
        let _ = std::io::stderr().lock().write_all(text.as_bytes());
        return Ok(());
    }
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Error::new(ErrorKind::Io, format!("standard output: {error}")))
        }
        _ => Ok(()),
    }
}

/// Prints a report; in a terminal its lines fit.
pub fn show(report: &impl std::fmt::Display) -> Result<()> {
    let text = report.to_string();
    match terminal_width() {
        Some(width) => print(&report::fit(&text, width.max(NARROWEST))),
        None => print(&text),
    }
}

/// Columns below which tables are folded no further.
const NARROWEST: usize = 40;
/// Columns of a terminal that does not say how wide it is.
const USUAL_WIDTH: usize = 80;

/// Columns of standard output; `None` when it is no terminal.
fn terminal_width() -> Option<usize> {
    let out = std::io::stdout();
    if !out.is_terminal() || standard::is_taken() {
        return None;
    }
    #[cfg(unix)]
    let width = rustix::termios::tcgetwinsize(&out).map_or(0, |size| usize::from(size.ws_col));
    #[cfg(not(unix))]
    let width = 0;
    Some(if width > 0 { width } else { USUAL_WIDTH })
}

/// The report of a command as JSON, with its schema.
pub fn report_json(command: &str, report: &impl serde::Serialize) -> Result<String> {
    json(&report::versioned(command, report)?)
}

/// Anything as JSON.
pub fn json(report: &impl serde::Serialize) -> Result<String> {
    serde_json::to_string_pretty(report)
        .map(|text| text + "\n")
        .map_err(|error| Error::new(ErrorKind::Engine, format!("no JSON: {error}")))
}

/// Reads a model and prints what the reader noticed.
pub fn load(path: &Path, words: &Words) -> Result<Loaded> {
    let loaded = if standard::is(path) { standard::model()? } else { read::file(path)? };
    if !words.quiet {
        for note in &loaded.notes {
            eprintln!("note: {}: {note}", path.display());
        }
    }
    Ok(loaded)
}

/// Writes a result and its page, and shows the report; `before` says what must be said before it.
pub fn deliver<R: Serialize + std::fmt::Display>(
    output: &Output,
    page: &ReportFile,
    talk: &Talk,
    (command, outcome): (&str, &Outcome<R>),
    before: impl FnOnce(),
) -> Result<Ended> {
    output.save(&outcome.encoded)?;
    page.write(command, &outcome.report, output.overwrite())?;
    if talk.json {
        print(&report_json(command, &outcome.report)?)?;
    } else {
        before();
        show(&outcome.report)?;
    }
    Ok(if outcome.passed() { Ended::Done } else { Ended::Missed })
}

impl Output {
    /// What the input and the output are called in reports.
    pub fn named(&self, input: &Path) -> (String, String) {
        (input.display().to_string(), self.output.display().to_string())
    }

    /// Refuses an output that exists or cannot be written, before any work is done. `json` says that the report
    /// goes to standard output.
    pub fn check(&self, input: &Path, json: bool) -> Result<()> {
        if standard::is(&self.output) {
            if self.external_data {
                let text = "weights cannot go beside standard output";
                let error = Error::new(ErrorKind::Usage, text);
                return Err(error.help("leave out --external-data, or name a file with -o"));
            }
            return standard::take(json);
        }
        let same = |a: &Path, b: &Path| match (a.canonicalize(), b.canonicalize()) {
            (Ok(a), Ok(b)) => a == b,
            _ => false,
        };
        if !standard::is(input) && same(&self.output, input) {
            return Err(Error::new(ErrorKind::Usage, "is the input; it is never overwritten")
                .in_file(&self.output)
                .help("choose another name with -o"));
        }
        emit::refuse_existing(&self.output, self.overwrite())
    }

    /// The result as it will be written. `external` tells how the input keeps its weights.
    pub fn encode(&self, model: &Model, external: bool) -> Result<Encoded> {
        let verified = model.verify().map_err(Error::from)?;
        if standard::is(&self.output) {
            let model = emit::onnx(verified)
                .map_err(|error| error.help("name a file with -o: weights then go beside it"))?;
            return Ok(Encoded { model, data: None });
        }
        if !self.external_data && (self.inline_data || !external) {
            match emit::onnx(verified) {
                Err(error) if error.kind == ErrorKind::Limit && !self.inline_data => {}
                inline => return Ok(Encoded { model: inline?, data: None }),
            }
        }
        let name = self.output.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let encoded = emit::with_external_data(verified, &format!("{name}.data"))?;
        match &encoded.data {
            // Another model may need that file: this one gets a name after its contents.
            Some((location, data)) if self.is_foreign(location, data) => {
                let digest = data.digest();
                emit::with_external_data(verified, &format!("{name}.{digest:016x}.data"))
            }
            _ => Ok(encoded),
        }
    }

    /// Whether a data file is there that is not the one to be written.
    fn is_foreign(&self, location: &str, data: &Rope) -> bool {
        let path = self.output.with_file_name(location);
        let own = || leftovers::of(&self.output).contains(&path) && emit::holds(&path, data);
        path.symlink_metadata().is_ok() && !own()
    }

    /// Writes the result. Data files that a model which is replaced leaves behind are removed.
    pub fn save(&self, encoded: &Encoded) -> Result<()> {
        if standard::is(&self.output) {
            return standard::write(&encoded.model);
        }
        let mut left = if self.force { leftovers::of(&self.output) } else { BTreeSet::new() };
        emit::write(&self.output, encoded, self.overwrite())?;
        if let Some((location, _)) = &encoded.data {
            left.remove(&self.output.with_file_name(location));
        }
        for path in left {
            // It is only in the way.
            let _ = std::fs::remove_file(path);
        }
        Ok(())
    }

    /// Whether files may be replaced.
    pub fn overwrite(&self) -> Overwrite {
        if self.force { Overwrite::Replace } else { Overwrite::Never }
    }
}

/// What stands in a JSON file under `keys`, one within the other: a report, or that part of it alone.
///
/// # Errors
/// When the file cannot be read, or holds something else than was `expected`.
pub fn part_of_report<T: serde::de::DeserializeOwned>(
    path: &Path,
    keys: &[&str],
    expected: &str,
) -> Result<T> {
    let text = std::fs::read_to_string(path).map_err(|error| in_report(path, error))?;
    let json: serde_json::Value =
        serde_json::from_str(&text).map_err(|error| in_report(path, error))?;
    let found = keys.iter().fold(&json, |found, key| found.get(key).unwrap_or(found));
    serde_json::from_value(found.clone()).map_err(|error| {
        in_report(path, format!("expected {expected} as the report gives them: {error}"))
    })
}

/// What is wrong with a report that was given back.
pub fn in_report(path: &Path, text: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Usage, format!("{}: {text}", path.display()))
}
