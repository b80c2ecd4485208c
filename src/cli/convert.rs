//! `convert` and `print`.

use std::path::PathBuf;

use clap::Args;
use onnxpress::emit::{self, Elements, TextOptions};
use onnxpress::{Error, Result};

use super::{EXIT_STATUS, Ended, Words, io};

/// Arguments of `convert`.
#[derive(Debug, Args)]
#[command(after_help = format!("Examples:
  onnxpress convert model.onnx -o copy.onnx
  onnxpress convert model.onnx --external-data -o small.onnx

{EXIT_STATUS}"))]
pub struct Convert {
    /// Model to read.
    model: PathBuf,
    #[command(flatten)]
    output: io::Output,
    #[command(flatten)]
    words: Words,
}

impl Convert {
    pub fn run(self) -> Result<Ended> {
        self.output.check(&self.model)?;
        let loaded = io::load(&self.model, &self.words)?;
        let encoded = self.output.encode(&loaded.model, loaded.external)?;
        self.output.save(&encoded)?;
        Ok(Ended::Done)
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
