//! Attributes of nodes.

use bytes::Bytes;

use crate::ir::schema::AttrKind;
use crate::ir::{GraphId, Stored};
use crate::tensor::Tensor;

/// A named attribute.
#[derive(Debug, Clone)]
pub struct Attribute {
    /// Name, as in the operator's schema.
    pub name: String,
    /// Value.
    pub value: AttrValue,
    /// The type is set but the value's field is absent, as some writers leave out zeros.
    pub(crate) implicit: bool,
    /// The type field is absent, as writers of the first IR versions left it out.
    pub(crate) untyped: bool,
    /// Encoded `AttributeProto` without what the fields above model.
    pub(crate) carried: Bytes,
}

/// Value of an attribute.
#[derive(Debug, Clone)]
pub enum AttrValue {
    /// `FLOAT`.
    Float(f32),
    /// `INT`.
    Int(i64),
    /// `STRING`: bytes, by convention UTF-8.
    String(Bytes),
    /// `TENSOR`.
    Tensor(Stored),
    /// `GRAPH`: a body.
    Graph(GraphId),
    /// `FLOATS`.
    Floats(Vec<f32>),
    /// `INTS`.
    Ints(Vec<i64>),
    /// `STRINGS`.
    Strings(Vec<Bytes>),
    /// `TENSORS`.
    Tensors(Vec<Stored>),
    /// `GRAPHS`.
    Graphs(Vec<GraphId>),
    /// The value of an attribute of the function around the node: what the call gives, else the
    /// function's default, else as if it were left out.
    Reference {
        /// Name of the function's attribute.
        name: String,
        /// Kind of the value; `None` when the file does not say.
        kind: Option<AttrKind>,
    },
    /// Sparse tensors and types: in the carried bytes.
    Opaque,
}

impl Attribute {
    /// An attribute `name` with `value`.
    pub fn new(name: impl Into<String>, value: impl Into<AttrValue>) -> Self {
        Self {
            name: name.into(),
            value: value.into(),
            implicit: false,
            untyped: false,
            carried: Bytes::new(),
        }
    }

    /// Whether two attributes say the same, bit by bit; how they are stored does not matter.
    pub fn is_same(&self, other: &Self) -> bool {
        use AttrValue as A;
        let bits = |xs: &[f32]| xs.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        let tensors = |xs: &[Stored], ys: &[Stored]| {
            xs.iter().map(|x| &x.tensor).eq(ys.iter().map(|y| &y.tensor))
        };
        self.name == other.name
            && match (&self.value, &other.value) {
                (A::Float(a), A::Float(b)) => a.to_bits() == b.to_bits(),
                (A::Int(a), A::Int(b)) => a == b,
                (A::String(a), A::String(b)) => a == b,
                (A::Tensor(a), A::Tensor(b)) => a.tensor == b.tensor,
                (A::Graph(a), A::Graph(b)) => a == b,
                (A::Floats(a), A::Floats(b)) => bits(a) == bits(b),
                (A::Ints(a), A::Ints(b)) => a == b,
                (A::Strings(a), A::Strings(b)) => a == b,
                (A::Tensors(a), A::Tensors(b)) => tensors(a, b),
                (A::Graphs(a), A::Graphs(b)) => a == b,
                (A::Reference { name: a, .. }, A::Reference { name: b, .. }) => a == b,
                (A::Opaque, A::Opaque) => self.carried == other.carried,
                _ => false,
            }
    }
}

impl AttrValue {
    /// The bodies it holds.
    pub fn graphs(&self) -> &[GraphId] {
        match self {
            Self::Graph(graph) => std::slice::from_ref(graph),
            Self::Graphs(graphs) => graphs,
            _ => &[],
        }
    }
}

macro_rules! from {
    ($($source:ty => $variant:ident, $value:ident => $into:expr;)*) => {
        $(impl From<$source> for AttrValue {
            fn from($value: $source) -> Self {
                Self::$variant($into)
            }
        })*
    };
}

from! {
    f32 => Float, x => x;
    i64 => Int, x => x;
    &str => String, x => Bytes::copy_from_slice(x.as_bytes());
    Tensor => Tensor, x => x.into();
    GraphId => Graph, x => x;
    Vec<f32> => Floats, x => x;
    Vec<i64> => Ints, x => x;
}
