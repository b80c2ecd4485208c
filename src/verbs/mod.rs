//! One function for each thing that can be done to a model: options and data in, the result with its report out.
//!
//! The command is a caller of these, and adds nothing but words: what it writes, a program gets from one call with
//! the same options.

mod bounds;
mod budget;
mod collect;
mod compare;
mod data;
mod deployed;
mod distill;
mod factorize;
mod figures;
mod outcome;
mod prune;
mod quantize;
mod simplify;
mod undone;
mod warnings;

pub use bounds::Bounds;
pub use budget::Remaining;
pub use collect::collect;
pub use compare::{CompareOptions, compare};
pub use data::{CHECK_RUNS, Data, Encode, Host, samples};
pub use deployed::check_deployed;
pub use distill::{DistillOptions, distill};
pub use factorize::{FactorizeOptions, Goal, factorize};
pub use outcome::Outcome;
pub use prune::{PruneOptions, Sparsity, Spreading, prune};
pub use quantize::{
    Accuracy, Kind, Mixed, MixedAim, Mode, QuantizeOptions, Scheme, WeightType, quantize,
};
pub use simplify::{SimplifyOptions, simplify};
