//! The example of README.md: `quantize` from a program, with the bytes of the command.

#![allow(clippy::print_stdout, reason = "it shows the report")]

// example: begin
use std::path::Path;

use onnxpress::data::{Options, Preprocess};
use onnxpress::emit::Overwrite;
use onnxpress::{Data, QuantizeOptions, read};

fn main() -> onnxpress::Result<()> {
    let original = read::file(Path::new("fixtures/digits_mlp.onnx"))?;
    let preprocess = Preprocess { scale: Some(1.0 / 16.0), ..Preprocess::default() };
    let options = Options { preprocess, ..Options::default() };
    let calib = Path::new("fixtures/digits_calib.npz");
    let calib = onnxpress::samples(&original, calib, &options)?;
    let outcome = onnxpress::quantize(&original, &QuantizeOptions::default(), &Data::of(&calib))?;
    print!("{}", outcome.report);
    outcome.save(Path::new("digits.int8.onnx"), Overwrite::Never)
}
// example: end
