//! `api`: what goes on, for programs, and changes of upstream groups without a reload (nginx manual, `ngx_http_api_module`, version 9).
//!
//! A path of the API leads to a JSON value, or a change; what is refused is told in the words of NGINX Plus.

pub(crate) mod change;
pub(crate) mod keyvals;
pub(crate) mod servers;
pub(crate) mod status;
pub(crate) mod upstreams;
pub(crate) mod value;
mod workers;
mod zones;

use crate::keyval::{KeyvalZones, ZoneRef};
use crate::zones as meters;
use conf::context::{Arity, Context};
use conf::row::{Cx, Row};
use conf::scope::Config;
use conf::tree::{Error, Span};
use http::location::Match;
use http::output::then;
use http::{Attach, Levels, Method, Module, Outcome, Request, Step, Worker, body};
use std::cell::RefCell;
use std::rc::Rc;
use upstream::directory::Directory;
use upstream::live::ApiError;
use value::{Value, object, texts};

/// The API.
pub const MODULE: Module = Module { rows, levels, attach, start, ..Module::named("api") };

/// What the API knows of `stream`.
pub const STREAM: stream::Module = stream::Module { start: start_stream, ..stream::Module::named("api") };

/// The version that is spoken.
const VERSION: &str = "9";
/// Where people find out more.
const MANUAL: &str = "https://nginx.org/en/docs/http/ngx_http_api_module.html";

#[derive(Default)]
struct Api {
    /// Whether it may change something.
    write: Option<bool>,
    span: Span,
}

impl Config for Api {
    // A content handler belongs to its location.
    fn inherit(&mut self, _: &Self) {}
}

/// What a worker remembers for the API.
#[derive(Default)]
pub(crate) struct ApiState {
    /// When it started, milliseconds since the epoch.
    pub(crate) loaded_ms: std::cell::Cell<u64>,
    /// The groups of `stream`, if there is `stream`.
    pub(crate) stream: RefCell<Option<Directory>>,
    /// The zones of `keyval` in `stream`.
    pub(crate) stream_keyvals: RefCell<Vec<Rc<ZoneRef>>>,
}

fn rows() -> Vec<Row> {
    vec![Row::new("api", Context::LOCATION, Arity::Between(0, 1), "Tells what goes on, and changes groups.", api)]
}

fn api(cx: &mut Cx<'_>) -> Result<(), Error> {
    let write = match cx.arg(0) {
        b"" | b"write=off" => false,
        b"write=on" => true,
        _ => return Err(cx.invalid_parameter(0)),
    };
    let mut api = cx.location::<Api>();
    api.span = cx.directive.name.span;
    cx.once(&mut api.write, write)
}

fn levels(levels: &mut Levels) {
    levels.location::<Api>();
}

fn attach(at: &mut Attach<'_>) -> Result<(), Error> {
    let api = at.conf::<Api>();
    let Some(write) = api.write else { return Ok(()) };
    if matches!(at.kind, Match::Regex(_) | Match::Named) {
        return Err(Error::new("\"api\" cannot be in a location given by a regular expression or in a named one", api.span));
    }
    let prefix = at.name.len();
    at.content(move |request| {
        let request = request.clone();
        then(body::read(&request), move |outcome| match outcome {
            Outcome::Ok => answer(&request, prefix, write),
            other => Step::Now(other),
        })
    });
    Ok(())
}

fn start(worker: &Rc<Worker>) {
    worker.state::<ApiState>().loaded_ms.set(base::clock::epoch_ms());
}

fn start_stream(worker: &Rc<stream::Worker>) {
    let (known, configuration) = (worker.state::<ApiState>(), worker.configuration());
    known.stream.replace(Some(configuration.main.get::<Directory>().cloned().unwrap_or_default()));
    let keyvals = configuration.main.get::<KeyvalZones<stream::Session>>().map(|declared| declared.all().to_vec());
    known.stream_keyvals.replace(keyvals.unwrap_or_default());
}

/// What a request wants.
pub(crate) struct Call<'a> {
    pub(crate) request: &'a Rc<Request>,
    pub(crate) method: Method,
    /// Segments behind what the last one that looked has used.
    pub(crate) path: &'a [&'a str],
}

/// What is answered.
pub(crate) enum Reply {
    /// 200, with the depth at which `fields` chooses.
    Value(Value, usize),
    /// 200 or 201, as it is; with a `Location`.
    Plain(u16, Value, Option<String>),
    /// A status without content.
    Empty(u16),
}

pub(crate) type ApiResult = Result<Reply, ApiError>;

/// A path that leads nowhere.
pub(crate) fn no_path() -> ApiError {
    ApiError { status: 404, code: "PathNotFound", text: "path not found".to_owned() }
}

impl<'a> Call<'a> {
    /// The next segment, and the call behind it.
    pub(crate) fn next(&self) -> (Option<&'a str>, Call<'a>) {
        let (first, path) = match self.path.split_first() {
            Some((first, rest)) => (Some(*first), rest),
            None => (None, self.path),
        };
        (first, Call { request: self.request, method: self.method, path })
    }

    /// Says so for what can only be read.
    pub(crate) fn only_read(&self) -> Result<(), ApiError> {
        if self.method == Method::GET || self.method == Method::HEAD {
            return Ok(());
        }
        Err(ApiError { status: 405, code: "MethodDisabled", text: "method disabled".to_owned() })
    }

    /// A value that has no more parts.
    pub(crate) fn leaf(&self, value: impl FnOnce() -> Value) -> ApiResult {
        self.only_read()?;
        if self.path.is_empty() { Ok(Reply::Value(value(), 0)) } else { Err(no_path()) }
    }

    /// The names of the parts.
    pub(crate) fn index(&self, names: &[&str]) -> ApiResult {
        self.only_read()?;
        Ok(Reply::Plain(200, texts(names.iter().copied()), None))
    }

    /// The request's body as JSON.
    pub(crate) fn json(&self) -> Result<Value, ApiError> {
        let bad = |text: &str| ApiError::bad("BodyReadError", text);
        let body = self.request.body.borrow().clone();
        if body.file().is_some() {
            return Err(ApiError { status: 413, code: "BodyReadError", text: "request body is too large".to_owned() });
        }
        let text = body.to_vec().map_err(|_| bad("reading request body failed"))?;
        Value::parse(&text).map_err(|text| ApiError { status: 415, code: "JsonError", text: format!("JSON error: {text}") })
    }
}

fn answer(request: &Rc<Request>, prefix: usize, write: bool) -> Step {
    let line = request.line.borrow();
    let path = String::from_utf8_lossy(line.uri.get(prefix..).unwrap_or_default()).into_owned();
    let arguments = String::from_utf8_lossy(&line.args).into_owned();
    drop(line);
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    let call = Call { request, method: request.method(), path: &segments };
    let answered = if !write && call.only_read().is_err() { Err(disabled()) } else { root(&call) };
    match answered {
        Ok(Reply::Empty(204)) => {
            request.response.borrow_mut().set_status(204);
            request.flags.header_only.set(true);
            request.send_header()
        }
        Ok(Reply::Empty(status)) => request.respond(status, b"application/json", Vec::new()),
        Ok(Reply::Value(value, depth)) => {
            let fields = argument(&arguments, "fields");
            let names: Option<Vec<&str>> = fields.map(|fields| fields.split(',').filter(|name| !name.is_empty()).collect());
            let value = match names {
                Some(names) => value.limit(depth, &names),
                None => value,
            };
            respond(request, 200, &value)
        }
        Ok(Reply::Plain(status, value, location)) => {
            if let Some(location) = location {
                let line = request.line.borrow();
                let prefix = line.uri.get(..prefix).unwrap_or_default();
                let own = [prefix.strip_suffix(b"/").unwrap_or(prefix), location.as_bytes()].concat();
                drop(line);
                request.response.borrow_mut().headers.push(b"Location", &own);
            }
            respond(request, status, &value)
        }
        Err(wrong) => {
            let error = object([("status", u64::from(wrong.status).into()), ("text", wrong.text.into()), ("code", wrong.code.into())]);
            let mut id = Vec::new();
            session::variable::by_name::get_by_name(&**request, "request_id", &mut id);
            let id = String::from_utf8_lossy(&id).into_owned();
            respond(request, wrong.status, &object([("error", error), ("request_id", id.into()), ("href", MANUAL.into())]))
        }
    }
}

fn disabled() -> ApiError {
    ApiError { status: 405, code: "MethodDisabled", text: "method disabled".to_owned() }
}

fn respond(request: &Rc<Request>, status: u16, value: &Value) -> Step {
    let mut out = Vec::new();
    value.push(&mut out);
    request.response.borrow_mut().headers.push(b"Cache-Control", b"no-cache");
    request.respond(status, b"application/json", out)
}

/// An argument's value; a percent sign is nothing special, as no name of the API has one.
pub(crate) fn argument<'a>(all: &'a str, name: &str) -> Option<&'a str> {
    all.split('&').find_map(|one| match one.split_once('=') {
        Some((key, value)) => (key == name).then_some(value),
        None => (one == name).then_some(""),
    })
}

fn root(call: &Call<'_>) -> ApiResult {
    let (version, call) = call.next();
    match version {
        None => {
            call.only_read()?;
            Ok(Reply::Plain(200, Value::List(vec![Value::Count(9)]), None))
        }
        Some(VERSION) => {
            let (part, call) = call.next();
            match part {
                None => {
                    let stream = is_there(&call).then_some("stream");
                    let parts = ["nginx", "processes", "connections", "slabs", "http"].into_iter().chain(stream);
                    call.index(&parts.chain(["resolvers", "ssl", "workers"]).collect::<Vec<_>>())
                }
                Some("nginx") => call.leaf(|| status::nginx(call.request)),
                Some("processes") => status::processes(&call),
                Some("connections") => status::connections(&call),
                Some("ssl") => status::ssl(&call),
                Some("slabs") => zones::slabs(&call),
                Some("resolvers") => zones::counters(&call, &meters::RESOLVERS, ("ResolverZoneNotFound", "resolver zone not found")),
                Some("workers") => workers::answer(&call),
                Some("http") => http_part(&call),
                Some("stream") if is_there(&call) => stream_part(&call),
                Some(_) => Err(no_path()),
            }
        }
        Some(_) => Err(ApiError { status: 404, code: "UnknownVersion", text: "unknown version".to_owned() }),
    }
}

/// Whether there is `stream`.
fn is_there(call: &Call<'_>) -> bool {
    call.request.worker.state::<ApiState>().stream.borrow().is_some()
}

fn http_part(call: &Call<'_>) -> ApiResult {
    let (part, call) = call.next();
    match part {
        None => call.index(&["requests", "server_zones", "location_zones", "limit_conns", "limit_reqs", "caches", "keyvals", "upstreams"]),
        Some("keyvals") => {
            let declared = call.request.http.main.get::<KeyvalZones<Request>>();
            keyvals::answer(&call, declared.map(KeyvalZones::all).unwrap_or_default())
        }
        Some("requests") => status::requests(&call),
        Some("server_zones") => zones::counters(&call, &meters::SERVERS, ("ServerZoneNotFound", "server zone not found")),
        Some("location_zones") => zones::counters(&call, &meters::LOCATION_ZONES, ("LocationZoneNotFound", "location zone not found")),
        Some("limit_conns") => zones::counters(&call, &meters::CONNECTION_LIMITS, ("LimitConnNotFound", "limit_conn not found")),
        Some("limit_reqs") => zones::counters(&call, &meters::REQUEST_LIMITS, ("LimitReqNotFound", "limit_req not found")),
        Some("caches") => zones::caches(&call),
        Some("upstreams") => {
            let directory = call.request.http.main.get::<Directory>().cloned().unwrap_or_default();
            upstreams::answer(&call, &directory, "http")
        }
        Some(_) => Err(no_path()),
    }
}

fn stream_part(call: &Call<'_>) -> ApiResult {
    let (part, call) = call.next();
    let known = call.request.worker.state::<ApiState>();
    match part {
        None => call.index(&["server_zones", "limit_conns", "keyvals", "upstreams"]),
        Some("server_zones") => zones::counters(&call, &meters::SESSIONS, ("ServerZoneNotFound", "server zone not found")),
        Some("limit_conns") => zones::counters(&call, &meters::SESSION_LIMITS, ("LimitConnNotFound", "limit_conn not found")),
        Some("keyvals") => keyvals::answer(&call, &known.stream_keyvals.borrow()),
        Some("upstreams") => {
            let directory = known.stream.borrow().clone().unwrap_or_default();
            upstreams::answer(&call, &directory, "stream")
        }
        Some(_) => Err(no_path()),
    }
}
