//! What is done to an image: shrinking, turning, cutting, sharpening.

use super::codec::{self, Encoding, Picture};
use super::format::Facts;
use super::geometry::{Bounds, Size};
use base::saturated::Saturated;
use image::imageops::{self, FilterType};
use image::{Rgba, RgbaImage};
use std::error::Error;

/// What `image_filter` does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    /// `resize`
    Resize(Bounds),
    /// `crop`
    Crop(Bounds),
    /// `rotate` alone.
    Rotate,
}

/// Quarter turns to the left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Rotation {
    #[default]
    None,
    Left,
    UpsideDown,
    Right,
}

impl Rotation {
    /// Of degrees against the clock.
    pub(crate) fn from_degrees(degrees: u32) -> Option<Rotation> {
        match degrees {
            90 => Some(Rotation::Left),
            180 => Some(Rotation::UpsideDown),
            270 => Some(Rotation::Right),
            _ => None,
        }
    }
}

/// All that is needed to transform one image.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) operation: Operation,
    pub(crate) rotation: Rotation,
    /// `image_filter_sharpen`, in percent.
    pub(crate) sharpen: u32,
    /// `image_filter_transparency`.
    pub(crate) transparency: bool,
    pub(crate) encoding: Encoding,
}

impl Plan {
    /// Whether the image passes as it is.
    pub(crate) fn leaves_as_is(&self, facts: Facts) -> bool {
        let size = Size { width: facts.width, height: facts.height };
        match self.operation {
            Operation::Rotate => false,
            Operation::Resize(bounds) | Operation::Crop(bounds) => {
                self.rotation == Rotation::None && !facts.much_metadata && size.fits(bounds)
            }
        }
    }

    /// Decodes, transforms and encodes an image. This may take a second for a large one.
    ///
    /// # Errors
    /// Those of [`codec::decode`] and [`codec::encode`].
    pub(crate) fn run(&self, data: &[u8]) -> Result<Vec<u8>, Box<dyn Error + Send + Sync>> {
        let Picture { mut pixels, has_palette } = codec::decode(self.encoding.format, data)?;
        if has_palette && !self.transparency {
            pixels.pixels_mut().for_each(|pixel| pixel.0[3] = u8::MAX);
        }
        let size = Size { width: pixels.width(), height: pixels.height() };
        pixels = match self.operation {
            Operation::Resize(bounds) => self.rotated(resized(pixels, size.shrunk_into(bounds))),
            Operation::Crop(bounds) => cropped(self.rotated(resized(pixels, size.shrunk_around(bounds))), bounds),
            Operation::Rotate => self.rotated(pixels),
        };
        if has_palette {
            make_bilevel(&mut pixels);
        } else if self.sharpen > 0 {
            sharpen(&mut pixels, self.sharpen);
        }
        codec::encode(Picture { pixels, has_palette }, self.encoding)
    }

    fn rotated(&self, pixels: RgbaImage) -> RgbaImage {
        match self.rotation {
            Rotation::None => pixels,
            Rotation::Left => imageops::rotate270(&pixels),
            Rotation::UpsideDown => imageops::rotate180(&pixels),
            Rotation::Right => imageops::rotate90(&pixels),
        }
    }
}

fn resized(mut pixels: RgbaImage, to: Size) -> RgbaImage {
    if pixels.dimensions() == (to.width, to.height) {
        return pixels;
    }
    let has_alpha = pixels.pixels().any(|pixel| pixel.0[3] != u8::MAX);
    if has_alpha {
        // What is transparent has no colour that could leak into its neighbours.
        recolour(&mut pixels, |channel, alpha| scale(channel, alpha, u8::MAX));
    }
    // A much larger image is averaged to twice the size first, which is cheap.
    let (width, height) = (to.width.saturating_mul(2), to.height.saturating_mul(2));
    if pixels.width() / 2 > width && pixels.height() / 2 > height {
        pixels = imageops::thumbnail(&pixels, width, height);
    }
    let mut pixels = imageops::resize(&pixels, to.width, to.height, FilterType::Triangle);
    if has_alpha {
        recolour(&mut pixels, |channel, alpha| scale(channel, u8::MAX, alpha));
    }
    pixels
}

/// Replaces each colour by what it becomes under the pixel's alpha.
fn recolour(pixels: &mut RgbaImage, becomes: impl Fn(u8, u8) -> u8) {
    for Rgba([red, green, blue, alpha]) in pixels.pixels_mut() {
        for channel in [red, green, blue] {
            *channel = becomes(*channel, *alpha);
        }
    }
}

/// `value * by / from`, rounded, 255 at most; 0 for nothing of nothing.
fn scale(value: u8, by: u8, from: u8) -> u8 {
    let (by, from) = (u32::from(by), u32::from(from));
    let scaled = (u32::from(value) * by + from / 2).checked_div(from).unwrap_or(0);
    u8::try_from(scaled).unwrap_or(u8::MAX)
}

fn cropped(pixels: RgbaImage, bounds: Bounds) -> RgbaImage {
    let size = Size { width: pixels.width(), height: pixels.height() };
    let (left, top, part) = size.cropped_to(bounds);
    if part == size { pixels } else { imageops::crop_imm(&pixels, left, top, part.width, part.height).to_image() }
}

/// A palette knows only what is transparent and what is not.
fn make_bilevel(pixels: &mut RgbaImage) {
    pixels.pixels_mut().for_each(|pixel| pixel.0[3] = if pixel.0[3] < 128 { 0 } else { u8::MAX });
}

/// Takes a part of each pixel's neighbours away from it, along the rows and then along the columns.
fn sharpen(pixels: &mut RgbaImage, percent: u32) {
    let (width, height) = pixels.dimensions();
    // 100 % takes a quarter of both neighbours away.
    let outer = -f64::from(percent) / 400.0;
    let inner = 1.0 - 2.0 * outer;
    let mix = |line: &mut Vec<Rgba<u8>>| {
        let source = line.clone();
        for (to, three) in line.iter_mut().skip(1).zip(source.windows(3)) {
            let [before, own, after] = three else { continue };
            for (channel, value) in to.0.iter_mut().take(3).enumerate() {
                let [before, own, after] = [before, own, after].map(|pixel| f64::from(pixel.0.get(channel).copied().unwrap_or(0)));
                // The cast saturates.
                *value = u8::saturated((inner * own + outer * (before + after)).round());
            }
        }
    };
    for y in 0..height {
        let mut line: Vec<_> = (0..width).map(|x| *pixels.get_pixel(x, y)).collect();
        mix(&mut line);
        line.into_iter().zip(0..).for_each(|(pixel, x)| pixels.put_pixel(x, y, pixel));
    }
    for x in 0..width {
        let mut line: Vec<_> = (0..height).map(|y| *pixels.get_pixel(x, y)).collect();
        mix(&mut line);
        line.into_iter().zip(0..).for_each(|(pixel, y)| pixels.put_pixel(x, y, pixel));
    }
}

#[cfg(test)]
mod tests {
    use super::super::format::Format;
    use super::super::geometry::UNLIMITED;
    use super::*;

    fn plan(operation: Operation, format: Format) -> Plan {
        let encoding = Encoding { format, quality: Some(75), interlace: false };
        Plan { operation, rotation: Rotation::None, sharpen: 0, transparency: true, encoding }
    }

    /// Red on the left, transparent on the right.
    fn source(format: Format) -> Vec<u8> {
        let colour = |x, _| if x < 20 { Rgba([255, 0, 0, 255]) } else { Rgba([255, 255, 255, 0]) };
        let picture = Picture { pixels: RgbaImage::from_fn(40, 60, colour), has_palette: format == Format::Gif };
        codec::encode(picture, plan(Operation::Rotate, format).encoding).unwrap()
    }

    fn bounds(width: u32, height: u32) -> Bounds {
        Bounds { width, height }
    }

    #[test]
    fn operations_on_all_formats() {
        let table = [
            (Operation::Resize(bounds(10, UNLIMITED)), Rotation::None, (10, 15)),
            (Operation::Resize(bounds(10, UNLIMITED)), Rotation::Left, (15, 10)),
            (Operation::Resize(bounds(4, 4)), Rotation::UpsideDown, (2, 4)),
            (Operation::Crop(bounds(10, 10)), Rotation::None, (10, 10)),
            (Operation::Crop(bounds(10, 20)), Rotation::Right, (10, 13)),
            (Operation::Rotate, Rotation::Right, (60, 40)),
        ];
        for format in [Format::Jpeg, Format::Gif, Format::Png, Format::WebP] {
            for (operation, rotation, expected) in table {
                let made = Plan { rotation, sharpen: 50, ..plan(operation, format) }.run(&source(format)).unwrap();
                let facts = format.facts(&made).unwrap();
                assert_eq!((facts.width, facts.height), expected, "{format:?} {operation:?} {rotation:?}");
            }
        }
    }

    #[test]
    fn turns_are_against_the_clock() {
        for (degrees, corner, red) in [(90, (0, 0), false), (90, (0, 39), true), (180, (0, 0), false), (270, (0, 0), true)] {
            let rotation = Rotation::from_degrees(degrees).unwrap();
            let made = Plan { rotation, ..plan(Operation::Rotate, Format::Png) }.run(&source(Format::Png)).unwrap();
            let pixels = codec::decode(Format::Png, &made).unwrap().pixels;
            assert_eq!(pixels.get_pixel(corner.0, corner.1).0[3] == 255, red, "{degrees}");
        }
        assert_eq!(Rotation::from_degrees(45), None);
    }

    #[test]
    fn transparency_of_palettes_can_go() {
        for (transparency, alpha) in [(true, 0), (false, 255)] {
            let made = Plan { transparency, ..plan(Operation::Resize(bounds(10, 10)), Format::Gif) }.run(&source(Format::Gif)).unwrap();
            let pixels = codec::decode(Format::Gif, &made).unwrap().pixels;
            assert_eq!(pixels.get_pixel(pixels.width() - 1, 0).0[3], alpha);
        }
    }

    #[test]
    fn small_images_pass_as_they_are() {
        let facts = Facts { width: 40, height: 60, much_metadata: false };
        let resize = plan(Operation::Resize(bounds(40, 60)), Format::Png);
        assert!(resize.leaves_as_is(facts));
        assert!(!resize.leaves_as_is(Facts { much_metadata: true, ..facts }));
        assert!(!Plan { rotation: Rotation::Left, ..resize }.leaves_as_is(facts));
        assert!(!plan(Operation::Crop(bounds(40, 59)), Format::Png).leaves_as_is(facts));
        assert!(!plan(Operation::Rotate, Format::Png).leaves_as_is(facts));
    }

    #[test]
    fn sharpening_widens_steps() {
        let mut pixels = RgbaImage::from_fn(6, 3, |x, _| Rgba([if x < 3 { 100 } else { 150 }; 4]));
        sharpen(&mut pixels, 100);
        let row: Vec<u8> = (0..6).map(|x| pixels.get_pixel(x, 1).0[0]).collect();
        assert_eq!(row, [100, 100, 88, 163, 150, 150]);
        assert_eq!(pixels.get_pixel(2, 1).0[3], 100, "alpha stays");
    }

    #[test]
    fn transparent_colours_do_not_leak() {
        let colour = |x, _| if x % 2 == 0 { Rgba([255, 0, 0, 255]) } else { Rgba([0, 0, 255, 0]) };
        let pixels = resized(RgbaImage::from_fn(40, 40, colour), Size { width: 10, height: 10 });
        let Rgba([red, _, blue, _]) = *pixels.get_pixel(5, 5);
        assert_eq!((red, blue), (255, 0));
    }
}
