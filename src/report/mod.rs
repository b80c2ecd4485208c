//! Shows what was done: each report is one structure, JSON and text are views of it.

mod allocation;
mod assignment;
mod calibration;
mod channels;
mod comparison;
mod compression;
mod diff;
mod distillation;
mod drifts;
mod factorization;
mod fall_back;
pub mod html;
mod inspection;
mod latency;
mod layers;
mod methods;
mod possibility;
mod profile;
mod pruning;
mod schema;
mod simplification;
mod text;
mod weights;

pub use allocation::{GroupShare, PruningStep, SparsityReport, StaysDense, StorageReport, Tried};
pub use assignment::{AssignedLayerReport, AssignmentReport, TriedWidth};
pub use calibration::ChoiceReport;
pub use channels::{ChannelsReport, FrozenReport, GroupReport, MemberReport};
pub use comparison::{
    ClassesReport, ComparisonReport, InputReport, OutputReport, POOR_DB, Pair, SliceReport, Source,
    Top, UnlikeReport,
};
pub use compression::{CompressionReport, IntegerPort, StepReport};
pub use diff::{ChangeReport, Count, DiffReport, DistanceReport};
pub use distillation::{
    DistillationReport, HeldOutReport, MomentReport, MovedReport, NotTrainedReport,
};
pub use drifts::{LayersReport, SampleReport, ValueReport};
pub use factorization::{BudgetReport, FactorizationReport, SplitLayer, SplitReport, ranks};
pub use fall_back::{FallBackReport, Layer};
pub use inspection::{InspectionReport, LayerReport, PortReport};
pub use latency::{Latency, Parallel};
pub use layers::QuantizedLayerReport;
pub use methods::{CalibratedReport, EqualizedReport, MethodReport, MethodsReport};
pub use possibility::PossibilityReport;
pub use profile::{NodeTimeReport, OperatorTimeReport, ProfileReport};
pub use pruning::PruningReport;
pub use schema::{SCHEMA, versioned};
pub use simplification::{Broken, Parts, SimplificationReport};
pub use text::{bytes, decibel, fit, grouped, percent};
pub use weights::WeightReport;
