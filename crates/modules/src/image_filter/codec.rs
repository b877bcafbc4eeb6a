//! Reading and writing of images.

use super::format::Format;
use image::{DynamicImage, ImageReader, Limits, RgbaImage};
use std::error::Error;
use std::io::Cursor;

/// Pixels in a row or a column that are decoded at most.
const MAX_SIDE: u32 = 65_535;

/// Bytes of memory that a decoder may take: a small file may say that it is a very large image.
const MAX_MEMORY: u64 = 256 << 20;

/// An image in memory.
pub(crate) struct Picture {
    /// Red, green, blue, alpha.
    pub(crate) pixels: RgbaImage,
    /// Its colours come from a palette, and shall again.
    pub(crate) has_palette: bool,
}

/// How an image is written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Encoding {
    pub(crate) format: Format,
    /// `image_filter_jpeg_quality` or `image_filter_webp_quality`, 1 to 100; nothing where the value makes no sense, so that nothing can be written.
    pub(crate) quality: Option<u8>,
    /// `image_filter_interlace`.
    pub(crate) interlace: bool,
}

/// Reads an image; of an animation its first frame.
///
/// # Errors
/// The data is damaged or cut off, or the image too large.
pub(crate) fn decode(format: Format, data: &[u8]) -> Result<Picture, Box<dyn Error + Send + Sync>> {
    let woven = if format == Format::Gif { Woven::find(data) } else { None };
    let plain = woven.map(|woven| woven.without_flag(data));
    let mut reader = ImageReader::with_format(Cursor::new(plain.as_deref().unwrap_or(data)), kind(format));
    let mut limits = Limits::no_limits();
    (limits.max_image_width, limits.max_image_height, limits.max_alloc) = (Some(MAX_SIDE), Some(MAX_SIDE), Some(MAX_MEMORY));
    reader.limits(limits);
    let mut pixels = reader.decode()?.into_rgba8();
    if let Some(woven) = woven {
        woven.unweave(&mut pixels);
    }
    // The colour type stands behind width, height and depth.
    let has_palette = format == Format::Gif || format == Format::Png && data.get(25) == Some(&3);
    Ok(Picture { pixels, has_palette })
}

/// The first frame of a GIF whose rows come in four passes. The decoder reads such rows one by one and takes some images for cut off whose last rows
/// are much alike, so it is told that the rows are in order, and they are put into theirs behind it.
#[derive(Clone, Copy)]
struct Woven {
    /// Where the frame's flags stand.
    flags: usize,
    left: u32,
    top: u32,
    width: u32,
    height: u32,
}

impl Woven {
    const FLAG: u8 = 0x40;

    /// Looks for the first frame (GIF89a sections 18 to 24).
    fn find(data: &[u8]) -> Option<Woven> {
        let table = |flags: u8| if flags & 0x80 != 0 { 3 << ((flags & 7) + 1) } else { 0 };
        let mut at = 13 + table(*data.get(10)?);
        while *data.get(at)? == 0x21 {
            at += 2;
            while let length @ 1.. = usize::from(*data.get(at)?) {
                at += 1 + length;
            }
            at += 1;
        }
        let &[0x2c, x0, x1, y0, y1, w0, w1, h0, h1, flags] = data.get(at..at + 10)? else { return None };
        let number = |low, high| u32::from(u16::from_le_bytes([low, high]));
        let woven = Woven { flags: at + 9, left: number(x0, x1), top: number(y0, y1), width: number(w0, w1), height: number(h0, h1) };
        (flags & Self::FLAG != 0).then_some(woven)
    }

    fn without_flag(self, data: &[u8]) -> Vec<u8> {
        let mut data = data.to_vec();
        if let Some(flags) = data.get_mut(self.flags) {
            *flags &= !Self::FLAG;
        }
        data
    }

    fn unweave(self, pixels: &mut RgbaImage) {
        let before = pixels.clone();
        let rows = GIF_PASSES.iter().flat_map(|(first, step)| (*first..self.height).step_by(*step));
        for (came, row) in (0..).zip(rows) {
            for column in self.left..self.left.saturating_add(self.width).min(pixels.width()) {
                let (from, to) = (self.top.saturating_add(came), self.top.saturating_add(row));
                if from < before.height() && to < before.height() {
                    pixels.put_pixel(column, to, *before.get_pixel(column, from));
                }
            }
        }
    }
}

fn kind(format: Format) -> image::ImageFormat {
    match format {
        Format::Jpeg => image::ImageFormat::Jpeg,
        Format::Gif => image::ImageFormat::Gif,
        Format::Png => image::ImageFormat::Png,
        Format::WebP => image::ImageFormat::WebP,
    }
}

/// Writes an image.
///
/// # Errors
/// The format cannot hold an image of this size, or there is no quality.
pub(crate) fn encode(picture: Picture, how: Encoding) -> Result<Vec<u8>, Box<dyn Error + Send + Sync>> {
    let Some(quality) = how.quality else { return Err("no quality to write it in".into()) };
    match how.format {
        Format::Jpeg => encode_jpeg(picture, quality, how.interlace),
        Format::Gif => encode_gif(picture.pixels, how.interlace),
        Format::Png if picture.has_palette => encode_indexed_png(picture.pixels),
        Format::Png => encode_png(picture.pixels),
        Format::WebP => encode_webp(&picture.pixels, quality),
    }
}

fn encode_jpeg(picture: Picture, quality: u8, interlace: bool) -> Result<Vec<u8>, Box<dyn Error + Send + Sync>> {
    let (width, height) = (u16::try_from(picture.pixels.width())?, u16::try_from(picture.pixels.height())?);
    let pixels = DynamicImage::ImageRgba8(picture.pixels).into_rgb8();
    let mut out = Vec::new();
    let mut encoder = jpeg_encoder::Encoder::new(&mut out, quality);
    encoder.set_progressive(interlace);
    encoder.encode(&pixels, width, height, jpeg_encoder::ColorType::Rgb)?;
    add_comment(&mut out, &format!("CREATOR: Lunette, quality = {quality}\n"));
    Ok(out)
}

/// Puts a comment segment behind the JFIF header (T.81 section B.2.4.5).
fn add_comment(jpeg: &mut Vec<u8>, text: &str) {
    let Some(&[0xff, 0xe0, high, low]) = jpeg.get(2..6) else { return };
    let end = 4 + (usize::from(high) << 8 | usize::from(low));
    let Ok(length) = u16::try_from(text.len() + 2) else { return };
    if end <= jpeg.len() {
        let segment = [&[0xff, 0xfe], &length.to_be_bytes()[..], text.as_bytes()].concat();
        jpeg.splice(end..end, segment);
    }
}

/// The first rows and the distances of rows of the four passes (GIF89a appendix E).
const GIF_PASSES: [(u32, usize); 4] = [(0, 8), (4, 8), (2, 4), (1, 2)];

fn encode_gif(pixels: RgbaImage, interlace: bool) -> Result<Vec<u8>, Box<dyn Error + Send + Sync>> {
    let mut frame = indexed(pixels)?;
    let (width, height) = (frame.width, frame.height);
    if interlace {
        let rows: Vec<&[u8]> = frame.buffer.chunks(usize::from(width.max(1))).collect();
        let order = GIF_PASSES.iter().flat_map(|(first, step)| rows.iter().skip(*first as usize).step_by(*step));
        frame.buffer = order.copied().collect::<Vec<_>>().concat().into();
        frame.interlaced = true;
    }
    let mut out = Vec::new();
    let palette = frame.palette.take().unwrap_or_default();
    gif::Encoder::new(&mut out, width, height, &palette)?.write_frame(&frame)?;
    Ok(out)
}

/// The image with at most 256 colours, of which one may be transparent.
fn indexed(pixels: RgbaImage) -> Result<gif::Frame<'static>, Box<dyn Error + Send + Sync>> {
    /// Between 1, slow and best, and 30.
    const SPEED: i32 = 10;
    let (width, height) = (u16::try_from(pixels.width())?, u16::try_from(pixels.height())?);
    Ok(gif::Frame::from_rgba_speed(width, height, &mut pixels.into_raw(), SPEED))
}

fn encode_indexed_png(pixels: RgbaImage) -> Result<Vec<u8>, Box<dyn Error + Send + Sync>> {
    let frame = indexed(pixels)?;
    let mut out = Vec::new();
    let mut encoder = png::Encoder::new(&mut out, frame.width.into(), frame.height.into());
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_palette(frame.palette.unwrap_or_default());
    if let Some(index) = frame.transparent {
        let mut alpha = vec![u8::MAX; usize::from(index)];
        alpha.push(0);
        encoder.set_trns(alpha);
    }
    encoder.write_header()?.write_image_data(&frame.buffer)?;
    Ok(out)
}

fn encode_png(pixels: RgbaImage) -> Result<Vec<u8>, Box<dyn Error + Send + Sync>> {
    let (width, height) = pixels.dimensions();
    let is_opaque = pixels.pixels().all(|pixel| pixel.0[3] == u8::MAX);
    let (color, data) = match is_opaque {
        true => (png::ColorType::Rgb, DynamicImage::ImageRgba8(pixels).into_rgb8().into_raw()),
        false => (png::ColorType::Rgba, pixels.into_raw()),
    };
    let mut out = Vec::new();
    let mut encoder = png::Encoder::new(&mut out, width, height);
    encoder.set_color(color);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.write_header()?.write_image_data(&data)?;
    Ok(out)
}

fn encode_webp(pixels: &RgbaImage, quality: u8) -> Result<Vec<u8>, Box<dyn Error + Send + Sync>> {
    let encoder = webp::Encoder::from_rgba(pixels, pixels.width(), pixels.height());
    match encoder.encode_simple(false, quality.into()) {
        Ok(out) => Ok(out.to_vec()),
        Err(error) => Err(format!("{error:?}").into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgba;

    fn encoding(format: Format) -> Encoding {
        Encoding { format, quality: Some(75), interlace: false }
    }

    fn picture(has_palette: bool) -> Picture {
        let colour = |x, y| if (x + y) % 2 == 0 { Rgba([200, 30, 30, 255]) } else { Rgba([255, 255, 255, 0]) };
        Picture { pixels: RgbaImage::from_fn(20, 10, colour), has_palette }
    }

    #[test]
    fn rows_in_passes_are_put_in_order() {
        for (width, height) in [(1, 1), (3, 4), (5, 11), (13, 30)] {
            for shades in [1, 2, 200] {
                let pixels = RgbaImage::from_fn(width, height, |x, y| Rgba([(((x + y * 3) % shades) * 255 / shades) as u8, 9, 9, 255]));
                let write = |interlace| {
                    let picture = Picture { pixels: pixels.clone(), has_palette: true };
                    encode(picture, Encoding { interlace, ..encoding(Format::Gif) }).unwrap()
                };
                let [plain, woven] = [false, true].map(|interlace| decode(Format::Gif, &write(interlace)).unwrap().pixels);
                assert!(plain == woven, "{width} {height} {shades}");
            }
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let table = [
            (Format::Jpeg, false, false),
            (Format::Gif, true, true),
            (Format::Png, true, true),
            (Format::Png, false, true),
            (Format::WebP, false, true),
        ];
        for (format, has_palette, has_alpha) in table {
            for interlace in [false, true] {
                let data = encode(picture(has_palette), Encoding { interlace, ..encoding(format) }).unwrap();
                assert_eq!(Format::detect(&data), Some(format));
                let read = decode(format, &data).unwrap();
                assert_eq!((read.pixels.dimensions(), read.has_palette), ((20, 10), has_palette), "{format:?}");
                assert_eq!(read.pixels.get_pixel(1, 0).0[3], if has_alpha { 0 } else { 255 }, "{format:?}");
                if has_palette {
                    assert!(
                        read.pixels.enumerate_pixels().all(|(x, y, pixel)| (pixel.0[3] == 0) == ((x + y) % 2 == 1)),
                        "{format:?} {interlace}"
                    );
                }
            }
        }
    }

    #[test]
    fn jpeg_says_its_quality() {
        let data = encode(picture(false), Encoding { quality: Some(40), ..encoding(Format::Jpeg) }).unwrap();
        assert!(memchr::memmem::find(&data, b"quality = 40\n").is_some());
        assert!(decode(Format::Jpeg, &data).is_ok());
        assert!(encode(picture(false), Encoding { quality: None, ..encoding(Format::Jpeg) }).is_err());
    }

    #[test]
    fn interlace_shows_in_the_file() {
        for format in [Format::Jpeg, Format::Gif] {
            let [plain, interlaced] =
                [false, true].map(|interlace| encode(picture(true), Encoding { interlace, ..encoding(format) }).unwrap());
            assert_ne!(plain, interlaced, "{format:?}");
        }
    }

    #[test]
    fn damaged_and_huge_images_are_errors() {
        let data = encode(picture(false), encoding(Format::Png)).unwrap();
        assert!(decode(Format::Png, &data[..data.len() / 2]).is_err());
        let mut huge = data;
        huge[16..24].copy_from_slice(&[0, 0, 0xff, 0xff, 0, 0, 0xff, 0xff]);
        assert!(decode(Format::Png, &huge).is_err());
        assert!(decode(Format::WebP, b"RIFF\x22\0\0\0WEBPERR \0\0\0\0").is_err());
    }
}
