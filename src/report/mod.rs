//! Shows what was done: each report is one structure, JSON and text are views of it.

mod comparison;
mod compression;
mod diff;
mod inspection;
mod simplification;
mod text;

pub use comparison::{ComparisonReport, Latency, OutputReport, Pair, Top};
pub use compression::{CompressionReport, IntegerPort, StepReport};
pub use diff::{ChangeReport, Count, DiffReport, DistanceReport};
pub use inspection::{InspectionReport, LayerReport, PortReport};
pub use simplification::SimplificationReport;
pub use text::{bytes, decibel, grouped, percent};
