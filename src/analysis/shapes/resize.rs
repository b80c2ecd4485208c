//! Resize and its forerunner Upsample.

use crate::analysis::shapes::call::{Call, positions};
use crate::analysis::shapes::fact::{Dims, Extent, Fact};

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
            .unwrap_or_else(|| vec![None; dims.len()])
    });
    Fact::new(call.dtype(0), dims)
}

/// Resize: factors or extents from inputs.
pub(super) fn resize(call: &Call<'_>) -> Fact {
    let dims =
        call.dims(0).map(|dims| resized(call, dims).unwrap_or_else(|| vec![None; dims.len()]));
    Fact::new(call.dtype(0), dims)
}

fn resized(call: &Call<'_>, dims: &[Extent]) -> Option<Dims> {
    if call.opset < 11 {
        return scaled(dims, &(0..dims.len()).collect::<Vec<_>>(), call.all_floats(1).as_deref());
    }
    let axes = match call.node.attr_ints("axes") {
        Some(axes) => positions(axes, dims.len())?,
        None => (0..dims.len()).collect(),
    };
    // An empty `scales` stands for a left-out one in the first versions.
    let scales_given = call.has(2) && call.dims(2) != Some(&[Some(0)]);
    if scales_given {
        // With a region of interest the extents follow the region.
        let cropped = call.text("coordinate_transformation_mode", "") == "tf_crop_and_resize";
        let scales = call.all_floats(2).filter(|_| !cropped);
        return scaled(dims, &axes, scales.as_deref());
    }
    if call.text("keep_aspect_ratio_policy", "stretch") != "stretch" {
        return None;
    }
    let sizes = call.ints(3)?;
    if sizes.len() != axes.len() {
        return None;
    }
    let mut result = dims.to_vec();
    for (&axis, size) in axes.iter().zip(sizes) {
        result[axis] = size.and_then(|size| usize::try_from(size).ok());
    }
    Some(result)
}

fn scaled(dims: &[Extent], axes: &[usize], scales: Option<&[f64]>) -> Option<Dims> {
    let scales = scales.filter(|scales| scales.len() == axes.len())?;
    let mut result = dims.to_vec();
    for (&axis, &scale) in axes.iter().zip(scales) {
        result[axis] = dims[axis].and_then(|extent| scaled_extent(extent, scale));
    }
    Some(result)
}

/// `floor(extent · scale)`; unknown where `float` and exact arithmetic disagree, because engines do.
fn scaled_extent(extent: usize, scale: f64) -> Extent {
    /// 2^24: up to here every extent is a `float`.
    const LIMIT: f64 = (1u32 << 24) as f64;
    let exact = (extent as f64 * scale).floor();
    let single = f64::from(extent as f32 * scale as f32).floor();
    (exact == single && (0.0..LIMIT).contains(&exact)).then_some(exact as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scaled_extents() {
        assert_eq!(scaled_extent(13, 2.0), Some(26));
        assert_eq!(scaled_extent(5, 0.5), Some(2));
        assert_eq!(scaled_extent(10, f64::from(0.1f32)), Some(1));
        assert_eq!(scaled_extent(10, f64::NAN), None);
        assert_eq!(scaled_extent(10, -1.0), None);
        assert_eq!(scaled_extent(usize::MAX, 3.0), None);
    }
}
