//! Whether methods that choose integers by what layers read are worth it for the model as a whole.

/// Outputs of a quantized model on held-out samples, without and with such methods.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Gain {
    /// Smallest signal-to-noise ratio without them, in decibel.
    pub without_db: f64,
    /// The same with them.
    pub with_db: f64,
}

impl Gain {
    /// The model as a whole got no worse.
    pub fn is_kept(self) -> bool {
        self.with_db >= self.without_db
    }
}
