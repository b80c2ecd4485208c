//! What to take for granted about the inputs of a model.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::analysis::shapes::fact::{Dims, Fact, known};
use crate::analysis::shapes::term::Term;
use crate::ir::{Constant, Def, DimSize, Model, Stored, TensorType, Value};

/// Assumptions about inputs under which shapes are inferred. The default assumes nothing: what is
/// then inferred holds in every run of a valid model, as far as its declarations are true (those of
/// inputs, and of the outputs of operators that have no rule).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Assume {
    /// Extent of the first axis of every input that leaves it open, and of every axis that carries
    /// the same name.
    pub batch: Option<usize>,
    /// Extents of named axes.
    pub symbols: BTreeMap<String, usize>,
    /// All extents of inputs, by name; they go before what the model declares.
    pub inputs: BTreeMap<String, Vec<usize>>,
    /// Inputs with a default are taken at their default.
    pub defaults: bool,
}

impl Assume {
    /// One sample at a time, and nobody overrides a default.
    pub fn one_sample() -> Self {
        Self { batch: Some(1), defaults: true, ..Self::default() }
    }

    /// Adds the extent of a named axis.
    #[must_use]
    pub fn symbol(mut self, name: &str, extent: usize) -> Self {
        self.symbols.insert(name.to_owned(), extent);
        self
    }

    /// Adds all extents of an input.
    #[must_use]
    pub fn input(mut self, name: &str, dims: &[usize]) -> Self {
        self.inputs.insert(name.to_owned(), dims.to_vec());
        self
    }
}

/// Assumptions worked out for one model.
pub(super) struct Bound<'a> {
    assume: &'a Assume,
    symbols: BTreeMap<&'a str, usize>,
    /// Declarations of inner values hold; they do not when an input is given other extents than
    /// the model declares.
    pub declared_holds: bool,
}

impl<'a> Bound<'a> {
    pub fn new(model: &'a Model, assume: &'a Assume) -> Self {
        let mut bound = Self {
            assume,
            symbols: assume.symbols.iter().map(|(name, &n)| (name.as_str(), n)).collect(),
            declared_holds: true,
        };
        let inputs = model.graph(model.main()).inputs().iter().map(|&id| model.value(id));
        for (value, ty) in inputs.filter_map(|value| Some((value, value.tensor_type()?))) {
            let Some(dims) = &ty.dims else { continue };
            match assume.inputs.get(value.name()) {
                Some(given) => {
                    let fits = dims.len() == given.len()
                        && dims.iter().zip(given).all(|(d, &n)| d.fixed().is_none_or(|d| d == n));
                    bound.declared_holds &= fits;
                    for (dim, &n) in dims.iter().zip(given) {
                        if let DimSize::Symbol(name) = &dim.size {
                            bound.symbols.entry(name).or_insert(n);
                        }
                    }
                }
                None => {
                    if let (Some(dim), Some(batch)) = (dims.first(), assume.batch)
                        && let DimSize::Symbol(name) = &dim.size
                    {
                        bound.symbols.entry(name).or_insert(batch);
                    }
                }
            }
        }
        bound
    }

    /// What an input of the main graph is: an axis that is left open is a symbol.
    pub fn input(&self, value: &Value) -> Fact {
        if let Def::Input { default: Some(Constant::Dense(Stored { tensor, .. })) } = value.def()
            && self.assume.defaults
        {
            return Fact::of_tensor(tensor);
        }
        let declared = |ty| self.declared(ty, Names::Believed);
        let mut fact = value.tensor_type().map(declared).unwrap_or_default();
        match (self.assume.inputs.get(value.name()), &mut fact.dims) {
            (Some(given), dims) => *dims = Some(known(given)),
            (None, Some(dims)) => {
                if let (Some(first @ Term::Unknown), Some(batch)) =
                    (dims.first_mut(), self.assume.batch)
                {
                    *first = batch.into();
                }
                name_unknown(dims, value.name(), Term::axis);
            }
            (None, None) => {}
        }
        fact
    }

    /// What a declaration says.
    pub fn declared(&self, ty: &TensorType, names: Names) -> Fact {
        let axis = |dim: &crate::ir::Dim| match (&dim.size, names) {
            (DimSize::Symbol(name), _) if !names_an_axis(name) => Term::Unknown,
            (DimSize::Symbol(name), names) => match (self.symbols.get(name.as_str()), names) {
                (Some(&extent), _) => extent.into(),
                (None, Names::Believed) => Term::named(name),
                (None, Names::Ignored) => Term::Unknown,
            },
            _ => dim.fixed().into(),
        };
        let dims = ty.dims.as_ref().map(|dims| dims.iter().map(axis).collect::<Dims>());
        Fact::new(Some(ty.dtype), dims)
    }
}

/// What exporters write into the name of an axis that has none, in lower case.
const PLACEHOLDERS: [&str; 25] = [
    "",
    "?",
    "*",
    "-",
    "_",
    ":",
    "...",
    "-1",
    "0",
    "none",
    "null",
    "nil",
    "nan",
    "n/a",
    "na",
    "any",
    "unknown",
    "unk",
    "undefined",
    "unnamed",
    "dynamic",
    "dyn",
    "variable",
    "free",
    "symbolic",
];
/// What they write before "dim", "axis", "size", or a number.
const UNKNOWN: [&str; 4] = ["unk__", "unknown_", "dynamic_", "dyn_"];

/// Whether equal names of axes, as this one, are meant to be equal extents: those are not that exporters write
/// where they know nothing.
pub fn names_an_axis(name: &str) -> bool {
    let name = name.trim().to_lowercase();
    let bare = |rest: &str| {
        matches!(rest, "dim" | "axis" | "size" | "shape" | "extent")
            || rest.bytes().all(|byte| byte.is_ascii_digit())
    };
    !PLACEHOLDERS.contains(&name.as_str())
        && !UNKNOWN.iter().any(|known| name.strip_prefix(known).is_some_and(bare))
}

/// Whether equal names of axes in a declaration are equal extents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Names {
    /// In the main graph: one run, one extent.
    Believed,
    /// In a body, which may run many times with other extents each time.
    Ignored,
}

/// Gives the axes of `value` that nothing is known about symbols of their own.
pub(super) fn name_unknown(dims: &mut Dims, value: &str, symbol: fn(&Arc<str>, usize) -> Term) {
    if dims.iter().all(Term::is_determined) {
        return;
    }
    let value = Arc::from(value);
    for (axis, dim) in dims.iter_mut().enumerate().filter(|(_, dim)| !dim.is_determined()) {
        *dim = symbol(&value, axis);
    }
}
