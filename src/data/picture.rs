//! One image file: its size, and its pixels.

use std::fs::File;
use std::io::{BufReader, Cursor, Read};
use std::path::Path;

use image::imageops::{self, FilterType};
use image::{DynamicImage, ImageBuffer, ImageError, ImageReader, Pixel};

use crate::data::geometry::{Resize, Size};
use crate::data::npy_header::read_error;
use crate::disk::open_regular;
use crate::error::{Error, Result, err};

/// Bytes from the start of a file in which the size nearly always stands.
const HEAD: u64 = 256 << 10;
/// Most bytes that decoding one image, or its file, may take: 512 MiB, enough for the most pixels
/// with four channels of 16 bits.
const MAX_BYTES: u64 = 512 << 20;

/// What is done to the size of each image.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Geometry {
    pub resize: Option<Resize>,
    pub crop: Option<Size>,
    /// Most pixels of an image, before and after.
    pub most_pixels: u64,
}

impl Geometry {
    /// The size that an image of size `from` ends up with.
    pub fn of(&self, from: Size) -> Result<Size> {
        let resized = self.resize.map_or(from, |resize| resize.of(from));
        for size in [from, resized] {
            if size.pixels() > self.most_pixels {
                return Err(err!(
                    Limit,
                    "image of {size} pixels (height x width); at most {} pixels are decoded",
                    self.most_pixels
                )
                .help("allow more with --max-image-pixels"));
            }
        }
        match self.crop {
            Some(crop) if crop.centred_in(resized).is_none() => Err(err!(
                Data,
                "{crop} pixels cannot be cut out of an image of {resized} (height x width)"
            )
            .help("give a smaller --crop or a larger --resize")),
            crop => Ok(crop.unwrap_or(resized)),
        }
    }
}

/// Is this the start of a png or jpeg file?
pub(super) fn is_picture(start: &[u8]) -> bool {
    start.starts_with(b"\x89PNG") || start.starts_with(b"\xff\xd8\xff")
}

/// The size of the image at `path`, from its first bytes if they tell.
pub(super) fn size(path: &Path) -> Result<Size> {
    let read = || {
        let mut head = Vec::new();
        open(path)?.take(HEAD).read_to_end(&mut head).map_err(|error| read_error(&error))?;
        let reader = match reader(Cursor::new(&head))?.into_dimensions() {
            Err(_) if head.len() as u64 == HEAD => {
                reader(BufReader::new(open(path)?))?.into_dimensions()
            }
            found => found,
        };
        let (width, height) = reader.map_err(|error| undecodable(&error))?;
        match (height as usize, width as usize) {
            (0, _) | (_, 0) => Err(err!(Format, "image of {height}x{width} pixels")),
            (height, width) => Ok(Size { height, width }),
        }
    };
    read().map_err(|error: Error| error.in_file(path))
}

/// The pixels at `path` as 8-bit grey (1 channel) or RGB (3 channels) in the order
/// `[height, width, channel]`.
///
/// Grey becomes RGB by repetition, RGB becomes grey by the weights of ITU-R BT.601 (those of
/// Pillow), 16 bits become 8 by rounding, palettes are looked up, and alpha is dropped. Colour
/// profiles and orientation tags are not applied.
pub(super) fn pixels(path: &Path, channels: usize, geometry: &Geometry) -> Result<(Size, Vec<u8>)> {
    let read = || {
        let decoded = reader(BufReader::new(open(path)?))?.decode();
        let image = decoded.map_err(|error| undecodable(&error))?;
        let from = Size { height: image.height() as usize, width: image.width() as usize };
        let to = geometry.of(from)?;
        let bytes = match channels {
            1 if !image.color().has_color() => arrange(image.into_luma8(), geometry)?,
            1 => arrange(grey(image), geometry)?,
            _ => arrange(image.into_rgb8(), geometry)?,
        };
        Ok((to, bytes))
    };
    read().map_err(|error: Error| error.in_file(path))
}

fn open(path: &Path) -> Result<File> {
    let (file, len) = open_regular(path)?;
    match len {
        0 => Err(err!(Format, "the image file is empty")),
        len if len > MAX_BYTES => {
            Err(err!(Limit, "image file of {len} bytes; at most {MAX_BYTES} are read"))
        }
        _ => Ok(file),
    }
}

fn reader<R: std::io::BufRead + std::io::Seek>(source: R) -> Result<ImageReader<R>> {
    let mut reader =
        ImageReader::new(source).with_guessed_format().map_err(|error| read_error(&error))?;
    if reader.format().is_none() {
        return Err(err!(Format, "neither a png nor a jpeg image"));
    }
    let mut limits = image::Limits::default();
    limits.max_alloc = Some(MAX_BYTES);
    reader.limits(limits);
    Ok(reader)
}

fn undecodable(error: &ImageError) -> Error {
    match error {
        ImageError::IoError(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            err!(Format, "the image ends too early; it is damaged")
        }
        ImageError::IoError(error) => read_error(error),
        ImageError::Limits(error) => err!(Limit, "image: {error}"),
        ImageError::Unsupported(error) => err!(Unsupported, "image: {error}"),
        error => err!(Format, "image: {error}"),
    }
}

fn grey(image: DynamicImage) -> image::GrayImage {
    let rgb = image.into_rgb8();
    ImageBuffer::from_fn(rgb.width(), rgb.height(), |x, y| {
        let [red, green, blue] = rgb.get_pixel(x, y).0.map(u32::from);
        // 0.299, 0.587 and 0.114 in 16-bit fixed point.
        image::Luma([((red * 19595 + green * 38470 + blue * 7471 + (1 << 15)) >> 16) as u8])
    })
}

fn arrange<P>(image: ImageBuffer<P, Vec<u8>>, geometry: &Geometry) -> Result<Vec<u8>>
where
    P: Pixel<Subpixel = u8> + 'static,
{
    let of = |image: &ImageBuffer<P, Vec<u8>>| Size {
        height: image.height() as usize,
        width: image.width() as usize,
    };
    let resized = match geometry.resize.map(|resize| resize.of(of(&image))) {
        Some(to) if to != of(&image) => {
            imageops::resize(&image, to.width as u32, to.height as u32, FilterType::Triangle)
        }
        _ => image,
    };
    let Some(crop) = geometry.crop else { return Ok(resized.into_raw()) };
    let (top, left) = crop
        .centred_in(of(&resized))
        .ok_or_else(|| err!(Data, "{crop} pixels cannot be cut out of {}", of(&resized)))?;
    let channels = usize::from(P::CHANNEL_COUNT);
    let line = resized.width() as usize * channels;
    let rows = resized.as_raw().chunks_exact(line.max(1)).skip(top).take(crop.height);
    Ok(rows
        .flat_map(|row| &row[left * channels..(left + crop.width) * channels])
        .copied()
        .collect())
}

#[cfg(test)]
mod tests {
    use image::{Rgb, RgbImage, Rgba, RgbaImage};

    use super::*;

    const ANY: Geometry = Geometry { resize: None, crop: None, most_pixels: 1 << 20 };

    fn saved(image: impl Into<DynamicImage>) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.png");
        image.into().save(&path).unwrap();
        (folder, path)
    }

    #[test]
    fn alpha_is_dropped_and_colours_become_grey() {
        let image = RgbaImage::from_fn(2, 1, |x, _| Rgba([255, 0, 100 * x as u8, 7]));
        let (_folder, path) = saved(image);
        assert_eq!(size(&path).unwrap(), Size { height: 1, width: 2 });
        assert_eq!(pixels(&path, 3, &ANY).unwrap().1, [255, 0, 0, 255, 0, 100]);
        assert_eq!(pixels(&path, 1, &ANY).unwrap().1, [76, 88]);
    }

    #[test]
    fn grey_and_16_bits_are_converted() {
        let deep: ImageBuffer<image::Luma<u16>, Vec<u16>> =
            ImageBuffer::from_fn(3, 1, |x, _| image::Luma([[0, 257 * 9, 65535][x as usize]]));
        let (_folder, path) = saved(deep);
        assert_eq!(pixels(&path, 1, &ANY).unwrap().1, [0, 9, 255]);
        assert_eq!(pixels(&path, 3, &ANY).unwrap().1, [0, 0, 0, 9, 9, 9, 255, 255, 255]);
    }

    #[test]
    fn the_middle_of_the_scaled_image_is_cut_out() {
        let (_folder, path) = saved(RgbImage::from_fn(8, 4, |x, y| Rgb([x as u8, y as u8, 0])));
        let crop = Some(Size { height: 2, width: 2 });
        let middle = pixels(&path, 3, &Geometry { crop, ..ANY }).unwrap();
        assert_eq!(middle.1, [3, 1, 0, 4, 1, 0, 3, 2, 0, 4, 2, 0]);
        let half = Geometry { resize: Some(Resize::Shorter(2)), ..ANY };
        let (size, bytes) = pixels(&path, 3, &half).unwrap();
        assert_eq!((size, bytes.len()), (Size { height: 2, width: 4 }, 24));
        let large = Geometry { crop: Some(Size { height: 5, width: 5 }), ..ANY };
        assert!(pixels(&path, 3, &large).unwrap_err().to_string().contains("5x5 pixels"));
        let few = Geometry { most_pixels: 31, ..ANY };
        assert_eq!(pixels(&path, 3, &few).unwrap_err().kind, crate::ErrorKind::Limit);
    }

    #[test]
    fn every_prefix_of_an_image_is_an_error() {
        let (_folder, path) = saved(RgbImage::from_pixel(5, 5, Rgb([1, 2, 3])));
        let sound = std::fs::read(&path).unwrap();
        // The last chunk says only that there is no more.
        for len in 0..sound.len() - 12 {
            std::fs::write(&path, &sound[..len]).unwrap();
            assert!(pixels(&path, 3, &ANY).is_err(), "{len} of {} bytes", sound.len());
        }
    }
}
