//! `image_filter`: tests images, tells their size, and transforms them.

mod codec;
mod format;
mod geometry;
mod transform;

use crate::compile::complex;
use crate::filtering::{each_run, want_memory, weaken_etag};
use crate::marks;
use base::log::Level;
use codec::Encoding;
use conf::context::{Arity, Context};
use conf::row::{self, Cx, Row};
use conf::scope::Config;
use conf::tree::Error;
use format::Format;
use geometry::{Bounds, UNLIMITED};
use http::location::Filtered;
use http::{Attach, Chain, Complex, Levels, Module, Outcome, Request, Step, log_request};
use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;
use tokio::sync::Semaphore;
use transform::{Operation, Plan, Rotation};

/// The module.
pub const MODULE: Module = Module { rows, levels: Levels::location_only::<Conf>, attach, ..Module::named("image_filter") };

/// Unsupported Media Type: the response is no image, or it cannot be transformed.
const UNSUPPORTED_MEDIA_TYPE: u16 = 415;

/// `image_filter_buffer`
const DEFAULT_BUFFER: u64 = 1 << 20;

/// `image_filter_jpeg_quality`
const DEFAULT_JPEG_QUALITY: u8 = 75;

/// `image_filter_webp_quality`
const DEFAULT_WEBP_QUALITY: u8 = 80;

const MAX_QUALITY: u8 = 100;

/// Images that a worker transforms at a time.
const AT_A_TIME: usize = 4;

thread_local!(static SLOTS: Rc<Semaphore> = Rc::new(Semaphore::new(AT_A_TIME)));

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Kind {
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
struct Filter {
    kind: Kind,
    bounds: Option<(Complex, Complex)>,
    angle: Option<Complex>,
}

#[derive(Default)]
struct Conf {
    filter: Option<Filter>,
    jpeg_quality: Option<Complex>,
    webp_quality: Option<Complex>,
    sharpen: Option<Complex>,
    transparency: Option<bool>,
    interlace: Option<bool>,
    buffer: Option<u64>,
}

impl Config for Conf {
    fn inherit(&mut self, parent: &Self) {
        conf::inherit!(self, parent; filter, jpeg_quality, webp_quality, sharpen, transparency, interlace, buffer);
    }
}

fn rows() -> Vec<Row> {
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

fn attach(at: &mut Attach<'_>) -> Result<(), Error> {
    let conf = at.conf::<Conf>();
    if conf.filter.as_ref().is_some_and(|filter| filter.kind != Kind::Off) {
        at.header_filter(move |request| header_filter(request, &conf));
        at.body_filter_on_demand(marks::IMAGE, body_filter);
    }
    Ok(())
}

/// A response on its way through the filter.
struct Image {
    conf: Rc<Conf>,
    stage: Cell<Stage>,
    data: RefCell<Vec<u8>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The first bytes have not come.
    Start,
    /// The image is read into memory.
    Read(Format),
    /// What comes passes as it is.
    Pass,
    /// What comes is dropped.
    Done,
}

fn header_filter(request: &Rc<Request>, conf: &Rc<Conf>) -> Step {
    if request.response.borrow().status == 304 || request.find_context::<Image>().is_some_and(|image| image.stage.get() == Stage::Done) {
        return Step::Now(Outcome::Ok);
    }
    let length = {
        let mut response = request.response.borrow_mut();
        let multipart = b"multipart/x-mixed-replace";
        if response.content_type.get(..multipart.len()).is_some_and(|start| start.eq_ignore_ascii_case(multipart)) {
            drop(response);
            request.log(Level::Error, b"image filter: multipart/x-mixed-replace response");
            return Step::Now(Outcome::Error);
        }
        response.headers.remove(b"Refresh");
        response.headers.remove(b"Accept-Ranges");
        response.allow_ranges = false;
        response.content_length
    };
    let image = Image { conf: conf.clone(), stage: Cell::new(Stage::Start), data: RefCell::default() };
    if let Some(length) = length.filter(|length| *length > image.limit()) {
        log_request!(request, Level::Error, "image filter: too big response: {length}");
        image.stage.set(Stage::Done);
        request.set_context(Rc::new(image));
        return Step::Now(Outcome::Status(UNSUPPORTED_MEDIA_TYPE));
    }
    want_memory(request);
    request.set_context(Rc::new(image));
    request.demand_body_filter(marks::IMAGE);
    Step::Now(Outcome::Done)
}

fn body_filter(request: &Rc<Request>, chain: Chain) -> Filtered {
    let Some(image) = request.find_context::<Image>() else { return Filtered::Now(Ok(chain)) };
    match image.stage.get() {
        Stage::Pass => return Filtered::Now(Ok(chain)),
        Stage::Done => return Filtered::Kept,
        Stage::Start | Stage::Read(_) => {}
    }
    let last = chain.last;
    match image.take(chain) {
        Ok(Taken::More) => Filtered::Kept,
        Ok(Taken::Format(format)) => {
            request.response.borrow_mut().set_content_type(format.media_type().as_bytes());
            if image.kind() == Kind::Test { image.pass(request, last) } else { Filtered::Kept }
        }
        Ok(Taken::Whole(format)) => {
            request.response.borrow_mut().set_content_type(format.media_type().as_bytes());
            image.process(request, format)
        }
        Err(Refusal::NoImage) if image.kind() == Kind::Size => image.tell_size(request, b"{}\r\n".to_vec()),
        Err(Refusal::NoImage) => image.refuse(request),
        Err(Refusal::TooBig) => {
            request.log(Level::Error, b"image filter: too big response");
            image.refuse(request)
        }
        Err(Refusal::Unreadable(error)) => {
            log_request!(request, Level::Error, "image filter: {error}");
            image.refuse(request)
        }
    }
}

/// What has come of an image so far.
enum Taken {
    /// Too little to say.
    More,
    /// So much that its format is known.
    Format(Format),
    /// All.
    Whole(Format),
}

/// Why a response cannot be transformed.
#[derive(Debug)]
enum Refusal {
    NoImage,
    TooBig,
    Unreadable(std::io::Error),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::NoImage => f.write_str("the response is no image"),
            Refusal::TooBig => f.write_str("the image is too big"),
            Refusal::Unreadable(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Refusal {}

impl Image {
    fn kind(&self) -> Kind {
        self.conf.filter.as_ref().map_or(Kind::Off, |filter| filter.kind)
    }

    fn limit(&self) -> u64 {
        self.conf.buffer.unwrap_or(DEFAULT_BUFFER)
    }

    /// Adds what came.
    fn take(&self, chain: Chain) -> Result<Taken, Refusal> {
        let mut data = self.data.borrow_mut();
        for piece in &chain.pieces {
            each_run(piece, |run| {
                data.extend_from_slice(run);
                Ok(())
            })
            .map_err(Refusal::Unreadable)?;
            if self.kind() != Kind::Test && data.len() as u64 > self.limit() {
                return Err(if self.stage.get() == Stage::Start && Format::detect(&data).is_none() {
                    Refusal::NoImage
                } else {
                    Refusal::TooBig
                });
            }
        }
        let format = match self.stage.get() {
            Stage::Read(format) => format,
            _ if data.len() < format::SIGNATURE && !chain.last => return Ok(Taken::More),
            _ => Format::detect(&data).ok_or(Refusal::NoImage)?,
        };
        match self.stage.replace(Stage::Read(format)) {
            _ if chain.last => Ok(Taken::Whole(format)),
            Stage::Read(_) => Ok(Taken::More),
            _ => Ok(Taken::Format(format)),
        }
    }

    /// The response is replaced by an error page.
    fn refuse(&self, request: &Rc<Request>) -> Filtered {
        self.stage.set(Stage::Done);
        Filtered::Now(Err(request.refuse_response(UNSUPPORTED_MEDIA_TYPE)))
    }

    /// `image_filter test`: what has come passes, and what follows.
    fn pass(&self, request: &Rc<Request>, last: bool) -> Filtered {
        self.stage.set(Stage::Pass);
        send(request, Chain { last, ..Chain::bytes(self.data.take()) })
    }

    fn process(self: Rc<Image>, request: &Rc<Request>, format: Format) -> Filtered {
        if self.kind() == Kind::Test {
            return self.pass(request, true);
        }
        let data = self.data.take();
        let facts = format.facts(&data);
        if self.kind() == Kind::Size {
            let text = facts.map_or_else(
                || "{}\r\n".to_owned(),
                |facts| {
                    format!(
                        "{{ \"img\" : {{ \"width\": {}, \"height\": {}, \"type\": \"{}\" }} }}\r\n",
                        facts.width,
                        facts.height,
                        format.name()
                    )
                },
            );
            return self.tell_size(request, text.into_bytes());
        }
        let Some(plan) = self.conf.plan(request, format) else { return self.refuse(request) };
        if facts.is_some_and(|facts| plan.leaves_as_is(facts)) {
            self.stage.set(Stage::Pass);
            return send_whole(request, data);
        }
        let request = request.clone();
        Filtered::Wait(Box::pin(async move {
            match off_thread(plan, data).await {
                Ok(data) => {
                    self.stage.set(Stage::Pass);
                    weaken_etag(&mut request.response.borrow_mut());
                    finish(send_whole(&request, data)).await
                }
                Err(error) => {
                    log_request!(request, Level::Error, "image filter: {} image: {error}", format.name());
                    finish(self.refuse(&request)).await
                }
            }
        }))
    }

    /// `image_filter size`
    fn tell_size(&self, request: &Rc<Request>, text: Vec<u8>) -> Filtered {
        self.stage.set(Stage::Done);
        {
            let mut response = request.response.borrow_mut();
            response.clear();
            response.set_status(200);
            response.set_content_type(b"application/json");
        }
        send_whole(request, text)
    }
}

/// Decoding and encoding take long: a thread does it, and the worker serves others meanwhile.
async fn off_thread(plan: Plan, data: Vec<u8>) -> Result<Vec<u8>, String> {
    let slots = SLOTS.with(Rc::clone);
    let _slot = slots.acquire().await.map_err(|error| error.to_string())?;
    let made = tokio::task::spawn_blocking(move || plan.run(&data).map_err(|error| error.to_string())).await;
    made.unwrap_or_else(|error| Err(error.to_string()))
}

async fn finish(filtered: Filtered) -> Result<Chain, Outcome> {
    match filtered {
        Filtered::Now(result) => result,
        Filtered::Wait(future) => future.await,
        Filtered::Kept | Filtered::Parts(_) => Ok(Chain::default()),
    }
}

/// The head with this length, and then the whole body.
fn send_whole(request: &Rc<Request>, data: Vec<u8>) -> Filtered {
    {
        let mut response = request.response.borrow_mut();
        response.headers.remove(b"Content-Length");
        response.content_length = Some(data.len() as u64);
    }
    send(request, Chain::bytes(data).and_last())
}

/// The head, and then a part of the body.
fn send(request: &Rc<Request>, chain: Chain) -> Filtered {
    let then = |request: &Request, outcome| match outcome {
        Outcome::Ok => Ok(chain),
        Outcome::Status(status) => Err(request.refuse_response(status)),
        other => Err(other),
    };
    match request.send_withheld_header() {
        Step::Now(outcome) => Filtered::Now(then(request, outcome)),
        Step::Wait(future) => {
            let request = request.clone();
            Filtered::Wait(Box::pin(async move { then(&request, future.await) }))
        }
    }
}

impl Conf {
    /// What is to be done to an image of this format; `None` if a variable's value makes no sense.
    fn plan(&self, request: &Request, format: Format) -> Option<Plan> {
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
