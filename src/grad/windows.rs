//! Which places of an input each place of a window operator looks at, for any number of axes.

use std::sync::Arc;

/// No place: the padding.
pub(super) const NOWHERE: u32 = u32::MAX;

/// Extents of a window operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Geometry {
    pub input: Vec<usize>,
    pub output: Vec<usize>,
    pub kernel: Vec<usize>,
    pub strides: Vec<usize>,
    pub dilations: Vec<usize>,
    /// Padding before the first place of each axis.
    pub begin: Vec<i64>,
}

/// The places of the input for each place of the output and each tap of the kernel.
#[derive(Debug, Clone)]
pub(super) struct Windows {
    /// Row-major: places of the output, then taps.
    pub table: Arc<[u32]>,
    /// Places of the input, of the output, taps.
    pub places: usize,
    pub outputs: usize,
    pub taps: usize,
    /// Each place looks at itself alone.
    pub trivial: bool,
}

impl Windows {
    pub fn new(geometry: &Geometry) -> Self {
        let product = |extents: &[usize]| extents.iter().product::<usize>();
        let (places, outputs, taps) =
            (product(&geometry.input), product(&geometry.output), product(&geometry.kernel));
        let mut table = Vec::with_capacity(outputs * taps);
        for o in 0..outputs {
            for t in 0..taps {
                table.push(geometry.place(o, t).map_or(NOWHERE, |place| place as u32));
            }
        }
        let trivial = taps == 1 && table.iter().enumerate().all(|(i, &place)| place as usize == i);
        let trivial = trivial && places == outputs;
        Self { table: table.into(), places, outputs, taps, trivial }
    }

    /// The places that a place of the output looks at.
    pub fn of(&self, output: usize) -> &[u32] {
        &self.table[output * self.taps..][..self.taps]
    }
}

impl Geometry {
    fn place(&self, mut output: usize, mut tap: usize) -> Option<usize> {
        let (mut place, mut stride) = (0, 1);
        for axis in (0..self.input.len()).rev() {
            let o = output % self.output[axis];
            let t = tap % self.kernel[axis];
            output /= self.output[axis];
            tap /= self.kernel[axis];
            let at = (o * self.strides[axis] + t * self.dilations[axis]) as i64 - self.begin[axis];
            let at = usize::try_from(at).ok().filter(|&at| at < self.input[axis])?;
            place += at * stride;
            stride *= self.input[axis];
        }
        Some(place)
    }

    /// Cells of the padded extent that a window covers, for averages that count the padding.
    pub fn covered(&self, end: &[i64], mut output: usize) -> usize {
        let mut cells = 1;
        for axis in (0..self.input.len()).rev() {
            let o = output % self.output[axis];
            output /= self.output[axis];
            let extent = self.input[axis] as i64 + self.begin[axis] + end[axis];
            let taps = (0..self.kernel[axis])
                .filter(|t| ((o * self.strides[axis] + t * self.dilations[axis]) as i64) < extent);
            cells *= taps.count();
        }
        cells
    }
}
