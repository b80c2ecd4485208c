//! Elements of small tensors, each known or not: how shapes travel through Shape, Gather, Concat
//! and Reshape.

use std::sync::Arc;

use crate::analysis::shapes::term::Term;
use crate::tensor::{DType, Tensor};

/// Elements beyond which contents are not followed: shapes, axes and index lists are far shorter.
pub(super) const MAX_ELEMENTS: usize = 1024;

/// The elements of a small tensor in row-major order; `None` where unknown.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Content {
    /// Of an integer or `bool` tensor (0 or 1); expressions only in `int64` and `int32`.
    Ints(Arc<[Term]>),
    /// Of a `float`, `double`, `float16` or `bfloat16` tensor, rounded to its type.
    Floats(Arc<[Option<f64>]>),
}

impl Content {
    /// All elements of a tensor of at most `limit` of them and of a type that is followed.
    pub fn of_tensor(tensor: &Tensor, limit: usize) -> Option<Self> {
        if tensor.len() > limit {
            return None;
        }
        match tensor.dtype() {
            DType::Float | DType::Double | DType::Float16 | DType::Bfloat16 => {
                Some(Self::Floats(tensor.to_f64().ok()?.into_iter().map(Some).collect()))
            }
            dtype if dtype.is_integer() || dtype == DType::Bool => {
                Some(Self::Ints(tensor.to_i64().ok()?.into_iter().map(Term::Known).collect()))
            }
            _ => None,
        }
    }

    /// The elements as a tensor, when all of them are known.
    pub fn to_tensor(&self, dtype: DType, dims: &[usize]) -> Option<Tensor> {
        match self {
            Self::Ints(x) => {
                let x: Vec<i64> = x.iter().map(Term::known).collect::<Option<_>>()?;
                Tensor::from_i64_as(dtype, dims, &x).ok()
            }
            Self::Floats(x) => {
                let x: Vec<f64> = x.iter().copied().collect::<Option<_>>()?;
                match dtype {
                    DType::Double => Some(Tensor::from_f64(dims, &x)),
                    _ if !followed(dtype) => None,
                    _ => {
                        // Rounded to the type already, which is the narrower one.
                        let x: Vec<f32> = x.iter().map(|&x| x as f32).collect();
                        Tensor::from_f32_as(dtype, dims, &x).ok()
                    }
                }
            }
        }
    }

    /// Integers; the caller bounds how many.
    pub fn from_ints<T: Into<Term>>(elements: impl IntoIterator<Item = T>) -> Option<Self> {
        Some(Self::Ints(elements.into_iter().map(Into::into).collect()))
    }

    /// Floats; the caller bounds how many.
    pub fn from_floats(elements: impl IntoIterator<Item = Option<f64>>) -> Option<Self> {
        Some(Self::Floats(elements.into_iter().collect()))
    }

    pub fn len(&self) -> usize {
        match self {
            Self::Ints(x) => x.len(),
            Self::Floats(x) => x.len(),
        }
    }

    pub fn ints(&self) -> Option<&[Term]> {
        match self {
            Self::Ints(x) => Some(x),
            Self::Floats(_) => None,
        }
    }

    pub fn floats(&self) -> Option<&[Option<f64>]> {
        match self {
            Self::Ints(_) => None,
            Self::Floats(x) => Some(x),
        }
    }

    /// The elements at `indices`; nothing when an index lies outside.
    pub fn pick(&self, indices: &[usize]) -> Option<Self> {
        Some(match self {
            Self::Ints(x) => Self::Ints(select(x, indices)?),
            Self::Floats(x) => Self::Floats(select(x, indices)?),
        })
    }

    /// The parts one after the other; nothing when their types differ.
    pub fn chain(parts: &[Self]) -> Option<Self> {
        match parts.first()? {
            Self::Ints(_) => {
                let parts: Option<Vec<_>> = parts.iter().map(Self::ints).collect();
                Self::from_ints(parts?.into_iter().flatten())
            }
            Self::Floats(_) => {
                let parts: Option<Vec<_>> = parts.iter().map(Self::floats).collect();
                Self::from_floats(parts?.into_iter().flatten().copied())
            }
        }
    }

    /// The elements as a tensor of `dtype` holds them after a Cast.
    pub fn cast(&self, dtype: DType) -> Option<Self> {
        let range = if dtype == DType::Bool { None } else { dtype.integer_range() };
        match (self, dtype) {
            (Self::Ints(x), DType::Bool) => Self::from_ints(x.iter().map(truth)),
            (Self::Floats(x), DType::Bool) => {
                Self::from_ints(x.iter().map(|x| x.map(|x| i64::from(x != 0.0))))
            }
            (Self::Ints(x), _) if followed(dtype) => Self::from_floats(x.iter().map(|x| {
                let x =
                    x.known().filter(|x| dtype == DType::Double || x.unsigned_abs() <= EXACT)?;
                Some(rounded(x as f64, dtype))
            })),
            (Self::Floats(x), _) if followed(dtype) => {
                Self::from_floats(x.iter().map(|x| x.map(|x| rounded(x, dtype))))
            }
            (Self::Ints(x), _) if range.is_some() => {
                Self::from_ints(x.iter().map(|x| fitting(x.clone(), dtype)))
            }
            (Self::Floats(x), _) if range.is_some() => {
                Self::from_ints(x.iter().map(|x| fitting(x.and_then(truncated).into(), dtype)))
            }
            _ => None,
        }
    }
}

/// `x` as an element of `dtype`; one rounding of an exact or correctly rounded double result is
/// what `float` arithmetic gives for `+ - * /` and square root.
pub(super) fn rounded(x: f64, dtype: DType) -> f64 {
    match dtype {
        DType::Float => f64::from(x as f32),
        DType::Float16 => half::f16::from_f64(x).to_f64(),
        DType::Bfloat16 => half::bf16::from_f64(x).to_f64(),
        _ => x,
    }
}

/// 2^53: whole numbers up to here are `double`, so that a conversion rounds once.
const EXACT: u64 = 1 << 53;

/// Floating-point types whose elements are followed.
fn followed(dtype: DType) -> bool {
    matches!(dtype, DType::Float | DType::Double | DType::Float16 | DType::Bfloat16)
}

/// A result as an element of `dtype`; unknown when it is a number outside its range. Expressions
/// stay in the types that shapes are computed in: a model whose shapes wrap around is not valid.
pub(super) fn fitting(x: Term, dtype: DType) -> Term {
    match (&x, dtype.integer_range()) {
        (Term::Symbolic(_), _) if matches!(dtype, DType::Int64 | DType::Int32) => x,
        (Term::Known(_), None) => x,
        (Term::Known(n), Some((low, high))) if (low..=high).contains(&i128::from(*n)) => x,
        _ => Term::Unknown,
    }
}

/// Whether `x` is not 0, as 0 or 1.
fn truth(x: &Term) -> Term {
    match x {
        Term::Known(x) => Term::Known(i64::from(*x != 0)),
        x if x.at_least(1) => Term::ONE,
        _ => Term::Unknown,
    }
}

/// The integer part, when it is surely an `i64`.
fn truncated(x: f64) -> Option<i64> {
    /// 2^62: far from where the conversion would saturate.
    const LIMIT: f64 = (1u64 << 62) as f64;
    (x.abs() < LIMIT).then_some(x as i64)
}

fn select<T: Clone>(elements: &[T], indices: &[usize]) -> Option<Arc<[T]>> {
    indices.iter().map(|&i| elements.get(i).cloned()).collect()
}

/// Steps between neighbours along each axis of a row-major tensor.
pub(super) fn strides(dims: &[usize]) -> Vec<i128> {
    let mut strides = vec![1i128; dims.len()];
    for axis in (1..dims.len()).rev() {
        strides[axis - 1] = strides[axis].saturating_mul(dims[axis] as i128);
    }
    strides
}

/// Steps through a tensor of `dims` that is broadcast to a shape of `rank` axes.
pub(super) fn broadcast_strides(dims: &[usize], rank: usize) -> Vec<i128> {
    let own = strides(dims).into_iter().zip(dims).map(|(s, &d)| if d == 1 { 0 } else { s });
    std::iter::repeat_n(0, rank.saturating_sub(dims.len())).chain(own).collect()
}

/// Flat source indices of a strided view: element `(i, j, …)` of a result of `dims` comes from
/// `offset + i·steps[0] + j·steps[1] + …`. Nothing when these are more than `limit`.
pub(super) fn view(
    limit: usize,
    dims: &[usize],
    offset: i128,
    steps: &[i128],
) -> Option<Vec<usize>> {
    let count = crate::tensor::element_count(dims).filter(|&n| n <= limit)?;
    let mut indices = Vec::with_capacity(count);
    let mut at = vec![0usize; dims.len()];
    for _ in 0..count {
        let terms = at.iter().zip(steps).map(|(&i, &step)| (i as i128).saturating_mul(step));
        let flat = terms.fold(offset, i128::saturating_add);
        indices.push(usize::try_from(flat).ok()?);
        for axis in (0..dims.len()).rev() {
            at[axis] += 1;
            if at[axis] < dims[axis] {
                break;
            }
            at[axis] = 0;
        }
    }
    Some(indices)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_transpose_reverse_and_broadcast() {
        assert_eq!(view(MAX_ELEMENTS, &[3, 2], 0, &[1, 3]), Some(vec![0, 3, 1, 4, 2, 5]));
        assert_eq!(view(MAX_ELEMENTS, &[3], 2, &[-1]), Some(vec![2, 1, 0]));
        assert_eq!(
            view(MAX_ELEMENTS, &[2, 2], 0, &broadcast_strides(&[2], 2)),
            Some(vec![0, 1, 0, 1])
        );
        assert_eq!(view(MAX_ELEMENTS, &[0, usize::MAX], 0, &[1, 1]), Some(vec![]));
        assert_eq!(view(MAX_ELEMENTS, &[MAX_ELEMENTS + 1], 0, &[1]), None);
    }

    #[test]
    fn casts_know_what_does_not_fit() {
        let ints = [Term::Known(300), Term::Unknown, Term::Known(-1), Term::named("N")];
        let ints = Content::from_ints(ints).unwrap();
        assert_eq!(ints.cast(DType::Uint8), Content::from_ints([None::<i64>; 4]));
        let floats = Content::from_floats([Some(2.9), Some(-2.9), Some(1e30)]).unwrap();
        assert_eq!(floats.cast(DType::Int64), Content::from_ints([Some(2), Some(-2), None]));
    }
}
