//! The directives of `image_filter`, and what they mean for one request.

use super::codec::Encoding;
use super::format::Format;
use super::geometry::{Bounds, UNLIMITED};
use super::transform::{Operation, Plan, Rotation};
use crate::compile::complex;
use conf::context::{Arity, Context};
use conf::row::{self, Cx, Row};
use conf::scope::Config;
use conf::tree::Error;
use http::{Complex, Request};

/// `image_filter_buffer`
pub(super) const DEFAULT_BUFFER: u64 = 1 << 20;

/// `image_filter_jpeg_quality`
const DEFAULT_JPEG_QUALITY: u8 = 75;

/// `image_filter_webp_quality`
const DEFAULT_WEBP_QUALITY: u8 = 80;

const MAX_QUALITY: u8 = 100;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Kind {
    #[default]
    Off,
    Test,
    Size,
    Resize,
    Crop,
    Rotate,
}

/// The arguments of `image_filter`, which are inherited together.
#[derive(Clone, Default)]
pub(super) struct Filter {
    pub(super) kind: Kind,
    bounds: Option<(Complex, Complex)>,
    angle: Option<Complex>,
}

#[derive(Default)]
pub(super) struct Conf {
    pub(super) filter: Option<Filter>,
    jpeg_quality: Option<Complex>,
    webp_quality: Option<Complex>,
    sharpen: Option<Complex>,
    transparency: Option<bool>,
    interlace: Option<bool>,
    pub(super) buffer: Option<u64>,
}

impl Config for Conf {
    fn inherit(&mut self, parent: &Self) {
        conf::inherit!(self, parent; filter, jpeg_quality, webp_quality, sharpen, transparency, interlace, buffer);
    }
}

pub(super) fn rows() -> Vec<Row> {
    let at = Context::HTTP_ALL;
    vec![
        Row::new("image_filter", Context::LOCATION, Arity::Between(1, 3), "What is done to images.", |cx| image_filter(cx)),
        Row::new("image_filter_jpeg_quality", at, Arity::exactly(1), "Quality of JPEG images.", |cx| {
            cx.location::<Conf>().jpeg_quality = Some(value(cx, 0, |number| number > 0)?);
            Ok(())
        }),
        Row::new("image_filter_webp_quality", at, Arity::exactly(1), "Quality of WebP images.", |cx| {
            cx.location::<Conf>().webp_quality = Some(value(cx, 0, |number| number > 0)?);
            Ok(())
        }),
        Row::new("image_filter_sharpen", at, Arity::exactly(1), "Sharpens images, in percent.", |cx| {
            cx.location::<Conf>().sharpen = Some(value(cx, 0, |_| true)?);
            Ok(())
        }),
        row::flag::<Conf>("image_filter_transparency", at, "Keeps the transparency of images with a palette.", |c| &mut c.transparency),
        row::flag::<Conf>("image_filter_interlace", at, "Writes images that appear coarse first.", |c| &mut c.interlace),
        row::size::<Conf>("image_filter_buffer", at, "The largest image that is read.", |c| &mut c.buffer),
    ]
}

fn image_filter(cx: &Cx<'_>) -> Result<(), Error> {
    let args = cx.args().len();
    let kind = match (cx.arg(0), args) {
        (b"off", 1) => Kind::Off,
        (b"test", 1) => Kind::Test,
        (b"size", 1) => Kind::Size,
        (b"rotate", 2) => Kind::Rotate,
        (b"resize", 3) => Kind::Resize,
        (b"crop", 3) => Kind::Crop,
        _ => return Err(cx.invalid_parameter(0)),
    };
    let is_angle = |degrees| Rotation::from_degrees(degrees).is_some();
    let angle = if kind == Kind::Rotate { Some(parameter(cx, 1, is_angle)?) } else { None };
    let is_bound = |pixels| pixels > 0;
    let bounds = if args == 3 { Some((bound(cx, 1, is_bound)?, bound(cx, 2, is_bound)?)) } else { None };
    let mut conf = cx.location::<Conf>();
    let filter = conf.filter.get_or_insert_default();
    // A rotation may come on top of the others.
    if kind != Kind::Rotate || !matches!(filter.kind, Kind::Resize | Kind::Crop) {
        filter.kind = kind;
    }
    filter.bounds = bounds.or(filter.bounds.take());
    filter.angle = angle.or(filter.angle.take());
    Ok(())
}

/// An argument that is a number that `is_valid` accepts, or has variables.
fn value(cx: &Cx<'_>, i: usize, is_valid: impl Fn(u32) -> bool) -> Result<Complex, Error> {
    checked(cx, i, is_valid, |cx, i| cx.invalid_value(i))
}

fn parameter(cx: &Cx<'_>, i: usize, is_valid: impl Fn(u32) -> bool) -> Result<Complex, Error> {
    checked(cx, i, is_valid, |cx, i| cx.invalid_parameter(i))
}

/// As [`parameter`]; `-` is valid too.
fn bound(cx: &Cx<'_>, i: usize, is_valid: impl Fn(u32) -> bool) -> Result<Complex, Error> {
    if cx.arg(i) == b"-" { complex(cx, i) } else { parameter(cx, i, is_valid) }
}

fn checked(cx: &Cx<'_>, i: usize, is_valid: impl Fn(u32) -> bool, error: fn(&Cx<'_>, usize) -> Error) -> Result<Complex, Error> {
    let value = complex(cx, i)?;
    match value.literal() {
        Some(literal) if !number(literal).is_some_and(is_valid) => Err(error(cx, i)),
        _ => Ok(value),
    }
}

fn number(text: &[u8]) -> Option<u32> {
    if text.iter().all(u8::is_ascii_digit) { std::str::from_utf8(text).ok()?.parse().ok() } else { None }
}

impl Conf {
    /// What is to be done to an image of this format; `None` if a variable's value makes no sense.
    pub(super) fn plan(&self, request: &Request, format: Format) -> Option<Plan> {
        let filter = self.filter.as_ref()?;
        let rotation = match &filter.angle {
            None => Rotation::None,
            Some(angle) => match evaluated(request, angle).and_then(Rotation::from_degrees) {
                None if filter.kind == Kind::Rotate => return None,
                rotation => rotation.unwrap_or_default(),
            },
        };
        let bounds = || {
            let (width, height) = filter.bounds.as_ref()?;
            Some(Bounds { width: evaluated(request, width)?, height: evaluated(request, height)? })
        };
        let operation = match filter.kind {
            Kind::Resize => Operation::Resize(bounds()?),
            Kind::Crop => Operation::Crop(bounds()?),
            Kind::Rotate => Operation::Rotate,
            Kind::Off | Kind::Test | Kind::Size => return None,
        };
        let quality = match format {
            Format::Jpeg => quality(request, self.jpeg_quality.as_ref(), DEFAULT_JPEG_QUALITY),
            Format::WebP => quality(request, self.webp_quality.as_ref(), DEFAULT_WEBP_QUALITY),
            Format::Gif | Format::Png => Some(MAX_QUALITY),
        };
        let sharpen = self.sharpen.as_ref().and_then(|value| evaluated(request, value)).unwrap_or(0);
        let encoding = Encoding { format, quality, interlace: self.interlace == Some(true) };
        Some(Plan { operation, rotation, sharpen, transparency: self.transparency != Some(false), encoding })
    }
}

/// The number that a value is; `None` for 0 and for what is none.
fn evaluated(request: &Request, value: &Complex) -> Option<u32> {
    match &*value.to_vec(request) {
        b"-" => Some(UNLIMITED),
        text => number(text).filter(|number| *number > 0),
    }
}

/// A quality from 1 to 100; more is 100. `None` for 0 and for what is no number.
fn quality(request: &Request, value: Option<&Complex>, default: u8) -> Option<u8> {
    let Some(value) = value else { return Some(default) };
    u8::try_from(evaluated(request, value)?).map_or(Some(MAX_QUALITY), |quality| Some(quality.min(MAX_QUALITY)))
}
