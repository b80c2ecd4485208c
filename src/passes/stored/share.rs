//! Which elements of a stored weight share a scale.

/// Which elements of a tensor share a grid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::passes) enum Share {
    /// All.
    Tensor,
    /// Those of one slice along the axis.
    Axis(usize),
    /// So many neighbours along the axis.
    Block { axis: usize, size: usize },
}

impl Share {
    /// The dims of scales for a tensor of `dims`.
    pub fn dims(self, dims: &[usize]) -> Vec<usize> {
        match self {
            Self::Tensor => Vec::new(),
            Self::Axis(axis) => vec![dims[axis]],
            Self::Block { axis, size } => {
                let mut dims = dims.to_vec();
                dims[axis] = dims[axis].div_ceil(size);
                dims
            }
        }
    }

    /// For the flat index of an element, the index of its grid.
    pub fn index(self, dims: &[usize]) -> impl Fn(usize) -> usize {
        let (axis, size) = match self {
            Self::Tensor => (0, usize::MAX),
            Self::Axis(axis) => (axis, 1),
            Self::Block { axis, size } => (axis, size),
        };
        let extent = dims.get(axis).copied().unwrap_or(1).max(1);
        let inner: usize = dims.iter().skip(axis + 1).product();
        let blocks = extent.div_ceil(size);
        move |i| {
            let along = i / inner % extent / size;
            match self {
                Self::Tensor => 0,
                Self::Axis(_) => along,
                Self::Block { .. } => (i / inner / extent * blocks + along) * inner + i % inner,
            }
        }
    }

    /// The same of a matrix that is transposed.
    pub fn turned(self) -> Self {
        match self {
            Self::Tensor => Self::Tensor,
            Self::Axis(axis) => Self::Axis(1 - axis.min(1)),
            Self::Block { axis, size } => Self::Block { axis: 1 - axis.min(1), size },
        }
    }

    pub fn axis(self) -> Option<usize> {
        match self {
            Self::Tensor => None,
            Self::Axis(axis) | Self::Block { axis, .. } => Some(axis),
        }
    }
}
