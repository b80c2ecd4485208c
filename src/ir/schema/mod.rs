//! What ONNX says about its operators: arity, attributes and element types, for every version.
//!
//! The table is `operators.txt`, made by `make_operators.py` and parsed once.

mod table;

use std::ops::RangeInclusive;
use std::sync::LazyLock;

use crate::ir::AttrValue;
use crate::tensor::DType;

static TABLE: LazyLock<table::Table> =
    LazyLock::new(|| table::Table::parse(include_str!("operators.txt")));

/// One version of an operator.
#[derive(Debug)]
pub struct Schema {
    /// Operator type.
    pub op: &'static str,
    /// The version of the operator set that introduced this version of the operator.
    pub since: i64,
    /// From this version on the operator should not be used any more.
    pub deprecated: bool,
    /// How many inputs a node may list, left-out ones included.
    pub input_count: RangeInclusive<usize>,
    /// How many outputs a node may list, left-out ones included.
    pub output_count: RangeInclusive<usize>,
    /// Inputs in order; only the last one can be variadic.
    pub inputs: Vec<Formal>,
    /// Outputs in order; only the last one can be variadic.
    pub outputs: Vec<Formal>,
    /// Attributes, sorted by name.
    pub attributes: Vec<AttrSpec>,
}

/// An input or output of an operator.
#[derive(Debug)]
pub struct Formal {
    /// Name.
    pub name: &'static str,
    /// Whether it must be given, and how often.
    pub role: Role,
    /// The type variable; all that share it have the same type.
    pub variable: Option<&'static str>,
    /// The types allowed.
    pub types: Types,
}

/// Whether an input or output must be given, and how often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Exactly once.
    Required,
    /// It may be left out.
    Optional,
    /// Any number, all of one type.
    Variadic,
    /// Any number of mixed types.
    Mixed,
}

/// A set of types of values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Types(u64);

/// An attribute of an operator.
#[derive(Debug)]
pub struct AttrSpec {
    /// Name.
    pub name: &'static str,
    /// Type of its value.
    pub kind: AttrKind,
    /// Whether every node must have it.
    pub required: bool,
}

macro_rules! kinds {
    ($($name:ident, $code:literal, $text:literal;)*) => {
        /// Type of an attribute's value, as in `AttributeProto.AttributeType`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum AttrKind { $(#[doc = concat!("`", $text, "`.")] $name,)* }

        impl AttrKind {
            /// Name in `AttributeProto.AttributeType`.
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// The kind with this name in `AttributeProto.AttributeType`.
            pub fn from_name(name: &str) -> Option<Self> {
                match name { $($text => Some(Self::$name),)* _ => None }
            }

            /// The kind that `operators.txt` writes as `code`.
            fn from_code(code: &str) -> Option<Self> {
                match code { $($code => Some(Self::$name),)* _ => None }
            }
        }
    };
}

kinds! {
    Float, "f", "FLOAT";
    Int, "i", "INT";
    String, "s", "STRING";
    Tensor, "t", "TENSOR";
    Graph, "g", "GRAPH";
    TypeProto, "y", "TYPE_PROTO";
    SparseTensor, "p", "SPARSE_TENSOR";
    Floats, "F", "FLOATS";
    Ints, "I", "INTS";
    Strings, "S", "STRINGS";
    Tensors, "T", "TENSORS";
    Graphs, "G", "GRAPHS";
    TypeProtos, "Y", "TYPE_PROTOS";
    SparseTensors, "P", "SPARSE_TENSORS";
}

impl AttrKind {
    /// The kind of a value, for a reference that of what it refers to; `None` for what the IR
    /// carries without modelling.
    pub fn of(value: &AttrValue) -> Option<Self> {
        Some(match value {
            AttrValue::Float(_) => Self::Float,
            AttrValue::Int(_) => Self::Int,
            AttrValue::String(_) => Self::String,
            AttrValue::Tensor(_) => Self::Tensor,
            AttrValue::Graph(_) => Self::Graph,
            AttrValue::Floats(_) => Self::Floats,
            AttrValue::Ints(_) => Self::Ints,
            AttrValue::Strings(_) => Self::Strings,
            AttrValue::Tensors(_) => Self::Tensors,
            AttrValue::Graphs(_) => Self::Graphs,
            AttrValue::Reference { kind, .. } => return *kind,
            AttrValue::Opaque => return None,
        })
    }
}

impl Types {
    /// True when dense tensors of `dtype` are in the set.
    pub fn has(self, dtype: DType) -> bool {
        self.0 & (1 << dtype.to_onnx()) != 0
    }

    /// The element types of the dense tensors in the set.
    pub fn dtypes(self) -> impl Iterator<Item = DType> {
        DType::ALL.iter().copied().filter(move |&dtype| self.has(dtype))
    }
}

impl Formal {
    /// True when it may be given any number of times.
    pub fn is_variadic(&self) -> bool {
        matches!(self.role, Role::Variadic | Role::Mixed)
    }
}

/// The entry for `slot`, counting a variadic last one as often as needed.
fn at(formals: &[Formal], slot: usize) -> Option<&Formal> {
    formals.get(slot).or_else(|| formals.last().filter(|last| last.is_variadic()))
}

impl Schema {
    /// What stands at input `slot`.
    pub fn input(&self, slot: usize) -> Option<&Formal> {
        at(&self.inputs, slot)
    }

    /// What stands at output `slot`.
    pub fn output(&self, slot: usize) -> Option<&Formal> {
        at(&self.outputs, slot)
    }

    /// The attribute `name`.
    pub fn attribute(&self, name: &str) -> Option<&AttrSpec> {
        self.attributes.iter().find(|spec| spec.name == name)
    }
}

/// The version of an operator that is in force when `domain` is imported at `version`: `None` when
/// the domain or the operator is unknown, or the operator is newer.
///
/// A version newer than [`latest_opset`] gives the newest one known.
pub fn find(domain: &str, op: &str, version: i64) -> Option<&'static Schema> {
    in_force(history(domain, op), version)
}

/// Operators of the default domain that ONNX Runtime has at every version, and writes when it optimizes a model.
const EARLY: &[&str] = &["LayerNormalization", "SimplifiedLayerNormalization"];

/// True for an operator that ONNX Runtime has in the default domain at every version, also where ONNX does not
/// define it; where ONNX does, it is the same.
pub fn is_early(domain: &str, op: &str) -> bool {
    canonical(domain) == canonical("") && EARLY.contains(&op)
}

/// The entry of a [`history`] that is in force at `version`.
pub fn in_force(history: &'static [Schema], version: i64) -> Option<&'static Schema> {
    history[..history.partition_point(|schema| schema.since <= version)].last()
}

/// All versions of an operator, oldest first; empty when it is unknown.
pub fn history(domain: &str, op: &str) -> &'static [Schema] {
    let domain = TABLE.domain(canonical(domain));
    domain.and_then(|domain| domain.operators.get(op)).map_or(&[], Vec::as_slice)
}

/// The newest version of `domain` that the table knows; `None` for a domain it does not know.
pub fn latest_opset(domain: &str) -> Option<i64> {
    TABLE.domain(canonical(domain)).map(|domain| domain.latest)
}

/// The one spelling of a domain: the default one is `ai.onnx`, and is also written as nothing.
pub fn canonical(domain: &str) -> &str {
    if domain.is_empty() { "ai.onnx" } else { domain }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_in_force_is_found() {
        let since = |op, version| find("", op, version).map(|schema| schema.since);
        assert_eq!(since("Conv", 1), Some(1));
        assert_eq!(since("Conv", 13), Some(11));
        assert_eq!(since("Conv", 10_000), Some(22));
        assert_eq!(since("Gelu", 19), None);
        assert_eq!(since("NoSuchOperator", 19), None);
        assert_eq!(find("ai.onnx", "Gelu", 20).map(|s| s.since), Some(20));
        assert!(find("ai.onnx.ml", "Scaler", 1).is_some());
        assert!(find("com.example", "Conv", 1).is_none());
        assert!(find("", "Upsample", 10).unwrap().deprecated);
    }

    #[test]
    fn arity_roles_and_types_are_told() {
        let clip = find("", "Clip", 13).unwrap();
        assert_eq!((&clip.input_count, &clip.output_count), (&(1..=3), &(1..=1)));
        assert_eq!(clip.input(0).unwrap().role, Role::Required);
        assert_eq!(clip.input(1).unwrap().role, Role::Optional);
        assert!(clip.input(3).is_none());
        let concat = find("", "Concat", 13).unwrap();
        assert_eq!(*concat.input_count.end(), usize::MAX);
        assert_eq!(concat.input(70).unwrap().name, "inputs");
        let axis = concat.attribute("axis").unwrap();
        assert_eq!((axis.kind, axis.required), (AttrKind::Int, true));
        assert_eq!(find("", "Loop", 13).unwrap().input(5).unwrap().role, Role::Mixed);
        let shape = find("", "Reshape", 13).unwrap().input(1).unwrap();
        assert_eq!(shape.types.dtypes().collect::<Vec<_>>(), [DType::Int64]);
        assert!(find("", "Conv", 11).unwrap().output(0).unwrap().types.has(DType::Float16));
        assert_eq!(find("", "Conv", 11).unwrap().inputs[1].variable, Some("T"));
    }

    #[test]
    fn the_newest_versions_are_told() {
        assert_eq!(latest_opset(""), Some(28));
        assert_eq!(latest_opset("ai.onnx.ml"), Some(5));
        assert_eq!(latest_opset("com.example"), None);
    }
}
