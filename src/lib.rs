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
//! use onnxpress::data::{Options, Preprocess};
//! use onnxpress::emit::Overwrite;
//! use onnxpress::{Data, QuantizeOptions, read};
//!
//! # fn main() -> onnxpress::Result<()> {
//! // Load. Weights stay windows of the mapped file.
//! let original = read::file(Path::new("fixtures/digits_mlp.onnx"))?;
//!
//! // Samples for its input, float [1, 1, 8, 8]: grey values from 0 to 16, divided by 16.
//! let preprocess = Preprocess { scale: Some(1.0 / 16.0), ..Preprocess::default() };
//! let options = Options { labels: Some("y".into()), preprocess, ..Options::default() };
//! let open = |file: &str| onnxpress::samples(&original, Path::new(file), &options);
//! let (calib, test) = (open("fixtures/digits_calib.npz")?, open("fixtures/digits_test.npz")?);
//!
//! // Compress. Passes are checked by running the model before and after, and what is written is compared with the
//! // original on samples that nothing was chosen by.
//! let data = Data { test: Some(&test), ..Data::of(&calib) };
//! let outcome = onnxpress::quantize(&original, &QuantizeOptions::default(), &data)?;
//! assert!((outcome.encoded.len() as u64) < original.byte_size / 2);
//!
//! // Validate.
//! let judged = outcome.report.test.as_ref().expect("there are test samples");
//! let top1 = &judged.accuracy["top1"];
//! assert!(outcome.passed() && judged.outputs[0].sqnr_db > 30.0);
//! assert!(top1.candidate >= top1.original - 0.01);
//!
//! // Save: written beside the target, then renamed.
//! # let folder = tempfile::tempdir().expect("a folder");
//! outcome.save(&folder.path().join("digits.int8.onnx"), Overwrite::Never)?;
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
    SimplifyOptions, compare, distill, factorize, prune, quantize, samples, simplify,
};
