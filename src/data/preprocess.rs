//! What is done to the values of a sample on their way into the model.

use std::str::FromStr;

use crate::data::geometry::{Resize, Size};
use crate::data::preset::Preset;
use crate::error::{Error, Result, err};

/// Preprocessing: given by the user, never guessed.
///
/// - `value = (x · scale - mean) / std`, for inputs of a floating-point type only. Other inputs
///   (token ids beside a float mask, say) keep their values. It is computed in `f64` and rounded
///   once, which differs from NumPy's `float32` arithmetic by at most a few units in the last place.
/// - `layout` and `channels` apply to samples of three axes, whatever their type. Where a channel is
///   reversed, `mean` and `std` are in the order that the model wants.
/// - `resize` and then `crop` apply to images only.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Preprocess {
    /// A recipe by name; what is given beside it replaces its part. A `resize` or `crop` replaces
    /// both of the recipe.
    pub preset: Option<Preset>,
    /// Factor of every value, e.g. 1/255.
    pub scale: Option<f64>,
    /// Subtracted after scaling: nothing, one number, or one for each channel.
    pub mean: Vec<f64>,
    /// Divisor after that: nothing, one number, or one for each channel.
    pub std: Vec<f64>,
    /// Layout of the samples in the file. They are transposed when only the other layout matches
    /// the input; when both match (free or equal extents), the model is taken to want
    /// [`Layout::Nchw`], as the operators of ONNX do. Images have no layout in their files: for
    /// them it says what the model takes, which is needed only where its extents leave that open.
    pub layout: Option<Layout>,
    /// Order of the colours that the model wants; the samples are RGB.
    pub channels: Channels,
    /// Scales images.
    pub resize: Option<Resize>,
    /// Cuts this size out of the middle of images.
    pub crop: Option<Size>,
}

/// Where the channel axis of an image is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// Channels first: `[N, C, H, W]`.
    Nchw,
    /// Channels last: `[N, H, W, C]`.
    Nhwc,
}

/// Order of the colour channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Channels {
    /// Red, green, blue.
    #[default]
    Rgb,
    /// Blue, green, red: the three channels of RGB samples are reversed.
    Bgr,
}

impl FromStr for Layout {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "nchw" => Ok(Self::Nchw),
            "nhwc" => Ok(Self::Nhwc),
            _ => Err(err!(Usage, "layout `{text}`; expected nchw or nhwc")),
        }
    }
}

impl FromStr for Channels {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "rgb" => Ok(Self::Rgb),
            "bgr" => Ok(Self::Bgr),
            _ => Err(err!(Usage, "channels `{text}`; expected rgb or bgr")),
        }
    }
}

/// A decimal number or a fraction: `0.485`, `1e-3`, `1/255`.
///
/// # Errors
/// For anything else, for infinities and for a division by zero.
///
/// ```
/// assert_eq!(onnxpress::data::parse_number("1/255").unwrap(), 1.0 / 255.0);
/// ```
pub fn parse_number(text: &str) -> Result<f64> {
    let parse = |part: &str| part.trim().parse::<f64>().ok();
    let value = match text.split_once('/') {
        Some((over, under)) => parse(over).zip(parse(under)).map(|(over, under)| over / under),
        None => parse(text),
    };
    value
        .filter(|value| value.is_finite())
        .ok_or_else(|| err!(Usage, "`{text}` is not a number; expected e.g. 0.5 or 1/255"))
}

/// Numbers with commas between them: `0.485,0.456,0.406`.
///
/// # Errors
/// When one of them is not a number for [`parse_number`].
pub fn parse_numbers(text: &str) -> Result<Vec<f64>> {
    text.split(',').map(parse_number).collect()
}

/// `(x · scale - mean) / std`, with the channel of each element known.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Affine {
    scale: f64,
    /// Mean and standard deviation of each channel.
    channels: Vec<(f64, f64)>,
    /// Neighbouring elements of one channel.
    inner: usize,
}

impl Affine {
    pub fn apply(&self, values: &mut [f64]) {
        for (block, (mean, std)) in
            values.chunks_mut(self.inner.max(1)).zip(self.channels.iter().cycle())
        {
            for value in block {
                *value = (*value * self.scale - mean) / std;
            }
        }
    }
}

impl Preprocess {
    /// The same with the parts of the preset filled in.
    pub(super) fn resolved(&self) -> Self {
        let Some(preset) = self.preset else { return self.clone() };
        let recipe = preset.recipe();
        let or = |given: &[f64], default: Vec<f64>| {
            if given.is_empty() { default } else { given.to_vec() }
        };
        let sized = self.resize.is_some() || self.crop.is_some();
        Self {
            preset: None,
            scale: self.scale.or(recipe.scale),
            mean: or(&self.mean, recipe.mean),
            std: or(&self.std, recipe.std),
            layout: self.layout,
            channels: self.channels,
            resize: if sized { self.resize } else { recipe.resize },
            crop: if sized { self.crop } else { recipe.crop },
        }
    }

    /// Refuses numbers that cannot be meant.
    pub(super) fn check(&self) -> Result<()> {
        let (mean, std) = (self.mean.len(), self.std.len());
        if self.scale.is_some_and(|scale| scale == 0.0 || !scale.is_finite()) {
            return Err(err!(Usage, "scale must be a number other than 0"));
        }
        if self.mean.iter().any(|x| !x.is_finite()) {
            return Err(err!(Usage, "mean must hold finite numbers"));
        }
        if self.std.iter().any(|&x| x == 0.0 || !x.is_finite()) {
            return Err(err!(Usage, "std must hold numbers other than 0"));
        }
        if mean > 1 && std > 1 && mean != std {
            return Err(err!(Usage, "mean has {mean} values, std has {std}"));
        }
        Ok(())
    }

    /// Does anything happen to floating-point values?
    pub(super) fn is_affine(&self) -> bool {
        self.scale.is_some() || !self.mean.is_empty() || !self.std.is_empty()
    }

    /// The arithmetic for samples of extents `dims`. The channel axis is the one of `layout`, if
    /// the samples have one; else the first axis, or else the last, that has as many elements as
    /// `mean` or `std`.
    pub(super) fn affine(&self, dims: &[usize], layout: Option<Layout>) -> Result<Affine> {
        let count = self.mean.len().max(self.std.len()).max(1);
        let value = |values: &[f64], channel: usize, default| match values {
            [] => default,
            [value] => *value,
            _ => values.get(channel).copied().unwrap_or(default),
        };
        let inner = match count {
            1 => dims.iter().product(),
            _ => {
                let axis = channel_axis(dims, count, layout).ok_or_else(|| {
                    err!(Data, "mean or std has {count} values, but no channel axis of samples {dims:?} has as many")
                        .help("give one value, or one for each channel; --layout names the channel axis")
                })?;
                dims[axis + 1..].iter().product()
            }
        };
        Ok(Affine {
            scale: self.scale.unwrap_or(1.0),
            channels: (0..count)
                .map(|channel| (value(&self.mean, channel, 0.0), value(&self.std, channel, 1.0)))
                .collect(),
            inner,
        })
    }
}

/// The axis that has `count` channels: the one of `layout`, else the first, else the last one.
pub(super) fn channel_axis(dims: &[usize], count: usize, layout: Option<Layout>) -> Option<usize> {
    let last = dims.len().checked_sub(1)?;
    let candidates = match layout {
        Some(Layout::Nchw) => [0, 0],
        Some(Layout::Nhwc) => [last, last],
        None => [0, last],
    };
    candidates.into_iter().find(|&axis| dims[axis] == count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_decimals_or_fractions() {
        assert_eq!(parse_numbers("0.5, 1/4,-2e1").unwrap(), [0.5, 0.25, -20.0]);
        for text in ["", "1/0", "a", "1/2/3", "inf", "nan", "1,,2"] {
            assert!(parse_numbers(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_channel_of_each_element_is_known() {
        let pre = Preprocess {
            scale: Some(0.5),
            mean: vec![1.0, 2.0],
            std: vec![4.0],
            ..Preprocess::default()
        };
        let apply = |dims: &[usize], layout| {
            let mut values = [2.0, 4.0, 6.0, 8.0];
            pre.affine(dims, layout).unwrap().apply(&mut values);
            values
        };
        assert_eq!(apply(&[2, 2], None), [0.0, 0.25, 0.25, 0.5]);
        assert_eq!(apply(&[2, 2], Some(Layout::Nhwc)), [0.0, 0.0, 0.5, 0.5]);
        assert_eq!(apply(&[1, 2, 2, 1][..3], None), [0.0, 0.0, 0.5, 0.5]);
        assert!(pre.affine(&[4], None).is_err());
    }

    #[test]
    fn what_is_given_replaces_its_part_of_the_preset() {
        let preset = Some(Preset::Imagenet);
        let all = Preprocess { preset, ..Preprocess::default() }.resolved();
        assert_eq!(all.resize, Some(Resize::Shorter(256)));
        assert_eq!(all.crop, Some(Size { height: 224, width: 224 }));
        assert_eq!((all.scale, all.mean.len(), all.std.len()), (Some(1.0 / 255.0), 3, 3));
        let crop = Some(Size { height: 8, width: 8 });
        let given = Preprocess { preset, crop, std: vec![2.0], ..Preprocess::default() };
        let resolved = given.resolved();
        assert_eq!((resolved.resize, resolved.crop, resolved.std), (None, crop, vec![2.0]));
        assert_eq!(resolved.mean, all.mean);
    }

    #[test]
    fn impossible_numbers_are_refused() {
        let zero = Preprocess { std: vec![0.0], ..Preprocess::default() };
        assert!(zero.check().is_err());
        let uneven = Preprocess { mean: vec![0.0; 3], std: vec![1.0; 2], ..Preprocess::default() };
        assert!(uneven.check().is_err());
    }
}
