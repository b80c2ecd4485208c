//! The rows that a layer multiplies with its weights.
//!
//! Every linear layer is `y = W x` for many vectors `x`: the rows of the left operand of a MatMul, the
//! windows that a Conv looks at (im2col: Chellapilla et al., "High Performance Convolutional Neural
//! Networks for Document Processing", 2006), or, for ConvTranspose, the elements that meet in one element
//! of the output. Here the vectors are cut out, all of them or some that are spread evenly.

use crate::math::Moments;

/// How the input of a layer becomes rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unfold {
    /// The last axis of the input counts columns.
    Rows,
    /// The first axis of a matrix does.
    Columns,
    /// A row for each position of a window.
    Windows(Windows),
}

/// The geometry of Conv or ConvTranspose, one number for each spatial axis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Windows {
    /// Number of groups of channels.
    pub groups: usize,
    /// A ConvTranspose.
    pub transposed: bool,
    /// Extents of the kernel.
    pub kernel: Vec<usize>,
    /// Distance of neighbouring windows; of a ConvTranspose, of neighbouring inputs in the output.
    pub strides: Vec<usize>,
    /// Distance of neighbouring elements of a window.
    pub dilations: Vec<usize>,
    /// Zeros around the input; of a ConvTranspose, what is cut off the output.
    pub padding: Padding,
}

/// Zeros around an input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Padding {
    /// So many before and after each axis; negative ones cut off.
    Explicit {
        /// Before each axis.
        begin: Vec<i64>,
        /// After each axis.
        end: Vec<i64>,
    },
    /// As many windows as the input has strides; an odd zero comes at the end.
    SameUpper,
    /// The same; an odd zero comes first.
    SameLower,
}

/// Rows for each group: element `c` of row `r` of group `g` stands at `(g · rows + r) · columns + c`.
/// A column is a channel of the group and, within it, a place in the kernel.
#[derive(Debug, Clone, PartialEq)]
pub struct Unfolded {
    /// Number of groups.
    pub groups: usize,
    /// Rows of each group.
    pub rows: usize,
    /// Elements of a row.
    pub columns: usize,
    /// All elements.
    pub elements: Vec<f32>,
}

impl Unfolded {
    /// Number, sum and squares of the rows of each group.
    pub fn moments(&self) -> Vec<Moments> {
        let size = self.rows * self.columns;
        let group = |group: usize| {
            let mut moments = Moments::first(self.columns);
            moments.add(&self.elements[group * size..(group + 1) * size]);
            moments
        };
        (0..self.groups).map(group).collect()
    }
}

/// Most elements of all rows together, 2 GiB: wider layers are not looked at.
const MOST_ELEMENTS: usize = 1 << 29;

impl Unfold {
    /// The rows of an input of `dims`, `most` of them at most: then those taken depend on `dims` alone.
    /// `None` for an input that such a layer cannot have.
    pub fn of(&self, dims: &[usize], elements: &[f32], most: usize) -> Option<Unfolded> {
        let (rows, columns) = match self {
            Self::Windows(windows) => return windows.of(dims, elements, most),
            Self::Rows => {
                let columns = *dims.last()?;
                (elements.len().checked_div(columns)?, columns)
            }
            Self::Columns => (*dims.get(1).filter(|_| dims.len() == 2)?, dims[0]),
        };
        if rows.checked_mul(columns)? != elements.len() {
            return None;
        }
        let chosen = spread(rows, most);
        let mut taken = Vec::with_capacity(chosen.len() * columns);
        for &row in &chosen {
            match self {
                Self::Columns => taken.extend(elements.iter().skip(row).step_by(rows)),
                _ => taken.extend(&elements[row * columns..(row + 1) * columns]),
            }
        }
        Some(Unfolded { groups: 1, rows: chosen.len(), columns, elements: taken })
    }
}

/// `most` of the numbers below `all`, or all of them: steps of the golden ratio leave no part out, and
/// meet no period of the positions.
fn spread(all: usize, most: usize) -> Vec<usize> {
    const GOLDEN: f64 = 0.618_033_988_749_894_9;
    if all <= most {
        return (0..all).collect();
    }
    let mut step = ((all as f64 * GOLDEN) as usize).max(1);
    while common_divisor(step, all) != 1 {
        step += 1;
    }
    let (mut at, mut chosen) = (0, Vec::with_capacity(most));
    for _ in 0..most {
        chosen.push(at);
        at = (at + step) % all;
    }
    chosen.sort_unstable();
    chosen
}

fn common_divisor(a: usize, b: usize) -> usize {
    if b == 0 { a } else { common_divisor(b, a % b) }
}

impl Windows {
    /// Windows of one position, as many axes, over all channels.
    pub fn points(&self) -> Self {
        let axes = self.kernel.len();
        let padding = Padding::Explicit { begin: vec![0; axes], end: vec![0; axes] };
        let ones = vec![1; axes];
        let (strides, dilations) = (ones.clone(), ones.clone());
        Self { groups: 1, transposed: false, kernel: ones, strides, dilations, padding }
    }

    fn of(&self, dims: &[usize], elements: &[f32], most: usize) -> Option<Unfolded> {
        let (batch, channels, extents) = match dims {
            [batch, channels, extents @ ..] if extents.len() == self.kernel.len() => {
                (*batch, *channels, extents)
            }
            _ => return None,
        };
        let lengths = [self.strides.len(), self.dilations.len()];
        let per_group = channels.checked_div(self.groups)?;
        if lengths != [extents.len(); 2] || per_group * self.groups != channels {
            return None;
        }
        let plane: usize = extents.iter().product();
        if batch.checked_mul(channels)?.checked_mul(plane)? != elements.len() {
            return None;
        }
        let axes: Vec<Axis> =
            (0..extents.len()).map(|i| self.axis(i, extents[i])).collect::<Option<_>>()?;
        let outputs: usize = axes.iter().map(|axis| axis.outputs).product();
        let kernel: usize = self.kernel.iter().product();
        let columns = per_group.checked_mul(kernel)?;
        let chosen = spread(batch.checked_mul(outputs)?, most);
        let size = chosen.len().checked_mul(columns)?.checked_mul(self.groups)?;
        if size > MOST_ELEMENTS {
            return None;
        }
        let mut taken = vec![0f32; size];
        // For each place of the kernel, where it lies in the plane; `None` in the padding.
        let mut sources = vec![None; kernel];
        for (row, &position) in chosen.iter().enumerate() {
            let sample = position / outputs;
            self.sources(&axes, extents, position % outputs, &mut sources);
            for channel in 0..channels {
                let (group, within) = (channel / per_group, channel % per_group);
                let from = &elements[(sample * channels + channel) * plane..][..plane];
                let at = (group * chosen.len() + row) * columns + within * kernel;
                for (to, source) in taken[at..at + kernel].iter_mut().zip(&sources) {
                    *to = source.map_or(0.0, |source| from[source]);
                }
            }
        }
        Some(Unfolded { groups: self.groups, rows: chosen.len(), columns, elements: taken })
    }

    /// What an axis of an input gives; `None` when the window does not fit.
    fn axis(&self, i: usize, extent: usize) -> Option<Axis> {
        let signed = |x: usize| i64::try_from(x).ok().filter(|&x| x < 1 << 31);
        let (input, stride) = (signed(extent)?, signed(self.strides[i])?.max(1));
        let dilation = signed(self.dilations[i])?.max(1);
        let reach = (signed(self.kernel[i])?.checked_sub(1)?).checked_mul(dilation)? + 1;
        let same = || (((input + stride - 1) / stride - 1) * stride + reach - input).max(0);
        let (begin, end) = match &self.padding {
            Padding::Explicit { begin, end } => (*begin.get(i)?, *end.get(i)?),
            _ if self.transposed => return None,
            Padding::SameUpper => (same() / 2, same() - same() / 2),
            Padding::SameLower => (same() - same() / 2, same() / 2),
        };
        let outputs = if self.transposed {
            (input.checked_sub(1)?).checked_mul(stride)?.checked_add(reach)? - begin - end
        } else {
            (input + begin + end - reach).div_euclid(stride) + 1
        };
        let outputs = usize::try_from(outputs).ok().filter(|&outputs| outputs > 0)?;
        Some(Axis { outputs, begin, stride, dilation })
    }

    /// Where the elements lie that an output is made of.
    fn sources(&self, axes: &[Axis], extents: &[usize], output: usize, to: &mut [Option<usize>]) {
        let mut places = vec![0i64; axes.len()];
        let mut rest = output;
        for (place, axis) in places.iter_mut().zip(axes).rev() {
            *place = (rest % axis.outputs) as i64;
            rest /= axis.outputs;
        }
        for (k, source) in to.iter_mut().enumerate() {
            let (mut rest, mut flat, mut step) = (k, Some(0usize), 1);
            for i in (0..axes.len()).rev() {
                let within = (rest % self.kernel[i]) as i64;
                rest /= self.kernel[i];
                let at = axes[i].source(places[i], within, self.transposed);
                let at = at.and_then(|at| usize::try_from(at).ok()).filter(|&at| at < extents[i]);
                flat = flat.zip(at).map(|(flat, at)| flat + at * step);
                step *= extents[i];
            }
            *source = flat;
        }
    }
}

/// One spatial axis of an input.
struct Axis {
    outputs: usize,
    begin: i64,
    stride: i64,
    dilation: i64,
}

impl Axis {
    /// The element of the input that place `within` of the kernel multiplies for an output.
    fn source(&self, output: i64, within: i64, transposed: bool) -> Option<i64> {
        if !transposed {
            return Some(output * self.stride - self.begin + within * self.dilation);
        }
        let from = output + self.begin - within * self.dilation;
        (from.rem_euclid(self.stride) == 0).then(|| from.div_euclid(self.stride))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn windows(kernel: usize, stride: usize, begin: i64, end: i64) -> Windows {
        Windows {
            groups: 1,
            transposed: false,
            kernel: vec![kernel],
            strides: vec![stride],
            dilations: vec![1],
            padding: Padding::Explicit { begin: vec![begin], end: vec![end] },
        }
    }

    fn rows(unfold: &Unfold, dims: &[usize], elements: &[f32]) -> Vec<Vec<f32>> {
        let found = unfold.of(dims, elements, usize::MAX).unwrap();
        found.elements.chunks(found.columns).map(<[f32]>::to_vec).collect()
    }

    #[test]
    fn rows_are_those_of_matrices() {
        let x = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        assert_eq!(rows(&Unfold::Rows, &[1, 2, 3], &x), [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]);
        assert_eq!(rows(&Unfold::Columns, &[2, 3], &x), [[1.0, 4.0], [2.0, 5.0], [3.0, 6.0]]);
        assert_eq!(Unfold::Columns.of(&[1, 2, 3], &x, 9), None);
        assert_eq!(Unfold::Rows.of(&[0], &[], 9), None);
    }

    #[test]
    fn windows_are_padded_with_zeros() {
        let unfold = Unfold::Windows(windows(3, 2, 1, 0));
        let found = rows(&unfold, &[1, 1, 5], &[1.0, 2.0, 3.0, 4.0, 5.0]);
        assert_eq!(found, [[0.0, 1.0, 2.0], [2.0, 3.0, 4.0]]);
        let same = Unfold::Windows(Windows { padding: Padding::SameUpper, ..windows(2, 1, 0, 0) });
        assert_eq!(rows(&same, &[1, 1, 2], &[1.0, 2.0]), [[1.0, 2.0], [2.0, 0.0]]);
        let same = Unfold::Windows(Windows { padding: Padding::SameLower, ..windows(2, 1, 0, 0) });
        assert_eq!(rows(&same, &[1, 1, 2], &[1.0, 2.0]), [[0.0, 1.0], [1.0, 2.0]]);
    }

    #[test]
    fn groups_have_rows_of_their_own() {
        let unfold = Unfold::Windows(Windows { groups: 2, ..windows(2, 1, 0, 0) });
        let found = rows(&unfold, &[1, 2, 3], &[1.0, 2.0, 3.0, 10.0, 20.0, 30.0]);
        assert_eq!(found, [[1.0, 2.0], [2.0, 3.0], [10.0, 20.0], [20.0, 30.0]]);
    }

    #[test]
    fn what_meets_in_an_output_of_a_transposed_convolution() {
        let unfold = Unfold::Windows(Windows { transposed: true, ..windows(3, 2, 1, 0) });
        let (x, w) = ([1.0f32, 2.0, 4.0], [1.0f32, 10.0, 100.0]);
        // Each input is spread over three outputs, two apart; the first output is cut off.
        let mut whole = [0f32; 7];
        for (i, x) in x.iter().enumerate() {
            for (k, w) in w.iter().enumerate() {
                whole[2 * i + k] += x * w;
            }
        }
        let found: Vec<f32> = rows(&unfold, &[1, 1, 3], &x)
            .iter()
            .map(|row| row.iter().zip(&w).map(|(x, w)| x * w).sum())
            .collect();
        assert_eq!(found, whole[1..]);
    }

    #[test]
    fn some_of_many_are_spread_without_repetition() {
        let chosen = spread(64 * 64, 64);
        let columns: std::collections::HashSet<usize> = chosen.iter().map(|at| at % 64).collect();
        assert!(columns.len() > 32, "{chosen:?}");
        let mut all = spread(97, 96);
        all.dedup();
        assert_eq!((all.len(), spread(5, 9)), (96, vec![0, 1, 2, 3, 4]));
    }
}
