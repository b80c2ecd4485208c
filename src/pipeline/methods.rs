//! Whether methods that choose integers by what layers read are worth it for the model as a whole.

use crate::error::Result;
use crate::pipeline::trial::{FloatLayers, Trials};

/// Outputs of a quantized model on held-out samples, without and with such methods.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Gain {
    /// Smallest signal-to-noise ratio without them, in decibel.
    pub without_db: f64,
    /// The same with them.
    pub with_db: f64,
}

impl Gain {
    /// Compares the outputs `with_db` with those of what `plain` quantizes without such methods, the same
    /// layers computing with floats.
    ///
    /// # Errors
    /// When a trial fails.
    pub fn of(plain: &Trials<'_>, layers: &FloatLayers, with_db: f64) -> Result<Self> {
        Ok(Self { without_db: plain.without(layers)?.sqnr_db, with_db })
    }

    /// The model as a whole got no worse.
    pub fn is_kept(self) -> bool {
        self.with_db >= self.without_db
    }
}
