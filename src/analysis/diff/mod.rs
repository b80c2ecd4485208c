//! What differs between two models, node by node and weight by weight.
//!
//! Nodes are paired by the names of their outputs, then by their own names, then by their
//! neighbourhood, so that renaming is told apart from rewriting. The order of initializers, of
//! attributes and of `value_info` says nothing and is ignored.

mod align;
mod carried;
mod describe;
mod function;
mod graph;
mod lookup;
mod node;
mod tensor;

#[cfg(test)]
mod tests;

use std::fmt;

pub use tensor::{Distance, Numeric};

use crate::ir::Model;
use graph::Comparison;

/// The differences between two models `A` and `B`; empty when they are equal.
///
/// It prints one change to a line, without a line for what is equal.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Diff {
    /// The differences: model, then graph by graph from the main one inwards, then the functions.
    pub changes: Vec<Change>,
    /// Nodes of `A` that were paired with one of `B`, changed or not.
    pub matched_nodes: usize,
}

/// What is compared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DiffOptions {
    /// Whether documentation strings and `metadata_props` count; by default they do not.
    pub metadata: bool,
}

/// One difference.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// The body it is in, from the main graph inwards, e.g. `loop1.body > if2.then_branch`; empty
    /// for the main graph. Inside of a function the path starts with it: `function local.f`.
    pub graph: String,
    /// The kind of thing that differs.
    pub subject: Subject,
    /// Its name in `A`, or in `B` when only `B` has it. A node without a name is called after its
    /// first output.
    pub name: String,
    /// The operator of a node, in `A` when both have it.
    pub op: Option<String>,
    /// How it differs.
    pub what: What,
}

/// The kind of thing that differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Subject {
    /// Versions, producer, name and order of a graph.
    Model,
    /// A graph input without a default.
    Input,
    /// A graph output.
    Output,
    /// A node.
    Node,
    /// A constant of the file, overridable or not.
    Initializer,
    /// The declared type of an inner value.
    Value,
    /// A model-local function.
    Function,
}

/// How a thing differs.
#[derive(Debug, Clone, PartialEq)]
pub enum What {
    /// Only `A` has it; its description.
    OnlyInA(String),
    /// Only `B` has it; its description.
    OnlyInB(String),
    /// Both have it, and this item of it differs.
    Changed {
        /// What about it.
        item: Item,
        /// As it is in `A`; `None` when absent there or not shown.
        old: Option<String>,
        /// As it is in `B`; `None` when absent there or not shown.
        new: Option<String>,
        /// How far the elements are apart, for tensors of equal dims.
        distance: Option<Distance>,
    },
}

/// What about a thing differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// Its value: a version, a producer.
    Value,
    /// Its name.
    Name,
    /// The operator of a node, with its domain.
    Operator,
    /// An attribute of a node.
    Attribute(String),
    /// What an input slot of a node reads.
    Input(usize),
    /// The name of a node's output.
    Output(usize),
    /// The type: element type and dims.
    Type,
    /// The elements of a tensor.
    Contents,
    /// Where in the message a tensor's elements stand.
    Storage,
    /// Whether callers may override a constant, or whether it is sparse.
    Role,
    /// The position among the inputs or outputs, or the execution order of nodes.
    Order,
    /// A field that the IR carries without modelling it.
    Field(String),
}

impl Diff {
    /// What differs between `a` and `b`, apart from documentation and metadata.
    pub fn between(a: &Model, b: &Model) -> Self {
        Self::between_with(a, b, DiffOptions::default())
    }

    /// What differs between `a` and `b`. Linear in the size of the models.
    pub fn between_with(a: &Model, b: &Model, options: DiffOptions) -> Self {
        let mut comparison = Comparison::new(a, b, options);
        comparison.header();
        comparison.graphs(String::new());
        comparison.functions();
        comparison.finish()
    }

    /// True when nothing differs.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }
}

impl What {
    /// A change from `old` to `new`.
    fn changed(item: Item, old: Option<String>, new: Option<String>) -> Self {
        Self::Changed { item, old, new, distance: None }
    }

    /// A change of something that both sides show.
    fn turned(item: Item, old: impl Into<String>, new: impl Into<String>) -> Self {
        Self::changed(item, Some(old.into()), Some(new.into()))
    }
}

impl Subject {
    /// All subjects, in the order in which reports show them.
    pub const ALL: [Self; 7] = [
        Self::Model,
        Self::Input,
        Self::Output,
        Self::Node,
        Self::Initializer,
        Self::Value,
        Self::Function,
    ];

    /// One word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Input => "input",
            Self::Output => "output",
            Self::Node => "node",
            Self::Initializer => "initializer",
            Self::Value => "value",
            Self::Function => "function",
        }
    }
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value => f.write_str("value"),
            Self::Name => f.write_str("name"),
            Self::Operator => f.write_str("operator"),
            Self::Attribute(name) => write!(f, "attribute {}", name.escape_debug()),
            Self::Input(slot) => write!(f, "input {slot}"),
            Self::Output(slot) => write!(f, "output {slot}"),
            Self::Type => f.write_str("type"),
            Self::Contents => f.write_str("contents"),
            Self::Storage => f.write_str("storage"),
            Self::Role => f.write_str("role"),
            Self::Order => f.write_str("order"),
            Self::Field(name) => f.write_str(name),
        }
    }
}

/// ``node `conv1` (Conv): attribute pads: [0, 0] -> [1, 1]``, behind `-` (only in A), `+` (only in
/// B) or `~`.
impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = match self.what {
            What::OnlyInA(_) => '-',
            What::OnlyInB(_) => '+',
            What::Changed { .. } => '~',
        };
        write!(f, "{mark} {}", self.subject.name())?;
        if !self.name.is_empty() {
            write!(f, " `{}`", self.name.escape_debug())?;
        }
        if let Some(op) = &self.op {
            write!(f, " ({})", op.escape_debug())?;
        }
        if !self.graph.is_empty() {
            write!(f, " in {}", self.graph.escape_debug())?;
        }
        match &self.what {
            What::OnlyInA(text) | What::OnlyInB(text) if text.is_empty() => Ok(()),
            What::OnlyInA(text) | What::OnlyInB(text) => write!(f, ": {text}"),
            What::Changed { item, old, new, distance } => {
                write!(f, ":")?;
                if *item != Item::Value {
                    write!(f, " {item}:")?;
                }
                let names = matches!(item, Item::Name | Item::Input(_) | Item::Output(_));
                let shown = |side: &Option<String>| match side {
                    None => "none".to_owned(),
                    Some(name) if names => describe::quoted(name),
                    Some(text) => text.clone(),
                };
                match (old.is_some() || new.is_some(), distance) {
                    (true, None) => write!(f, " {} -> {}", shown(old), shown(new)),
                    (true, Some(d)) => write!(f, " {} -> {}; {d}", shown(old), shown(new)),
                    (false, Some(d)) => write!(f, " {d}"),
                    (false, None) => f.write_str(" differs"),
                }
            }
        }
    }
}

impl fmt::Display for Diff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for change in &self.changes {
            writeln!(f, "{change}")?;
        }
        Ok(())
    }
}
