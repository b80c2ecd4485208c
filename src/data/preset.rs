//! Preprocessing that goes by a name.

use std::str::FromStr;

use crate::data::Preprocess;
use crate::data::geometry::{Resize, Size};
use crate::error::{Error, Result, err};

/// A known recipe. What each one stands for:
///
/// | name | resize | crop | scale | mean | std | used by |
/// |---|---|---|---|---|---|---|
/// | `imagenet` | 256 | 224 | 1/255 | 0.485,0.456,0.406 | 0.229,0.224,0.225 | torchvision, timm |
/// | `tf` | | | 1/127.5 | 1 | | values in -1 to 1: MobileNet and Inception of TensorFlow |
/// | `unit` | | | 1/255 | | | values in 0 to 1: detectors such as YOLO |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preset {
    /// The classifiers of torchvision.
    Imagenet,
    /// Values in -1 to 1.
    Tf,
    /// Values in 0 to 1.
    Unit,
}

impl Preset {
    pub(super) fn recipe(self) -> Preprocess {
        match self {
            Self::Imagenet => Preprocess {
                resize: Some(Resize::Shorter(256)),
                crop: Some(Size { height: 224, width: 224 }),
                scale: Some(1.0 / 255.0),
                mean: vec![0.485, 0.456, 0.406],
                std: vec![0.229, 0.224, 0.225],
                ..Preprocess::default()
            },
            Self::Tf => {
                Preprocess { scale: Some(1.0 / 127.5), mean: vec![1.0], ..Preprocess::default() }
            }
            Self::Unit => Preprocess { scale: Some(1.0 / 255.0), ..Preprocess::default() },
        }
    }
}

impl FromStr for Preset {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "imagenet" => Ok(Self::Imagenet),
            "tf" => Ok(Self::Tf),
            "unit" => Ok(Self::Unit),
            _ => Err(err!(Usage, "preset `{text}`; expected imagenet, tf or unit")),
        }
    }
}
