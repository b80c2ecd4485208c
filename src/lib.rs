//! onnxpress makes ONNX models smaller and faster, and proves by execution that they still work.
//!
//! A model is [`read`] into the [`ir`], edited by [`passes`] that the [`pipeline`] runs and checks,
//! [verified](ir::Model::verify), and turned into bytes by [`emit`]. Beside that line, [`exec`]
//! runs models, [`data`] makes their inputs from files, [`calibrate`] measures, and [`validate`]
//! compares. `docs/ARCHITECTURE.md` describes these rooms and who may use whom.
//!
//! # Load, compress, validate, save
//!
//! ```
//! use std::path::Path;
//!
//! use onnxpress::calibrate::Calibration;
//! use onnxpress::data::{Options, Preprocess, Samples};
//! use onnxpress::emit::{self, Overwrite};
//! use onnxpress::exec::Tract;
//! use onnxpress::passes::Context;
//! use onnxpress::pipeline::{self, Check};
//! use onnxpress::compress::QuantizePasses;
//! use onnxpress::{Error, read, validate};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // Load. Weights stay windows of the mapped file.
//! let original = read::file(Path::new("fixtures/digits_mlp.onnx"))?;
//!
//! // Samples for its input, float [1, 1, 8, 8]: grey values from 0 to 16, divided by 16.
//! let inputs = pipeline::inputs(&original.model)?;
//! let preprocess = Preprocess { scale: Some(1.0 / 16.0), ..Preprocess::default() };
//! let options = Options { preprocess, ..Options::default() };
//! let calib = Path::new("fixtures/digits_calib.npz");
//! let calib = Samples::open(calib, &inputs, &options)?;
//!
//! // Compress. Passes ask for measured ranges through the context; each pass is checked by
//! // running the model before and after it, and taken back when it breaks its promise.
//! let calibration = Calibration { engine: &Tract, samples: &calib, progress: &() };
//! let context = Context { evaluate: Some(&Tract), measure: Some(&calibration), ..Context::default() };
//! let check = Check::on(&Tract, &calib, 4)?;
//! let int8 = QuantizePasses::default();
//! let finished = compress::quantized(original.model.clone(), &int8, &context, Some(&check))?;
//! let encoded = emit::onnx(finished.model.verify().map_err(Error::from)?)?;
//! assert!((encoded.len() as u64) < original.byte_size / 2);
//!
//! // Validate what will be written, read again, on labelled samples that calibration never saw.
//! let result = read::bytes(encoded.to_bytes())?.model;
//! let options = Options { labels: Some("y".into()), ..options };
//! let test = Samples::open(Path::new("fixtures/digits_test.npz"), &inputs, &options)?;
//! let top1 = validate::Options { top: vec![1], ..validate::Options::default() };
//! let comparison = validate::compare(&Tract, &original.model, &result, &test, &top1)?;
//! let (_, counts) = comparison.accuracy[0];
//! let score = counts.score();
//! assert!(comparison.worst_sqnr_db() > 30.0);
//! assert!(score.candidate >= score.original - 0.01);
//!
//! // Save: written beside the target, then renamed.
//! let folder = tempfile::tempdir()?;
//! emit::save(&folder.path().join("digits.int8.onnx"), &encoded, Overwrite::Never)?;
//! # Ok(())
//! # }
//! ```

pub mod analysis;
pub mod calibrate;
pub mod compress;
pub mod data;
mod disk;
pub mod distill;
pub mod emit;
pub mod error;
pub mod exec;
pub mod grad;
pub mod ir;
pub mod math;
pub mod passes;
pub mod pipeline;
pub mod proto;
pub mod read;
pub mod report;
pub mod tensor;
pub mod validate;
pub mod verbs;
pub mod wire;

pub use error::{Error, ErrorKind, Result};
pub use verbs::{
    CompareOptions, Data, DistillOptions, FactorizeOptions, Outcome, PruneOptions, QuantizeOptions,
    SimplifyOptions, compare, distill, factorize, prune, quantize, simplify,
};
