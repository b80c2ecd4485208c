//! What is known about one value, and how two pieces of knowledge combine.

use crate::analysis::shapes::content::Content;
use crate::tensor::{DType, Tensor};

/// Extent of an axis; `None` when unknown.
pub(crate) type Extent = Option<usize>;

/// Extents of all axes; the rank is known.
pub(crate) type Dims = Vec<Extent>;

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

    pub fn new(dtype: Option<DType>, dims: Option<Dims>) -> Self {
        Self { dtype, dims: dims.filter(|d| d.len() <= MAX_RANK), content: None }
    }

    /// A tensor of known extents.
    pub fn fixed(dtype: DType, dims: &[usize]) -> Self {
        Self::new(Some(dtype), Some(known(dims)))
    }

    /// Everything about a constant tensor.
    pub fn of_tensor(tensor: &Tensor) -> Self {
        Self::fixed(tensor.dtype(), tensor.dims()).holding(Content::of_tensor(tensor))
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
                    *a = a.or(b);
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
                Some(a.iter().zip(b).map(|(&a, &b)| if a == b { a } else { None }).collect())
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
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.is_none() || a == b)
            }
        };
        dims && (self.dtype.is_none() || self.dtype == other.dtype)
    }
}

fn agree(a: &[Extent], b: &[Extent]) -> bool {
    let compatible = |(a, b): (&Extent, &Extent)| a.is_none() || b.is_none() || a == b;
    a.len() == b.len() && a.iter().zip(b).all(compatible)
}

/// Known extents as [`Dims`].
pub(super) fn known(dims: &[usize]) -> Dims {
    dims.iter().copied().map(Some).collect()
}

/// All extents, when every one is known.
pub(super) fn all_known(dims: &[Extent]) -> Option<Vec<usize>> {
    dims.iter().copied().collect()
}

/// Product of extents; `None` when one is unknown or the product overflows.
pub(super) fn product(dims: &[Extent]) -> Extent {
    dims.iter().try_fold(1usize, |total, &dim| total.checked_mul(dim?))
}

/// Sum of extents; `None` when one is unknown or the sum overflows.
pub(super) fn sum(dims: &[Extent]) -> Extent {
    dims.iter().try_fold(0usize, |total, &dim| total.checked_add(dim?))
}

/// The position an axis number (negative: from the end) means in a shape of `rank` axes.
pub(super) fn position(axis: i64, rank: usize) -> Option<usize> {
    let rank = i64::try_from(rank).ok()?;
    let axis = if axis < 0 { axis.checked_add(rank)? } else { axis };
    usize::try_from(axis).ok().filter(|_| axis < rank)
}

/// Numpy broadcasting of two shapes, aligned at the last axis. An axis that cannot be broadcast is
/// unknown: the model is wrong there, and saying so is not the business of this analysis.
pub(super) fn broadcast(a: &[Extent], b: &[Extent]) -> Dims {
    let rank = a.len().max(b.len());
    let at =
        |dims: &[Extent], i: usize| (i + dims.len()).checked_sub(rank).map_or(Some(1), |i| dims[i]);
    let axis = |i| match (at(a, i), at(b, i)) {
        (Some(1), other) | (other, Some(1)) => other,
        (Some(a), Some(b)) if a != b => None,
        (a, b) => a.or(b),
    };
    (0..rank).map(axis).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broadcasting_aligns_last_axes() {
        let a = [Some(2), None, Some(1), None];
        assert_eq!(broadcast(&a, &[Some(5), Some(4), Some(1)]), [Some(2), Some(5), Some(4), None]);
        assert_eq!(broadcast(&[Some(2)], &[Some(3)]), [None]);
        assert_eq!(broadcast(&[], &[Some(3)]), [Some(3)]);
    }

    #[test]
    fn a_declaration_that_disagrees_is_not_believed() {
        let mut fact = Fact::new(None, Some(vec![Some(2), None]));
        fact.fill(Fact::fixed(DType::Float, &[3, 7]));
        assert_eq!(fact, Fact::new(Some(DType::Float), Some(vec![Some(2), None])));
        fact.fill(Fact::fixed(DType::Int8, &[2, 7]));
        assert_eq!(fact, Fact::fixed(DType::Float, &[2, 7]));
    }

    #[test]
    fn axes_count_from_both_ends() {
        assert_eq!(position(-1, 3), Some(2));
        assert_eq!(position(3, 3), None);
        assert_eq!(position(-4, 3), None);
        assert_eq!(position(i64::MIN, 3), None);
    }
}
