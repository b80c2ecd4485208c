//! Where the elements of a weight stand when they are stored, and what they are multiplied with.

use super::packing::Packing;
use crate::passes::stored::Share;

/// A weight of `dims` whose scales are shared so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::passes) struct Layout {
    pub dims: Vec<usize>,
    pub share: Share,
}

impl Layout {
    /// The extents in which elements are stored: of blocks the axis is two, and whole.
    pub fn stored_dims(&self) -> Vec<usize> {
        let mut dims = self.dims.clone();
        if let Share::Block { axis, size } = self.share {
            dims.splice(axis..=axis, [self.dims[axis].div_ceil(size), size]);
        }
        dims
    }

    /// The extents with whole blocks.
    pub fn whole_dims(&self) -> Vec<usize> {
        let mut dims = self.dims.clone();
        if let Share::Block { axis, size } = self.share {
            dims[axis] = dims[axis].next_multiple_of(size);
        }
        dims
    }

    /// The extents of scales that broadcast over what is stored.
    pub fn scale_dims(&self) -> Vec<usize> {
        let mut dims = self.stored_dims();
        match self.share {
            Share::Tensor => Vec::new(),
            Share::Axis(along) => {
                dims.iter_mut().enumerate().for_each(|(i, d)| *d = if i == along { *d } else { 1 });
                dims
            }
            Share::Block { axis, .. } => {
                dims[axis + 1] = 1;
                dims
            }
        }
    }

    /// For the flat index of an element where it is stored.
    pub fn place(&self) -> impl Fn(usize) -> usize {
        let (axis, extent, whole) = match self.share {
            Share::Block { axis, .. } => (axis, self.dims[axis], self.whole_dims()[axis]),
            _ => (0, 1, 1),
        };
        let inner: usize = self.dims.iter().skip(axis + 1).product();
        let slice = (extent * inner).max(1);
        move |i| if extent == whole { i } else { i / slice * whole * inner + i % slice }
    }

    /// Bytes of the indices into a table of so many numbers.
    pub fn packed_bytes(&self, entries: usize) -> usize {
        let places: usize = self.stored_dims().iter().product();
        places.div_ceil(Packing::of(entries).digits)
    }

    /// For each element the index of its scale.
    pub fn parts(&self) -> Vec<u32> {
        let index = self.share.index(&self.dims);
        (0..self.dims.iter().product()).map(|i| index(i) as u32).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_block_is_filled_up() {
        let share = Share::Block { axis: 0, size: 2 };
        let layout = Layout { dims: vec![3, 2], share };
        assert_eq!(layout.stored_dims(), [2, 2, 2]);
        assert_eq!(layout.scale_dims(), [2, 1, 2]);
        assert_eq!((0..6).map(layout.place()).collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5]);
        assert_eq!(layout.parts(), [0, 1, 0, 1, 2, 3]);
        let share = Share::Block { axis: 1, size: 2 };
        let layout = Layout { dims: vec![2, 3], share };
        assert_eq!((0..6).map(layout.place()).collect::<Vec<_>>(), [0, 1, 2, 4, 5, 6]);
        assert_eq!(layout.parts(), [0, 0, 1, 2, 2, 3]);
        let layout = Layout { dims: vec![2, 3], share: Share::Axis(0) };
        assert_eq!(layout.scale_dims(), [2, 1]);
    }
}
