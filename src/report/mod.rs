//! Shows what was done: each report is one structure, JSON and text are views of it.

mod calibration;
mod comparison;
mod compression;
mod diff;
mod fall_back;
mod inspection;
mod methods;
mod simplification;
mod text;

pub use calibration::ChoiceReport;
pub use comparison::{ComparisonReport, Latency, OutputReport, Pair, Top};
pub use compression::{CompressionReport, IntegerPort, StepReport};
pub use diff::{ChangeReport, Count, DiffReport, DistanceReport};
pub use fall_back::{FallBackReport, Layer};
pub use inspection::{InspectionReport, LayerReport, PortReport};
pub use methods::{MethodReport, MethodsReport};
pub use simplification::{Broken, Parts, SimplificationReport};
pub use text::{bytes, decibel, grouped, percent};
