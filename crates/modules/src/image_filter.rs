//! `image_filter`: tests images, tells their size, and transforms them.

pub(crate) mod codec;
pub(crate) mod format;
pub(crate) mod geometry;
mod settings;
pub(crate) mod transform;

use crate::filtering::{each_run, want_memory, weaken_etag};
use crate::marks;
use base::log::Level;
use conf::tree::Error;
use format::Format;
use http::location::Filtered;
use http::{Attach, Chain, Levels, Module, Outcome, Request, Step, log_request};
use settings::{Conf, DEFAULT_BUFFER, Kind, rows};
use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;
use tokio::sync::Semaphore;
use transform::Plan;

/// The module.
pub const MODULE: Module = Module { rows, levels: Levels::location_only::<Conf>, attach, ..Module::named("image_filter") };

/// Unsupported Media Type: the response is no image, or it cannot be transformed.
const UNSUPPORTED_MEDIA_TYPE: u16 = 415;

/// Images that a worker transforms at a time.
const AT_A_TIME: usize = 4;

thread_local!(static SLOTS: Rc<Semaphore> = Rc::new(Semaphore::new(AT_A_TIME)));

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
