//! Resize and its forerunner Upsample.

use crate::analysis::shapes::call::{Call, positions};
use crate::analysis::shapes::fact::{Dims, Fact, unknown};
use crate::analysis::shapes::term::Term;

/// Upsample: factors from an attribute or an input.
pub(super) fn upsample(call: &Call<'_>) -> Fact {
    let dims = call.dims(0).map(|dims| {
        let listed = match call.node.attr("scales") {
            Some(crate::ir::AttrValue::Floats(scales)) => {
                Some(scales.iter().copied().map(f64::from).collect())
            }
            _ => call.all_floats(1),
        };
        scaled(dims, &(0..dims.len()).collect::<Vec<_>>(), listed.as_deref())
            .unwrap_or_else(|| unknown(dims.len()))
    });
    Fact::new(call.dtype(0), dims)
}

/// Resize: factors or extents from inputs.
pub(super) fn resize(call: &Call<'_>) -> Fact {
    let dims = call.dims(0).map(|dims| resized(call, dims).unwrap_or_else(|| unknown(dims.len())));
    Fact::new(call.dtype(0), dims)
}

fn resized(call: &Call<'_>, dims: &[Term]) -> Option<Dims> {
    if call.opset < 11 {
        return scaled(dims, &(0..dims.len()).collect::<Vec<_>>(), call.all_floats(1).as_deref());
    }
    let axes = match call.node.attr_ints("axes") {
        Some(axes) => positions(axes, dims.len())?,
        None => (0..dims.len()).collect(),
    };
    // An empty `scales` stands for a left-out one in the first versions.
    let scales_given = call.has(2) && call.dims(2) != Some(&[Term::Known(0)]);
    if scales_given {
        // With a region of interest the extents follow the region.
        let cropped = call.text("coordinate_transformation_mode", "") == "tf_crop_and_resize";
        let scales = call.all_floats(2).filter(|_| !cropped);
        return scaled(dims, &axes, scales.as_deref());
    }
    let stretches = call.text("keep_aspect_ratio_policy", "stretch") == "stretch";
    let sizes = call.ints(3).filter(|sizes| sizes.len() == axes.len() && stretches);
    let mut result = dims.to_vec();
    for (i, &axis) in axes.iter().enumerate() {
        result[axis] = sizes.map(|sizes| &sizes[i]).into();
    }
    Some(result)
}

fn scaled(dims: &[Term], axes: &[usize], scales: Option<&[f64]>) -> Option<Dims> {
    let scales = scales.filter(|scales| scales.len() == axes.len())?;
    let mut result = dims.to_vec();
    for (&axis, &scale) in axes.iter().zip(scales) {
        result[axis] = scaled_extent(&dims[axis], scale);
    }
    Some(result)
}

/// `floor(extent · scale)`; unknown where `float` and exact arithmetic may disagree, because engines
/// do. For an open extent that leaves whole factors and powers of two.
fn scaled_extent(extent: &Term, scale: f64) -> Term {
    /// 2^24: up to here every extent is a `float`.
    const LIMIT: f64 = (1u32 << 24) as f64;
    let inverse = scale.recip();
    match extent {
        Term::Known(number) => {
            let exact = (*number as f64 * scale).floor();
            let single = f64::from(*number as f32 * scale as f32).floor();
            let agree = exact == single && (0.0..LIMIT).contains(&exact);
            agree.then_some(exact as i64).into()
        }
        open if scale.fract() == 0.0 && (1.0..LIMIT).contains(&scale) => open * scale as i64,
        open if inverse.fract() == 0.0 && (1.0..LIMIT).contains(&inverse) => {
            let divisor = inverse as i64;
            if divisor.is_positive() && divisor.count_ones() == 1 {
                open.floor_div(divisor)
            } else {
                Term::Unknown
            }
        }
        _ => Term::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scaled_extents() {
        let scaled = |extent: i64, scale: f64| scaled_extent(&Term::Known(extent), scale);
        assert_eq!(scaled(13, 2.0), 26);
        assert_eq!(scaled(5, 0.5), 2);
        assert_eq!(scaled(10, f64::from(0.1f32)), 1);
        assert_eq!(scaled(10, f64::NAN), Term::Unknown);
        assert_eq!(scaled(10, -1.0), Term::Unknown);
        assert_eq!(scaled(i64::MAX, 3.0), Term::Unknown);
        let h = Term::named("H");
        assert_eq!(scaled_extent(&h, 2.0), &h * 2);
        assert_eq!(scaled_extent(&h, 0.25), h.floor_div(4));
        assert_eq!(scaled_extent(&h, 1.0 / 3.0), Term::Unknown);
        assert_eq!(scaled_extent(&h, 1.5), Term::Unknown);
    }
}
