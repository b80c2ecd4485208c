//! The only mutable picture of a model; every edit keeps its invariants.
//!
//! One store for each model, typed ids, names are data. A graph output is a [`Use`], and so is a
//! value captured by an If, Loop or Scan body: "is it still needed?" is `uses().is_empty()`.

mod attr;
mod axis;
mod body;
mod build;
mod edit;
mod function;
mod hidden;
mod hoist;
mod ids;
mod inline;
mod journal;
mod model;
pub(crate) mod names;
mod node;
pub mod ops;
mod part;
pub mod schema;
mod sparse;
mod types;
mod uses;
mod value;
mod verify;
mod walk;

pub use attr::{AttrValue, Attribute};
pub use axis::position;
pub use build::NewNode;
pub use edit::At;
pub(crate) use edit::ir_version_for;
pub use function::Function;
pub use ids::{GraphId, NodeId, ValueId};
pub use inline::{BodySize, Inlined};
pub use model::{BODY_DEPTH, Declared, Graph, GraphOutput, Header, Model};
pub use node::Node;
pub(crate) use node::label;
pub use sparse::Sparse;
pub use types::{Dim, DimSize, TensorType, ValueType};
pub use value::{Constant, Def, Info, Stored, StoredAs, Use, Value};
pub use verify::{Verified, Violation};
