//! `quantize-weights`: see `docs/passes/quantize-weights.md`.
//!
//! `storage` says what weights can be stored as; integers are made by `quantize_static`, `half` makes floats of
//! 16 bits, and `coded` indices into tables. `width` is one of several ways for single layers, which `sites`
//! lists, and `spread` chooses within a budget.

mod coded;
mod half;
mod sites;
mod spread;
mod storage;
mod width;

pub use sites::WeightSite;
pub use spread::{WidthCost, spread_widths};
pub use storage::Storage;
pub use width::Width;

use crate::error::Result;
use crate::ir::Model;
use crate::passes::{Context, Pass, Promise, QuantizeStatic, Report};

/// The first operator set whose Cast knows bfloat16.
const FORMS_OPSET: i64 = 13;

/// Stores weights in fewer bits; the arithmetic stays float.
#[derive(Debug, Clone, Default)]
pub struct QuantizeWeights {
    options: QuantizeStatic,
    storage: Storage,
}

impl QuantizeWeights {
    /// As `options` say, of which only those about weights matter.
    pub fn new(options: QuantizeStatic, storage: Storage) -> Self {
        Self { options: QuantizeStatic { weights_only: true, ..options }, storage }
    }

    /// The operator set that this asks for.
    pub fn opset(&self) -> i64 {
        if self.storage == Storage::Integers { self.options.opset() } else { FORMS_OPSET }
    }
}

impl Pass for QuantizeWeights {
    fn name(&self) -> &'static str {
        "quantize-weights"
    }

    fn summary(&self) -> &'static str {
        "Stores weights in fewer bits; the arithmetic stays float."
    }

    fn promise(&self) -> Promise {
        Promise::Lossy
    }

    fn run(&self, model: &mut Model, cx: &Context<'_>) -> Result<Report> {
        let options = QuantizeStatic { weights_only: true, ..self.options.clone() };
        if self.storage == Storage::Integers {
            return options.run(model, cx);
        }
        let mut report = Report::default();
        let opset = model.opset_in_force();
        if opset < FORMS_OPSET {
            report.refuse(
                "model",
                format!("its opset is {opset}; {} need {FORMS_OPSET}", self.storage),
            );
            return Ok(report);
        }
        match (self.storage, self.storage.alphabet()) {
            (Storage::Half(dtype), _) => half::apply(model, dtype, &options, &mut report),
            (storage, Some(alphabet)) => {
                coded::apply(model, (storage, alphabet), &options, cx, &mut report)?;
            }
            _ => {}
        }
        Ok(report)
    }
}
