//! Walks over tensors whose axes are strided differently: broadcast, permuted, reduced.

use smallvec::SmallVec;

/// A walk over all elements of a shape in row-major order, a row at a time, which knows where each row
/// begins in each of `K` tensors.
#[derive(Debug, Clone)]
pub(super) struct Walk<const K: usize> {
    /// Extents and strides of all axes but the last.
    outer: SmallVec<[(usize, [usize; K]); 6]>,
    /// Elements of a row.
    pub len: usize,
    /// Distance of the elements of a row in each tensor.
    pub inner: [usize; K],
}

impl<const K: usize> Walk<K> {
    /// A walk over `dims`; a stride of 0 repeats elements. Axes that all tensors walk in one go become one.
    pub fn new(dims: &[usize], strides: [&[usize]; K]) -> Self {
        let mut axes: SmallVec<[(usize, [usize; K]); 6]> = SmallVec::new();
        for (axis, &extent) in dims.iter().enumerate().filter(|&(_, &extent)| extent != 1) {
            let stride: [usize; K] = std::array::from_fn(|k| strides[k][axis]);
            match axes.last_mut() {
                Some(last) if (0..K).all(|k| last.1[k] == stride[k] * extent) => {
                    *last = (last.0 * extent, stride);
                }
                _ => axes.push((extent, stride)),
            }
        }
        let (len, inner) = axes.pop().unwrap_or((1, [0; K]));
        Self { outer: axes, len, inner }
    }

    /// Where each row begins in each tensor.
    pub fn rows(&self, mut see: impl FnMut([usize; K])) {
        let mut at: SmallVec<[usize; 6]> = SmallVec::from_elem(0, self.outer.len());
        if self.len == 0 || self.outer.iter().any(|&(extent, _)| extent == 0) {
            return;
        }
        let mut starts = [0; K];
        loop {
            see(starts);
            let mut axis = self.outer.len();
            loop {
                if axis == 0 {
                    return;
                }
                axis -= 1;
                let (extent, strides) = self.outer[axis];
                at[axis] += 1;
                let turned = at[axis] == extent;
                for k in 0..K {
                    starts[k] += strides[k];
                    if turned {
                        starts[k] -= strides[k] * extent;
                    }
                }
                if !turned {
                    break;
                }
                at[axis] = 0;
            }
        }
    }
}

/// Row-major strides of a packed tensor.
pub(super) fn strides(dims: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; dims.len()];
    for axis in (1..dims.len()).rev() {
        strides[axis - 1] = strides[axis] * dims[axis];
    }
    strides
}

/// Strides with which a packed tensor of `dims`, which has as many axes as the result, is repeated.
pub(super) fn repeating(dims: &[usize]) -> Vec<usize> {
    let strides = strides(dims);
    dims.iter().zip(strides).map(|(&extent, stride)| if extent == 1 { 0 } else { stride }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_that_belong_together_are_one() {
        let same = Walk::new(&[2, 3, 4], [&strides(&[2, 3, 4]), &repeating(&[1, 3, 4])]);
        assert_eq!((same.outer.len(), same.len, same.inner), (1, 12, [1, 1]));
        let mut starts = Vec::new();
        same.rows(|start| starts.push(start));
        assert_eq!(starts, [[0, 0], [12, 0]]);
        let scalar = Walk::new(&[], [&[]]);
        let mut rows = 0;
        scalar.rows(|start| {
            assert_eq!(start, [0]);
            rows += 1;
        });
        assert_eq!((rows, scalar.len), (1, 1));
        Walk::new(&[2, 0], [&[0, 1]]).rows(|_| unreachable!("there are no elements"));
    }
}
