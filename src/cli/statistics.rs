//! Files of statistics.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use clap::Args;
use onnxpress::calibrate::Statistics;
use onnxpress::emit::{self, Overwrite};
use onnxpress::wire::Rope;
use onnxpress::{Error, ErrorKind, Result};

use super::standard;

/// Largest file that is read, in bytes: 256 MiB hold more than ten thousand values.
const LARGEST: u64 = 256 << 20;

/// Where statistics go.
#[derive(Debug, Args)]
pub struct Output {
    /// File of statistics to write; never torn. `-` is standard output.
    #[arg(short, long, value_name = "STATS")]
    output: PathBuf,
    /// Replace STATS when it exists.
    #[arg(long)]
    force: bool,
}

impl Output {
    /// Refuses an output that exists, before any work is done.
    pub fn check(&self) -> Result<()> {
        if standard::is(&self.output) {
            return standard::take(false);
        }
        emit::refuse_existing(&self.output, self.overwrite())
    }

    /// Writes statistics.
    pub fn save(&self, statistics: &Statistics) -> Result<()> {
        let mut content = Rope::default();
        content.push(&Bytes::from(statistics.to_json()?));
        if standard::is(&self.output) {
            return standard::write(&content);
        }
        emit::save(&self.output, &content, self.overwrite())
    }

    fn overwrite(&self) -> Overwrite {
        if self.force { Overwrite::Replace } else { Overwrite::Never }
    }
}

/// Reads statistics.
pub fn load(path: &Path) -> Result<Statistics> {
    let io = |error: std::io::Error| Error::io(path, &error);
    let refuse = |kind, message: String| Err(Error::new(kind, message).in_file(path));
    // A pipe would block.
    if !fs::metadata(path).map_err(io)?.is_file() {
        return refuse(ErrorKind::Io, "is no regular file".to_owned());
    }
    let mut text = Vec::new();
    File::open(path).map_err(io)?.take(LARGEST + 1).read_to_end(&mut text).map_err(io)?;
    if text.len() as u64 > LARGEST {
        return refuse(ErrorKind::Limit, format!("has more than {LARGEST} bytes"));
    }
    let Ok(text) = String::from_utf8(text) else {
        return refuse(ErrorKind::Format, "is no file of statistics: it is not UTF-8".to_owned());
    };
    Statistics::from_json(&text).map_err(|error| error.in_file(path))
}
