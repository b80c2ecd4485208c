//! `--report`: the report as a page.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use clap::Args;
use onnxpress::emit::{self, Overwrite};
use onnxpress::report::html::Page;
use onnxpress::wire::Rope;
use onnxpress::{Error, ErrorKind, Result};
use serde::Serialize;

/// Where the page goes.
#[derive(Debug, Clone, Args)]
pub struct ReportFile {
    /// Write the report as one HTML page, too: figures, what was done and declined, tables, histograms,
    /// and the command line. It needs no network and no script.
    #[arg(long = "report", alias = "html", value_name = "OUT.html")]
    file: Option<PathBuf>,
}

impl ReportFile {
    /// Whether a page is wanted: then it shows more than the text does.
    pub fn is_wanted(&self) -> bool {
        self.file.is_some()
    }

    /// Refuses a page that exists or is one of the other files, before any work is done.
    pub fn check(&self, others: &[&Path], overwrite: Overwrite) -> Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        if others.iter().any(|other| is_same(file, other)) {
            return Err(Error::new(ErrorKind::Usage, "is a model; the report needs another name")
                .in_file(file)
                .help("choose another name with --report"));
        }
        emit::refuse_existing(file, overwrite)
    }

    /// Writes the page of a report, when one is wanted.
    pub fn write(
        &self,
        command: &str,
        report: &impl Serialize,
        overwrite: Overwrite,
    ) -> Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        let line = command_line(std::env::args());
        let page = Page { command, line: &line, version: env!("CARGO_PKG_VERSION") };
        let mut content = Rope::default();
        content.push(&Bytes::from(page.of(report)?));
        emit::save(file, &content, overwrite)
    }
}

/// Whether two names lead to one file, or would when it exists.
fn is_same(a: &Path, b: &Path) -> bool {
    place(a) == place(b)
}

/// A path without links and dots, as far as it exists.
fn place(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = parent.unwrap_or(Path::new(".")).canonicalize().unwrap_or_default();
        parent.join(path.file_name().unwrap_or_default())
    })
}

/// Arguments as a shell takes them.
fn command_line(arguments: impl Iterator<Item = String>) -> String {
    let words: Vec<String> = arguments.skip(1).map(|word| quoted(&word)).collect();
    format!("onnxpress {}", words.join(" "))
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./=:,%+@".contains(c);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_file_has_many_names() {
        assert!(is_same(Path::new("new.onnx"), Path::new("./new.onnx")));
        assert!(is_same(Path::new("src/../Cargo.toml"), Path::new("Cargo.toml")));
        assert!(!is_same(Path::new("new.onnx"), Path::new("src/new.onnx")));
    }

    #[test]
    fn lines_can_be_repeated() {
        let words =
            ["/bin/onnxpress", "quantize", "a b.onnx", "--exclude", "it's*", "--scale", "1/255"];
        let line = command_line(words.into_iter().map(str::to_owned));
        assert_eq!(line, r"onnxpress quantize 'a b.onnx' --exclude 'it'\''s*' --scale 1/255");
    }
}
