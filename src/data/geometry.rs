//! Sizes of images: how they are scaled, and what is cut out.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result, err};

/// Longest side that can be asked for, in pixels; the most that JPEG can express.
const MAX_SIDE: usize = 65_535;

/// Height and width in pixels; `224x320` in text, or `224` for a square.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Rows of pixels.
    pub height: usize,
    /// Pixels of a row.
    pub width: usize,
}

/// How images are scaled; `256` or `224x320` (height by width) in text.
///
/// The filter is bilinear and widened when the image shrinks, as in Pillow and torchvision, and
/// rounds to whole pixel values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resize {
    /// The shorter side becomes so many pixels, the other one follows (rounded down).
    Shorter(usize),
    /// Both sides are given; the proportions may change.
    Exact(Size),
}

impl Size {
    /// Number of pixels; sizes that were checked do not overflow.
    pub(super) fn pixels(self) -> u64 {
        (self.height as u64).saturating_mul(self.width as u64)
    }

    /// The corner at which a part of this size begins in the middle of `whole`. Halves are rounded
    /// to even, as torchvision's `center_crop` does. `None` when the part is larger.
    pub(super) fn centred_in(self, whole: Self) -> Option<(usize, usize)> {
        let start = |whole: usize, part: usize| {
            let spare = whole.checked_sub(part)?;
            let half = spare / 2;
            Some(half + (spare % 2) * (half % 2))
        };
        Some((start(whole.height, self.height)?, start(whole.width, self.width)?))
    }
}

impl Resize {
    /// The size that an image of size `from` gets.
    pub(super) fn of(self, from: Size) -> Size {
        match self {
            Self::Exact(size) => size,
            Self::Shorter(side) => {
                let other = |long: usize, short: usize| side.saturating_mul(long) / short.max(1);
                if from.height <= from.width {
                    Size { height: side, width: other(from.width, from.height) }
                } else {
                    Size { height: other(from.height, from.width), width: side }
                }
            }
        }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.height, self.width)
    }
}

impl FromStr for Size {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (height, width) = text.split_once('x').unwrap_or((text, text));
        Ok(Self { height: side(height, text)?, width: side(width, text)? })
    }
}

impl FromStr for Resize {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        if text.contains('x') {
            text.parse().map(Self::Exact)
        } else {
            side(text, text).map(Self::Shorter)
        }
    }
}

fn side(number: &str, text: &str) -> Result<usize> {
    number.parse().ok().filter(|side| (1..=MAX_SIDE).contains(side)).ok_or_else(|| {
        err!(Usage, "`{text}` is no size; expected pixels, e.g. 224 or 224x320 (height x width)")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_squares_or_height_by_width() {
        let size = |height, width| Size { height, width };
        assert_eq!("224".parse::<Size>().unwrap(), size(224, 224));
        assert_eq!("2x3".parse::<Size>().unwrap(), size(2, 3));
        assert_eq!("256".parse::<Resize>().unwrap(), Resize::Shorter(256));
        assert_eq!("2x3".parse::<Resize>().unwrap(), Resize::Exact(size(2, 3)));
        for text in ["", "0", "x", "2x", "-1", "1x2x3", "65536", "99999999999999999999"] {
            assert!(text.parse::<Size>().is_err() && text.parse::<Resize>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_shorter_side_is_scaled_and_the_middle_is_cut_out() {
        let size = |height, width| Size { height, width };
        let resize = Resize::Shorter(256);
        assert_eq!(resize.of(size(375, 500)), size(256, 341));
        assert_eq!(resize.of(size(500, 375)), size(341, 256));
        let starts = [8, 9, 10, 11].map(|whole| size(8, 8).centred_in(size(whole, 8)));
        assert_eq!(starts, [Some((0, 0)), Some((0, 0)), Some((1, 0)), Some((2, 0))]);
        assert_eq!(size(8, 8).centred_in(size(8, 7)), None);
    }
}
