//! Weights on their grids, run by run: what is contiguous is worked on at once.

use crate::analysis::Range;
use crate::math::Grid;
use crate::passes::stored::Share;

/// Elements that stand side by side: all on one grid, or each on the next one.
struct Run {
    start: usize,
    len: usize,
    /// The grid of the first one.
    grid: usize,
    along: bool,
}

impl Share {
    /// All elements of a tensor of `dims`, in order.
    fn runs(self, dims: &[usize]) -> impl Iterator<Item = Run> {
        let (axis, size) = match self {
            Self::Tensor => (0, usize::MAX),
            Self::Axis(axis) => (axis, 1),
            Self::Block { axis, size } => (axis, size),
        };
        let total: usize = dims.iter().product();
        let extent = dims.get(axis).copied().unwrap_or(1).max(1);
        let inner: usize = dims.iter().skip(axis + 1).product::<usize>().max(1);
        let blocks = extent.div_ceil(size);
        // How many runs each slice of the outer axes has.
        let (each, along) = match self {
            Self::Tensor => (1, false),
            Self::Axis(_) if inner == 1 => (1, true),
            Self::Block { .. } if inner == 1 => (blocks, false),
            Self::Axis(_) => (extent, false),
            Self::Block { .. } => (extent, true),
        };
        let outer = if self == Self::Tensor { 1 } else { total / (extent * inner) };
        (0..outer * each).map(move |i| {
            let (o, at) = (i / each, i % each);
            let (begin, end, grid) = match self {
                Self::Tensor => (0, total, 0),
                Self::Axis(_) if inner == 1 => (0, extent, 0),
                Self::Axis(_) => (at * inner, (at + 1) * inner, at),
                Self::Block { .. } if inner == 1 => {
                    (at * size, extent.min((at + 1) * size), o * blocks + at)
                }
                Self::Block { .. } => {
                    (at * inner, (at + 1) * inner, (o * blocks + at / size) * inner)
                }
            };
            let first = if self == Self::Tensor { 0 } else { o * extent * inner };
            Run { start: first + begin, len: end - begin, grid, along }
        })
    }

    /// The range of the elements of each of `count` grids; all contain 0.
    pub fn ranges(self, dims: &[usize], elements: &[f32], count: usize) -> Vec<Range> {
        let (mut low, mut high) = (vec![0f32; count], vec![0f32; count]);
        let less = |a: f32, b: f32| if a < b { a } else { b };
        let more = |a: f32, b: f32| if a > b { a } else { b };
        for Run { start, len, grid, along } in self.runs(dims) {
            let elements = &elements[start..start + len];
            if along {
                let (low, high) = (&mut low[grid..grid + len], &mut high[grid..grid + len]);
                low.iter_mut().zip(elements).for_each(|(low, &x)| *low = less(x, *low));
                high.iter_mut().zip(elements).for_each(|(high, &x)| *high = more(x, *high));
            } else {
                low[grid] = elements.iter().fold(low[grid], |low, &x| less(x, low));
                high[grid] = elements.iter().fold(high[grid], |high, &x| more(x, high));
            }
        }
        low.into_iter().zip(high).map(|(min, max)| Range { min, max }).collect()
    }

    /// The low byte of the integer of each finite element, as [`Grid::quantize`] rounds; `None` when grids
    /// have other bounds.
    pub fn small_integers(
        self,
        dims: &[usize],
        elements: &[f32],
        grids: &[Grid],
    ) -> Option<Vec<u8>> {
        let first = grids.first()?;
        let (low, high) = (first.low, first.high);
        if grids.iter().any(|grid| (grid.low, grid.high) != (low, high)) {
            return None;
        }
        let scales: Vec<f64> = grids.iter().map(|grid| f64::from(grid.scale)).collect();
        let zeros: Vec<f64> = grids.iter().map(|grid| f64::from(grid.zero_point)).collect();
        let (low, high) = (f64::from(low), f64::from(high));
        let integer = |x: f32, scale: f64, zero: f64| -> u8 {
            let q = f64::from(x) / scale;
            let (low, high) = (low - zero, high - zero);
            let q = if q < low { low } else { q };
            let q = if q > high { high } else { q };
            // The last bits of the sum are those of the integer nearest to `q`, ties to even.
            ((q + TO_INTEGER).to_bits() as u8).wrapping_add((zero + TO_INTEGER).to_bits() as u8)
        };
        let mut bytes = vec![0u8; elements.len()];
        for Run { start, len, grid, along } in self.runs(dims) {
            let pairs = bytes[start..start + len].iter_mut().zip(&elements[start..start + len]);
            if along {
                let grids = scales[grid..grid + len].iter().zip(&zeros[grid..grid + len]);
                pairs
                    .zip(grids)
                    .for_each(|((q, &x), (&scale, &zero))| *q = integer(x, scale, zero));
            } else {
                let (scale, zero) = (scales[grid], zeros[grid]);
                pairs.for_each(|(q, &x)| *q = integer(x, scale, zero));
            }
        }
        Some(bytes)
    }
}

/// 1.5 times 2 to the power of 52: doubles near it are integers.
const TO_INTEGER: f64 = 6_755_399_441_055_744.0;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::passes::quantize::quantize_static::Format;
    use crate::tensor::DType;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn runs_are_the_elements_one_by_one(
            dims in proptest::collection::vec(1usize..6, 1..4), at in 0usize..4, kind in 0usize..4,
            seed: u32, symmetric: bool,
        ) {
            let axis = at % dims.len();
            let share = match kind {
                0 => Share::Tensor,
                1 => Share::Axis(axis),
                size => Share::Block { axis, size },
            };
            let total: usize = dims.iter().product();
            let mut state = seed;
            let elements: Vec<f32> = (0..total).map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                // Many are halves of the scale, which are ties.
                (state >> 28) as f32 - 7.5
            }).collect();
            let count: usize = share.dims(&dims).iter().product();
            let index = share.index(&dims);
            let mut ranges = vec![Range { min: 0.0, max: 0.0 }; count];
            for (i, &x) in elements.iter().enumerate() {
                let range = &mut ranges[index(i)];
                *range = Range { min: range.min.min(x), max: range.max.max(x) };
            }
            prop_assert_eq!(share.ranges(&dims, &elements, count), ranges.clone());
            for dtype in [DType::Int8, DType::Uint4, DType::Int4, DType::Int2] {
                let format = Format { dtype, symmetric, power_of_two: true };
                let grids: Vec<Grid> = ranges.iter().map(|&range| format.grid(range)).collect();
                let found = share.small_integers(&dims, &elements, &grids).unwrap();
                let expected: Vec<u8> = elements.iter().enumerate()
                    .map(|(i, &x)| grids[index(i)].quantize(x) as u8).collect();
                prop_assert_eq!(found, expected);
            }
        }
    }
}
