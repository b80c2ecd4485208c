//! Copies elements into another order: Fortran arrays, channel order, channel layout.

/// Which element of a buffer comes next when the result is walked in row-major order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Strided {
    /// Extents of the result.
    pub dims: Vec<usize>,
    strides: Vec<isize>,
    start: isize,
}

impl Strided {
    /// Reads a column-major buffer (first axis runs fastest) of these extents.
    pub fn column_major(dims: &[usize]) -> Self {
        let mut strides = vec![1; dims.len()];
        for axis in 1..dims.len() {
            strides[axis] = times(strides[axis - 1], dims[axis - 1]);
        }
        Self { strides, dims: dims.to_vec(), start: 0 }
    }

    /// Reads a row-major buffer of extents `dims` so that axis `k` of the result is its axis
    /// `order[k]`.
    pub fn permuted(dims: &[usize], order: &[usize]) -> Self {
        let mut strides = vec![1; dims.len()];
        for axis in (1..dims.len()).rev() {
            strides[axis - 1] = times(strides[axis], dims[axis]);
        }
        Self {
            dims: order.iter().map(|&axis| dims[axis]).collect(),
            strides: order.iter().map(|&axis| strides[axis]).collect(),
            start: 0,
        }
    }

    /// Walks `axis` of the result backwards.
    pub fn reversed(mut self, axis: usize) -> Self {
        self.start += times(self.strides[axis], self.dims[axis].saturating_sub(1));
        self.strides[axis] = -self.strides[axis];
        self
    }

    /// The elements of `bytes`, each `width` bytes, in the new order.
    pub fn gather(&self, bytes: &[u8], width: usize) -> Vec<u8> {
        let count: usize = self.dims.iter().product();
        let mut out = Vec::with_capacity(count * width);
        let mut index = vec![0; self.dims.len()];
        let mut offset = self.start;
        for _ in 0..count {
            let at = offset as usize * width;
            out.extend_from_slice(&bytes[at..at + width]);
            for axis in (0..index.len()).rev() {
                index[axis] += 1;
                offset += self.strides[axis];
                if index[axis] < self.dims[axis] {
                    break;
                }
                index[axis] = 0;
                offset -= times(self.strides[axis], self.dims[axis]);
            }
        }
        out
    }
}

/// Only an array without elements can have extents that wrap, and nothing of it is read.
fn times(stride: isize, extent: usize) -> isize {
    stride.wrapping_mul(extent as isize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders() {
        let bytes = [0, 1, 2, 3, 4, 5];
        assert_eq!(Strided::column_major(&[2, 3]).gather(&bytes, 1), [0, 2, 4, 1, 3, 5]);
        let transposed = Strided::permuted(&[2, 3], &[1, 0]);
        assert_eq!(transposed.gather(&bytes, 1), [0, 3, 1, 4, 2, 5]);
        assert_eq!(transposed.reversed(0).gather(&bytes, 1), [2, 5, 1, 4, 0, 3]);
        assert_eq!(Strided::permuted(&[3], &[0]).reversed(0).gather(&bytes, 2), [4, 5, 2, 3, 0, 1]);
        assert!(Strided::column_major(&[0, 3]).gather(&[], 4).is_empty());
    }
}
