//! Operators that slide a window: convolutions and poolings.

use crate::analysis::shapes::call::Call;
use crate::analysis::shapes::fact::{Dims, Fact, product, unknown};
use crate::analysis::shapes::term::Term;
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
    fn reach(&self, axis: usize) -> Term {
        let kernel = self.kernel[axis].clone();
        let kernel = if kernel.known().is_some_and(|k| k <= 0) { Term::Unknown } else { kernel };
        (kernel - 1) * self.dilations[axis] + 1
    }

    /// Positions of the window along an axis of `extent` elements.
    fn positions(&self, axis: usize, extent: &Term) -> Term {
        let stride = self.strides[axis];
        match self.auto_pad {
            "SAME_UPPER" | "SAME_LOWER" => extent.ceil_div(stride),
            "NOTSET" | "VALID" => {
                let padded = extent + self.begin[axis];
                let room = &padded + self.end[axis] - self.reach(axis);
                if room.known().is_some_and(|room| room < 0) {
                    return Term::Unknown;
                }
                let down = room.floor_div(stride) + 1;
                if !self.ceil {
                    return down;
                }
                let up = room.ceil_div(stride) + 1;
                if up != down && self.auto_pad == "VALID" {
                    // The specification and the engines disagree on this combination.
                    return Term::Unknown;
                }
                // A last window that starts in the padding behind the data is left out.
                let last = (&up - 1) * stride;
                let fits = last.at_most(&(&padded - 1)) || self.last_fits(axis);
                match (fits, padded.at_most(&last)) {
                    (true, _) => up,
                    (_, true) => up - 1,
                    _ => Term::Unknown,
                }
            }
            _ => Term::Unknown,
        }
    }

    /// True when a window that reaches past the padding behind the data still starts before it:
    /// it starts less than a stride after the last full one.
    fn last_fits(&self, axis: usize) -> bool {
        (self.reach(axis) - self.end[axis] - self.strides[axis]).at_least(0)
    }

    /// The extent that a transposed convolution makes of `extent`.
    fn spread(&self, axis: usize, extent: &Term, extra: i64) -> Term {
        let stride = self.strides[axis];
        let reach = self.reach(axis);
        match self.auto_pad {
            "SAME_UPPER" | "SAME_LOWER" if extra == 0 && (&reach - stride).at_least(0) => {
                extent * stride
            }
            "NOTSET" | "VALID" if *extent != 0 => {
                (extent - 1) * stride + extra + reach - self.begin[axis] - self.end[axis]
            }
            _ => Term::Unknown,
        }
    }
}

/// `[N, C, d1, …]` as batch, channels and spatial axes.
fn split(dims: &[Term]) -> Option<(&Term, &Term, &[Term])> {
    match dims {
        [n, c, spatial @ ..] => Some((n, c, spatial)),
        _ => None,
    }
}

/// Extents of a kernel: those of the weights `w`, else the attribute.
fn kernel(call: &Call<'_>, weights: Option<&[Term]>, rank: usize) -> Option<Dims> {
    let own = weights.and_then(|w| w.get(2..)).filter(|k| k.len() == rank);
    let listed = call.node.attr_ints("kernel_shape").filter(|k| k.len() == rank);
    if own.is_none() && listed.is_none() && rank > 0 {
        return None;
    }
    let listed = |i: usize| Term::from(listed.and_then(|k| k.get(i)).copied());
    Some((0..rank).map(|i| Term::from(own.map(|k| &k[i])).also(&listed(i))).collect())
}

fn conv_dims(call: &Call<'_>, x: usize, w: usize) -> Option<Dims> {
    let weights = call.dims(w);
    let output_channels = call.extent(w, 0);
    let Some(x) = call.dims(x) else {
        let mut dims = unknown(weights.map(<[_]>::len).filter(|&rank| rank >= 2)?);
        dims[1] = output_channels;
        return Some(dims);
    };
    let (batch, _, spatial) = split(x)?;
    let mut dims = vec![batch.clone(), output_channels];
    match kernel(call, weights, spatial.len()).and_then(|kernel| Window::of(call, kernel)) {
        Some(window) => {
            dims.extend(spatial.iter().enumerate().map(|(i, d)| window.positions(i, d)));
        }
        None => dims.extend(unknown(spatial.len())),
    }
    Some(dims)
}

/// Conv and FusedConv: `x`, `w`, …
pub(super) fn conv(call: &Call<'_>) -> Fact {
    Fact::new(call.dtype(0), conv_dims(call, 0, 1))
}

/// NhwcConv: channels stand last; the spatial extents are not followed.
pub(super) fn nhwc_conv(call: &Call<'_>) -> Fact {
    let dims = call.dims(0).filter(|x| x.len() > 2).map(|x| {
        let mut dims = unknown(x.len());
        dims[0] = call.extent(0, 0);
        dims[x.len() - 1] = call.extent(1, 0);
        dims
    });
    Fact::new(call.dtype(0), dims)
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
    let mut dims = vec![batch.clone(), call.extent(1, 1) * call.int("group", 1)];
    if let Some(shape) = call.node.attr_ints("output_shape").filter(|s| !s.is_empty()) {
        // Some exporters list batch and channels too; the spatial extents are the last ones.
        let spatial = &shape[shape.len().checked_sub(rank)?..];
        dims.extend(spatial.iter().copied().map(Term::Known));
        return Some(dims);
    }
    let extra = call.node.attr_ints("output_padding");
    let window = kernel(call, call.dims(1), rank).and_then(|kernel| Window::of(call, kernel));
    match window.filter(|_| extra.is_none_or(|e| e.len() == rank)) {
        Some(window) => dims.extend(
            spatial.iter().enumerate().map(|(i, d)| window.spread(i, d, extra.map_or(0, |e| e[i]))),
        ),
        None => dims.extend(unknown(rank)),
    }
    Some(dims)
}

fn pool_dims(call: &Call<'_>) -> Option<Dims> {
    let (batch, channels, spatial) = split(call.dims(0)?)?;
    let window = kernel(call, None, spatial.len()).and_then(|kernel| Window::of(call, kernel));
    // Engines forget the gaps of a dilated pooling window when they pad by themselves.
    let clear = |w: &Window<'_>| w.auto_pad == "NOTSET" || w.dilations.iter().all(|&d| d == 1);
    let window = window.filter(clear);
    let extent = |(i, d): (usize, &Term)| window.as_ref().map(|w| w.positions(i, d)).into();
    let spatial = spatial.iter().enumerate().map(extent);
    Some([batch, channels].into_iter().cloned().chain(spatial).collect())
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
        dims.iter_mut().take(spatial.end).skip(spatial.start).for_each(|d| *d = Term::ONE);
        dims
    });
    Fact::new(call.dtype(0), dims)
}

/// Col2Im: columns `[N, C·block, L]` become an image whose spatial extents an input lists.
pub(super) fn col2im(call: &Call<'_>) -> Fact {
    let dims = call.listed(1).map(|image| {
        let area = Term::from(call.ints(2).map(product));
        [vec![call.extent(0, 0), call.extent(0, 1).quotient(area)], image].concat()
    });
    Fact::new(call.dtype(0), dims)
}

/// MaxUnpool: the extents are those of an input, or those that the pooling started from.
pub(super) fn max_unpool(call: &Call<'_>) -> Fact {
    let unpooled = || {
        let (batch, channels, spatial) = split(call.dims(0)?)?;
        let window = Window::of(call, kernel(call, None, spatial.len())?)?;
        let spatial = spatial.iter().enumerate().map(|(i, d)| window.spread(i, d, 0));
        Some([batch, channels].into_iter().cloned().chain(spatial).collect())
    };
    let same_rank = || call.dims(0).map(|dims| unknown(dims.len()));
    let dims = if call.has(2) { call.listed(2).or_else(same_rank) } else { unpooled() };
    Fact::new(call.dtype(0), dims)
}

/// RoiAlign: `[regions, C, height, width]`; MaxRoiPool with the attribute `pooled_shape`.
pub(super) fn roi(call: &Call<'_>) -> Fact {
    let pooled = match call.node.attr_ints("pooled_shape") {
        Some([h, w]) => [Term::Known(*h), Term::Known(*w)],
        Some(_) => [Term::Unknown, Term::Unknown],
        None => [call.int("output_height", 1).into(), call.int("output_width", 1).into()],
    };
    let [height, width] = pooled;
    Fact::new(call.dtype(0), Some(vec![call.extent(1, 0), call.extent(0, 1), height, width]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(kernel: i64, stride: i64, pads: [i64; 2], ceil: bool) -> Window<'static> {
        Window {
            kernel: vec![Term::Known(kernel)],
            strides: vec![stride],
            dilations: vec![1],
            begin: vec![pads[0]],
            end: vec![pads[1]],
            auto_pad: "NOTSET",
            ceil,
        }
    }

    fn positions(window: &Window<'_>, extent: i64) -> Term {
        window.positions(0, &Term::Known(extent))
    }

    #[test]
    fn windows_count_as_the_specification_says() {
        assert_eq!(positions(&window(3, 2, [1, 1], false), 32), 16);
        assert_eq!(positions(&window(3, 2, [0, 0], true), 32), 16);
        // The fifth window would start in the padding.
        assert_eq!(positions(&window(1, 2, [0, 2], true), 7), 4);
        assert_eq!(positions(&window(3, 1, [-1, -1], false), 8), 4);
        assert_eq!(positions(&window(9, 1, [0, 0], false), 8), Term::Unknown);
        let same = Window { auto_pad: "SAME_LOWER", ..window(5, 3, [0, 0], false) };
        assert_eq!(positions(&same, 10), 4);
    }

    #[test]
    fn windows_over_open_axes() {
        let h = Term::named("H");
        let text = |window: Window<'_>| window.positions(0, &h).to_string();
        assert_eq!(text(window(3, 2, [1, 1], false)), "floor((H + 1)/2)");
        assert_eq!(text(window(3, 1, [1, 1], false)), "H");
        assert_eq!(text(window(3, 2, [0, 0], true)), "floor(H/2)");
        assert_eq!(text(window(1, 2, [0, 2], true)), "?");
        assert_eq!(window(4, 2, [1, 1], false).spread(0, &h, 0), &h * 2);
    }

    #[test]
    fn open_windows_agree_with_numbers() {
        let h = Term::named("H");
        for (kernel, stride, pad) in [(2, 2, 0), (3, 2, 1), (3, 3, 1), (5, 2, 2), (1, 1, 0)] {
            for ceil in [false, true] {
                let window = window(kernel, stride, [pad, pad], ceil);
                let open = window.positions(0, &h);
                for extent in kernel..20 {
                    let expected = positions(&window, extent).known();
                    let found = open.evaluate(&|_| Some(extent));
                    assert!(found.is_none() || found == expected, "{open} for {extent}");
                }
            }
        }
    }

    #[test]
    fn extreme_windows_are_unknown_or_exact() {
        let far = window(i64::MAX, i64::MAX, [i64::MIN, i64::MAX], false);
        assert_eq!(positions(&far, i64::MAX), Term::Unknown);
        assert_eq!(far.spread(0, &Term::Known(i64::MAX), i64::MAX), Term::Unknown);
        assert_eq!(positions(&window(0, 1, [0, 0], false), 8), Term::Unknown);
    }
}
