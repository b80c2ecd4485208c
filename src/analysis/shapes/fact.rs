//! What is known about one value, and how two pieces of knowledge combine.

use crate::analysis::shapes::content::{Content, MAX_ELEMENTS};
use crate::analysis::shapes::term::Term;
use crate::tensor::{DType, Tensor};

/// Extents of all axes; the rank is known.
pub(crate) type Dims = Vec<Term>;

/// Axes beyond which a shape counts as unknown. No engine runs such a model, and a chain
/// of Unsqueeze nodes must not make shapes whose total size grows with the square of the file.
const MAX_RANK: usize = 32;

/// What is known about a value.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Fact {
    /// Element type.
    pub dtype: Option<DType>,
    /// Extents; `None` when not even the rank is known.
    pub dims: Option<Dims>,
    /// Elements, as far as known; present only when all extents are known and their product is
    /// the number of elements.
    pub content: Option<Content>,
}

impl Fact {
    pub const UNKNOWN: &'static Self = &Self { dtype: None, dims: None, content: None };

    /// An extent below 0 is unknown: the model is wrong there, and saying so is not the business of
    /// this analysis.
    pub fn new(dtype: Option<DType>, dims: Option<Dims>) -> Self {
        let mut dims = dims.filter(|dims| dims.len() <= MAX_RANK);
        dims.iter_mut().flatten().for_each(|dim| *dim = countable(dim));
        Self { dtype, dims, content: None }
    }

    /// A tensor of known extents.
    pub fn fixed(dtype: DType, dims: &[usize]) -> Self {
        Self::new(Some(dtype), Some(known(dims)))
    }

    /// Everything about a constant tensor.
    pub fn of_tensor(tensor: &Tensor) -> Self {
        Self::fixed(tensor.dtype(), tensor.dims()).holding(Content::of_tensor(tensor, MAX_ELEMENTS))
    }

    /// Adds contents, when they fit the extents.
    #[must_use]
    pub fn holding(mut self, content: Option<Content>) -> Self {
        let count = self.fixed_dims().and_then(|dims| crate::tensor::element_count(&dims));
        self.content = content.filter(|c| Some(c.len()) == count);
        self
    }

    /// All extents, when every one is known.
    pub fn fixed_dims(&self) -> Option<Vec<usize>> {
        all_known(self.dims.as_deref()?)
    }

    /// The same without contents.
    #[must_use]
    pub fn without_content(&self) -> Self {
        Self { content: None, ..self.clone() }
    }

    /// Fills gaps from what the file declares; where the two disagree the declaration is not
    /// believed at all.
    pub fn fill(&mut self, declared: Self) {
        self.dtype = self.dtype.or(declared.dtype);
        match (&mut self.dims, declared.dims) {
            (Some(here), Some(there)) if agree(here, &there) => {
                for (a, b) in here.iter_mut().zip(there) {
                    *a = a.also(&b);
                }
            }
            (here @ None, there) => *here = there,
            _ => {}
        }
    }

    /// What holds whichever of the two is true.
    #[must_use]
    pub fn join(&self, other: &Self) -> Self {
        let dims = match (&self.dims, &other.dims) {
            (Some(a), Some(b)) if a.len() == b.len() => {
                Some(a.iter().zip(b).map(|(a, b)| a.join(b)).collect())
            }
            _ => None,
        };
        let content = self.content.clone().filter(|_| self.content == other.content);
        Self::new(self.dtype.filter(|_| self.dtype == other.dtype), dims).holding(content)
    }

    /// True when everything `self` says about type and extents, `other` says too.
    pub fn is_implied_by(&self, other: &Self) -> bool {
        let dims = match (&self.dims, &other.dims) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(a), Some(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| !a.is_determined() || a == b)
            }
        };
        dims && (self.dtype.is_none() || self.dtype == other.dtype)
    }
}

/// False when a number stands against another number, or against an expression that is free to be
/// any number: then the file was made for one size of its inputs, or notes what one run had.
fn agree(here: &[Term], declared: &[Term]) -> bool {
    let compatible = |(here, declared): (&Term, &Term)| {
        declared.known().is_none() || !here.is_free() || here == declared
    };
    here.len() == declared.len() && here.iter().zip(declared).all(compatible)
}

/// Known extents as [`Dims`].
pub(super) fn known(dims: &[usize]) -> Dims {
    dims.iter().copied().map(Term::from).collect()
}

/// As many unknown extents.
pub(super) fn unknown(rank: usize) -> Dims {
    vec![Term::Unknown; rank]
}

/// The term, unless it is a number below 0.
pub(super) fn countable(term: &Term) -> Term {
    if term.known().is_some_and(|n| n < 0) { Term::Unknown } else { term.clone() }
}

/// All extents, when every one is known.
pub(super) fn all_known(dims: &[Term]) -> Option<Vec<usize>> {
    dims.iter().map(Term::extent).collect()
}

/// Product of extents.
pub(super) fn product(dims: &[Term]) -> Term {
    dims.iter().fold(Term::ONE, |total, dim| total * dim)
}

/// Sum of extents.
pub(super) fn sum<'a>(dims: impl Iterator<Item = &'a Term>) -> Term {
    dims.fold(Term::Known(0), |total, dim| total + dim)
}

/// Numpy broadcasting of two shapes, aligned at the last axis. An axis that cannot be broadcast is
/// unknown.
pub(super) fn broadcast(a: &[Term], b: &[Term]) -> Dims {
    let rank = a.len().max(b.len());
    let at = |dims: &[Term], i: usize| {
        (i + dims.len()).checked_sub(rank).map_or(Term::ONE, |i| dims[i].clone())
    };
    (0..rank).map(|i| broadcast_axis(&at(a, i), &at(b, i))).collect()
}

/// The extent that two extents are broadcast to. A number other than 1 wins over what is open, which
/// can only be the same or 1; of two open extents that differ, either may be 1.
pub(super) fn broadcast_axis(a: &Term, b: &Term) -> Term {
    match (a, b) {
        (Term::Known(1), other) | (other, Term::Known(1)) => other.clone(),
        (Term::Known(a), Term::Known(b)) if a != b => Term::Unknown,
        (number @ Term::Known(_), _) | (_, number @ Term::Known(_)) => number.clone(),
        _ => a.join(b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::position;

    #[test]
    fn broadcasting_aligns_last_axes() {
        let (n, m) = (Term::named("N"), Term::named("M"));
        let a = [2.into(), Term::Unknown, 1.into(), Term::Unknown];
        let b = [5.into(), 4.into(), 1.into()];
        assert_eq!(broadcast(&a, &b), [2.into(), 5.into(), 4.into(), Term::Unknown]);
        assert_eq!(broadcast(&known(&[2]), &known(&[3])), [Term::Unknown]);
        assert_eq!(broadcast(&[], &known(&[3])), known(&[3]));
        let symbols = [n.clone(), n.clone(), n.clone(), n.clone()];
        let others = [n.clone(), m, Term::Known(1), Term::Known(7)];
        assert_eq!(broadcast(&symbols, &others), [n.clone(), Term::Unknown, n, Term::Known(7)]);
    }

    #[test]
    fn a_declaration_that_disagrees_is_not_believed() {
        let mut fact = Fact::new(None, Some(vec![2.into(), Term::Unknown]));
        fact.fill(Fact::fixed(DType::Float, &[3, 7]));
        assert_eq!(fact, Fact::new(Some(DType::Float), Some(vec![2.into(), Term::Unknown])));
        fact.fill(Fact::fixed(DType::Int8, &[2, 7]));
        assert_eq!(fact, Fact::fixed(DType::Float, &[2, 7]));
        let mut fact = Fact::new(None, Some(vec![Term::named("N"), Term::Unknown]));
        fact.fill(Fact::fixed(DType::Float, &[1, 7]));
        assert_eq!(fact.dims, Some(vec![Term::named("N"), Term::Unknown]));
    }

    #[test]
    fn axes_count_from_both_ends() {
        assert_eq!(position(-1, 3), Some(2));
        assert_eq!(position(3, 3), None);
        assert_eq!(position(-4, 3), None);
        assert_eq!(position(i64::MIN, 3), None);
    }
}
