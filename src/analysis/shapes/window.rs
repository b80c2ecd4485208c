//! Operators that slide a window: convolutions and poolings.

use crate::analysis::shapes::call::Call;
use crate::analysis::shapes::fact::{Dims, Extent, Fact, product};
use crate::tensor::DType;

/// How a window moves, one entry for each spatial axis.
struct Window<'a> {
    kernel: Dims,
    strides: Vec<i64>,
    dilations: Vec<i64>,
    begin: Vec<i64>,
    end: Vec<i64>,
    /// `NOTSET`, `VALID`, `SAME_UPPER` or `SAME_LOWER`.
    auto_pad: &'a str,
    ceil: bool,
}

impl<'a> Window<'a> {
    /// The window of `call`; nothing when its attributes contradict each other.
    fn of(call: &Call<'a>, kernel: Dims) -> Option<Self> {
        let rank = kernel.len();
        let positive = |name| match call.node.attr_ints(name) {
            None => Some(vec![1; rank]),
            Some(xs) => (xs.len() == rank && xs.iter().all(|&x| x > 0)).then(|| xs.to_vec()),
        };
        let auto_pad = call.text("auto_pad", "NOTSET");
        let (begin, end) = match call.node.attr_ints("pads") {
            Some(pads) if auto_pad == "NOTSET" => {
                if Some(pads.len()) != rank.checked_mul(2) {
                    return None;
                }
                (pads[..rank].to_vec(), pads[rank..].to_vec())
            }
            _ => (vec![0; rank], vec![0; rank]),
        };
        let ceil = call.flag("ceil_mode", false);
        let (strides, dilations) = (positive("strides")?, positive("dilations")?);
        Some(Self { kernel, strides, dilations, begin, end, auto_pad, ceil })
    }

    /// Elements one window covers, gaps included.
    fn reach(&self, axis: usize) -> Option<i128> {
        let kernel = whole(self.kernel[axis]).filter(|&k| k > 0)?;
        Some(i128::from(self.dilations[axis]) * (kernel - 1) + 1)
    }

    /// Positions of the window along an axis of `extent` elements.
    fn positions(&self, axis: usize, extent: Extent) -> Extent {
        let extent = whole(extent)?;
        let stride = i128::from(self.strides[axis]);
        match self.auto_pad {
            "SAME_UPPER" | "SAME_LOWER" => usize::try_from((extent + stride - 1) / stride).ok(),
            "NOTSET" | "VALID" => {
                let (begin, end) = (i128::from(self.begin[axis]), i128::from(self.end[axis]));
                let room = extent + begin + end - self.reach(axis)?;
                if room < 0 {
                    return None;
                }
                let mut positions = room / stride + 1;
                if self.ceil {
                    let rest = room % stride != 0;
                    if rest && self.auto_pad == "VALID" {
                        // The specification and the engines disagree on this combination.
                        return None;
                    }
                    positions += i128::from(rest);
                    // A last window that starts in the padding behind the data is left out.
                    positions -= i128::from((positions - 1) * stride >= extent + begin);
                }
                usize::try_from(positions).ok()
            }
            _ => None,
        }
    }

    /// The extent that a transposed convolution makes of `extent`.
    fn spread(&self, axis: usize, extent: Extent, extra: i64) -> Extent {
        let extent = whole(extent)?;
        let stride = i128::from(self.strides[axis]);
        let reach = self.reach(axis)?;
        match self.auto_pad {
            "SAME_UPPER" | "SAME_LOWER" if extra == 0 && reach >= stride => {
                usize::try_from(extent * stride).ok()
            }
            "NOTSET" | "VALID" if extent > 0 => {
                let pads = i128::from(self.begin[axis]) + i128::from(self.end[axis]);
                usize::try_from(stride * (extent - 1) + i128::from(extra) + reach - pads).ok()
            }
            _ => None,
        }
    }
}

/// An extent below 2^63: products of two such numbers and their sums stay within `i128`.
fn whole(extent: Extent) -> Option<i128> {
    i64::try_from(extent?).ok().map(i128::from)
}

/// `[N, C, d1, …]` as batch, channels and spatial axes.
fn split(dims: &[Extent]) -> Option<(Extent, Extent, &[Extent])> {
    match dims {
        [n, c, spatial @ ..] => Some((*n, *c, spatial)),
        _ => None,
    }
}

/// Extents of a kernel: those of the weights `w`, else the attribute.
fn kernel(call: &Call<'_>, weights: Option<&[Extent]>, rank: usize) -> Option<Dims> {
    let own = weights.and_then(|w| w.get(2..)).filter(|k| k.len() == rank);
    let listed = call.node.attr_ints("kernel_shape").filter(|k| k.len() == rank);
    let listed = |i: usize| listed.and_then(|k| usize::try_from(*k.get(i)?).ok());
    if own.is_none() && listed(0).is_none() && rank > 0 {
        return None;
    }
    Some((0..rank).map(|i| own.and_then(|k| k[i]).or(listed(i))).collect())
}

fn conv_dims(call: &Call<'_>, x: usize, w: usize) -> Option<Dims> {
    let weights = call.dims(w);
    let output_channels = weights.and_then(|w| w.first().copied().flatten());
    let Some(x) = call.dims(x) else {
        let rank = weights.map(<[_]>::len).filter(|&rank| rank >= 2)?;
        let mut dims = vec![None; rank];
        dims[1] = output_channels;
        return Some(dims);
    };
    let (batch, _, spatial) = split(x)?;
    let mut dims = vec![batch, output_channels];
    match kernel(call, weights, spatial.len()).and_then(|kernel| Window::of(call, kernel)) {
        Some(window) => {
            dims.extend(spatial.iter().enumerate().map(|(i, &d)| window.positions(i, d)));
        }
        None => dims.extend(spatial.iter().map(|_| None)),
    }
    Some(dims)
}

/// Conv and FusedConv: `x`, `w`, …
pub(super) fn conv(call: &Call<'_>) -> Fact {
    Fact::new(call.dtype(0), conv_dims(call, 0, 1))
}

/// ConvInteger.
pub(super) fn conv_integer(call: &Call<'_>) -> Fact {
    Fact::new(Some(DType::Int32), conv_dims(call, 0, 1))
}

/// QLinearConv: `x, x_scale, x_zero, w, w_scale, w_zero, y_scale, y_zero, b`.
pub(super) fn qlinear_conv(call: &Call<'_>) -> Fact {
    let dims = if call.flag("channels_last", false) { None } else { conv_dims(call, 0, 3) };
    Fact::new(call.dtype(7).or(call.dtype(0)), dims)
}

/// ConvTranspose.
pub(super) fn conv_transpose(call: &Call<'_>) -> Fact {
    Fact::new(call.dtype(0), conv_transpose_dims(call))
}

fn conv_transpose_dims(call: &Call<'_>) -> Option<Dims> {
    let (batch, _, spatial) = split(call.dims(0)?)?;
    let rank = spatial.len();
    let group = usize::try_from(call.int("group", 1)).ok().filter(|&g| g > 0);
    let channels = call.dims(1).and_then(|w| w.get(1).copied().flatten());
    let channels = channels.zip(group).and_then(|(c, g)| c.checked_mul(g));
    let mut dims = vec![batch, channels];
    if let Some(shape) = call.node.attr_ints("output_shape").filter(|s| !s.is_empty()) {
        // Some exporters list batch and channels too; the spatial extents are the last ones.
        let spatial = &shape[shape.len().checked_sub(rank)?..];
        dims.extend(spatial.iter().map(|&d| usize::try_from(d).ok()));
        return Some(dims);
    }
    let extra = call.node.attr_ints("output_padding");
    let window = kernel(call, call.dims(1), rank).and_then(|kernel| Window::of(call, kernel));
    match window.filter(|_| extra.is_none_or(|e| e.len() == rank)) {
        Some(window) => dims.extend(
            spatial
                .iter()
                .enumerate()
                .map(|(i, &d)| window.spread(i, d, extra.map_or(0, |e| e[i]))),
        ),
        None => dims.extend(spatial.iter().map(|_| None)),
    }
    Some(dims)
}

fn pool_dims(call: &Call<'_>) -> Option<Dims> {
    let (batch, channels, spatial) = split(call.dims(0)?)?;
    let window = kernel(call, None, spatial.len()).and_then(|kernel| Window::of(call, kernel));
    // Engines forget the gaps of a dilated pooling window when they pad by themselves.
    let clear = |w: &Window<'_>| w.auto_pad == "NOTSET" || w.dilations.iter().all(|&d| d == 1);
    let window = window.filter(clear);
    let extent = |(i, &d): (usize, &Extent)| window.as_ref().and_then(|w| w.positions(i, d));
    Some([batch, channels].into_iter().chain(spatial.iter().enumerate().map(extent)).collect())
}

/// AveragePool and LpPool.
pub(super) fn pool(call: &Call<'_>) -> Fact {
    Fact::new(call.dtype(0), pool_dims(call))
}

/// MaxPool: values and their indices.
pub(super) fn max_pool(call: &Call<'_>) -> Vec<Fact> {
    let dims = pool_dims(call);
    vec![Fact::new(call.dtype(0), dims.clone()), Fact::new(Some(DType::Int64), dims)]
}

/// QLinearAveragePool: `x, x_scale, x_zero, y_scale, y_zero`.
pub(super) fn qlinear_pool(call: &Call<'_>) -> Fact {
    let dims = if call.flag("channels_last", false) { None } else { pool_dims(call) };
    Fact::new(call.dtype(0), dims)
}

/// GlobalAveragePool, GlobalMaxPool, GlobalLpPool, QLinearGlobalAveragePool.
pub(super) fn global_pool(call: &Call<'_>) -> Fact {
    let last = call.flag("channels_last", false);
    let dims = call.shape(0).map(|mut dims| {
        let rank = dims.len();
        let spatial = if last { 1..rank.saturating_sub(1).max(1) } else { 2..rank.max(2) };
        dims.iter_mut().take(spatial.end).skip(spatial.start).for_each(|d| *d = Some(1));
        dims
    });
    Fact::new(call.dtype(0), dims)
}

/// Col2Im: columns `[N, C·block, L]` become an image whose spatial extents an input lists.
pub(super) fn col2im(call: &Call<'_>) -> Fact {
    let extent = |d: &Option<i64>| d.and_then(|d| usize::try_from(d).ok());
    let dims = call.dims(0).zip(call.ints(1)).map(|(columns, image)| {
        let block: Option<Dims> = call.ints(2).map(|block| block.iter().map(extent).collect());
        let area = block.and_then(|block| product(&block));
        let rows = columns.get(1).copied().flatten().zip(area);
        let channels = rows.and_then(|(rows, area)| rows.checked_div(area));
        let batch = columns.first().copied().flatten();
        [batch, channels].into_iter().chain(image.iter().map(extent)).collect()
    });
    Fact::new(call.dtype(0), dims)
}

/// MaxUnpool: the extents are those of an input, or those that the pooling started from.
pub(super) fn max_unpool(call: &Call<'_>) -> Fact {
    let unpooled = || {
        let (batch, channels, spatial) = split(call.dims(0)?)?;
        let window = Window::of(call, kernel(call, None, spatial.len())?)?;
        let extent = |(i, &d): (usize, &Extent)| window.spread(i, d, 0);
        Some([batch, channels].into_iter().chain(spatial.iter().enumerate().map(extent)).collect())
    };
    let dims = match (call.has(2), call.ints(2)) {
        (false, _) => unpooled(),
        (true, Some(shape)) => {
            Some(shape.iter().map(|d| d.and_then(|d| usize::try_from(d).ok())).collect())
        }
        (true, None) => call.shape(0).map(|dims| vec![None; dims.len()]),
    };
    Fact::new(call.dtype(0), dims)
}

/// RoiAlign: `[regions, C, height, width]`; MaxRoiPool with the attribute `pooled_shape`.
pub(super) fn roi(call: &Call<'_>) -> Fact {
    let (height, width) = match call.node.attr_ints("pooled_shape") {
        Some([h, w]) => (usize::try_from(*h).ok(), usize::try_from(*w).ok()),
        Some(_) => (None, None),
        None => (
            usize::try_from(call.int("output_height", 1)).ok(),
            usize::try_from(call.int("output_width", 1)).ok(),
        ),
    };
    let regions = call.dims(1).and_then(|r| r.first().copied().flatten());
    let channels = call.dims(0).and_then(|x| x.get(1).copied().flatten());
    Fact::new(call.dtype(0), Some(vec![regions, channels, height, width]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(kernel: usize, stride: i64, pads: [i64; 2], ceil: bool) -> Window<'static> {
        Window {
            kernel: vec![Some(kernel)],
            strides: vec![stride],
            dilations: vec![1],
            begin: vec![pads[0]],
            end: vec![pads[1]],
            auto_pad: "NOTSET",
            ceil,
        }
    }

    #[test]
    fn windows_count_as_the_specification_says() {
        assert_eq!(window(3, 2, [1, 1], false).positions(0, Some(32)), Some(16));
        assert_eq!(window(3, 2, [0, 0], true).positions(0, Some(32)), Some(16));
        // The fifth window would start in the padding.
        assert_eq!(window(1, 2, [0, 2], true).positions(0, Some(7)), Some(4));
        assert_eq!(window(3, 1, [-1, -1], false).positions(0, Some(8)), Some(4));
        assert_eq!(window(9, 1, [0, 0], false).positions(0, Some(8)), None);
        let same = Window { auto_pad: "SAME_LOWER", ..window(5, 3, [0, 0], false) };
        assert_eq!(same.positions(0, Some(10)), Some(4));
    }

    #[test]
    fn extreme_windows_are_unknown_or_exact() {
        let far = window(usize::MAX, i64::MAX, [i64::MIN, i64::MAX], false);
        assert_eq!(far.positions(0, Some(usize::MAX)), None);
        assert_eq!(far.spread(0, Some(usize::MAX), i64::MAX), None);
        assert_eq!(window(0, 1, [0, 0], false).positions(0, Some(8)), None);
    }
}
