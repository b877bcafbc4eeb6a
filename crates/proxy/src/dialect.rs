//! A protocol of upstream servers: how a request is encoded, how a response's head and body are parsed.
//!
//! Everything else (connecting, retrying, buffering, headers for the client) is the exchange's, the same for all.

pub(crate) mod fastcgi;
pub(crate) mod fields;
pub(crate) mod gateway;
pub(crate) mod http1;
pub(crate) mod http2;
pub(crate) mod memc;
pub(crate) mod memcached;
pub(crate) mod redis;
pub(crate) mod redis2;
pub(crate) mod request_line;
pub(crate) mod scgi;
pub(crate) mod tunnel;
pub(crate) mod uwsgi;

use ::upstream::url::Url;
use base::log::Level;
use http::{Outcome, Request};
use std::borrow::Cow;
use std::ops::Range;
use wire::chunked::{Decoder, Step};
use wire::fastcgi::record::Records;
use wire::fastcgi::response::{Body, LogMessage};
use wire::h1::response::ResponseHead;
use wire::memcached::reply::Value;
use wire::redis::Replies;
use wire::span::Span;

/// The request body as it will really be sent; its framing follows from this alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// None, and none announced.
    Nothing,
    /// This many bytes.
    Length(u64),
    /// Unknown; chunks if the protocol has them.
    Stream,
}

/// How messages are delimited on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelKind {
    /// By their own grammar.
    Bytes,
    /// By HTTP/2's frames.
    Frames,
}

/// What a body is wrapped in on its way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Envelope {
    /// Nothing.
    #[default]
    Bare,
    /// Chunks.
    Chunks,
    /// FastCGI's records.
    Records,
}

/// What a protocol sends behind the head.
pub enum RequestBody {
    /// Nothing, whatever the client sent.
    Nothing,
    /// The client's body.
    Client,
    /// Bytes that the configuration gives.
    Own(Vec<u8>),
}

/// What is to be written.
pub struct Job<'a> {
    /// The client's request.
    pub request: &'a Request,
    /// Name of the location that the URL's URI part replaces.
    pub location: &'a [u8],
    /// The client's headers are passed on.
    pub pass_headers: bool,
    /// Where it goes.
    pub url: &'a Url,
    /// The URL had variables.
    pub evaluated: bool,
    /// The body.
    pub body: Sent,
    /// The response may be kept in a cache: what the client's conditions and ranges are replaced by.
    pub keeping: Option<CacheRequest<'a>>,
    /// HEAD is asked as GET, because a cache was asked first (`*_cache_convert_head`).
    pub convert_head: bool,
    /// It goes over TLS.
    pub secure: bool,
}

/// How a response is asked for that a cache may keep: whole, or whether an old one still holds.
#[derive(Clone, Copy)]
pub struct CacheRequest<'a> {
    /// The old one's `Last-Modified`, or empty.
    pub last_modified: &'a [u8],
    /// The old one's `ETag`, or empty.
    pub etag: &'a [u8],
}

impl CacheRequest<'_> {
    /// Whether a field of the client stays behind.
    #[must_use]
    pub fn replaces(name: &[u8]) -> bool {
        ["If-Modified-Since", "If-Unmodified-Since", "If-None-Match", "If-Match", "Range", "If-Range"]
            .iter()
            .any(|other| name.eq_ignore_ascii_case(other.as_bytes()))
    }

    /// The fields that there are.
    pub fn fields(&self) -> impl Iterator<Item = (&'static [u8], &[u8])> {
        [(&b"If-Modified-Since"[..], self.last_modified), (&b"If-None-Match"[..], self.etag)]
            .into_iter()
            .filter(|(_, value)| !value.is_empty())
    }
}

/// What the exchange learns from the request written.
#[derive(Clone, Debug, Default)]
pub struct Encoded {
    /// Where the URI stands in the output, for the log.
    pub uri: Range<usize>,
    /// The response to this has no body (HEAD).
    pub to_head: bool,
    /// A repetition may do harm (RFC 9110 section 9.2.2).
    pub once: bool,
    /// An upgrade was asked for: a 101 is welcome.
    pub upgrade: bool,
    /// What follows the body, for protocols that never stream it.
    pub tail: &'static [u8],
    /// What the body is wrapped in.
    pub envelope: Envelope,
    /// How many answers there will be, for protocols that ask more than once.
    pub answers: u64,
}

/// What has been done to the bytes of a response before they were parsed.
#[derive(Debug, Default)]
pub struct Unwrapped {
    /// Where the next record stands.
    pub records: Records,
    /// Where the response's head begins: behind the header of its record.
    pub start: usize,
    /// Where the bytes end that are out of their records.
    pub bare: usize,
    /// Where the bytes begin that still are in theirs; what is in between has been dealt with.
    pub raw: usize,
}

impl Unwrapped {
    /// Forgets an earlier answer.
    pub fn reset(&mut self) {
        *self = Unwrapped::default();
    }

    /// Removes what has been dealt with from the input.
    pub(crate) fn close_gap(&mut self, input: &mut Vec<u8>) {
        if self.bare < self.raw {
            input.drain(self.bare..self.raw.min(input.len()));
        }
        self.raw = self.bare;
    }
}

/// The request that a response belongs to.
pub struct RequestContext<'a> {
    /// What [`Dialect::encode`] said.
    pub encoded: &'a Encoded,
    /// What it wrote.
    pub written: &'a [u8],
    /// Most bytes of the response's head.
    pub limit: usize,
    /// What [`Dialect::unwrap`] did.
    pub unwrapped: &'a Unwrapped,
}

/// The state of reading a head.
pub enum Head {
    /// More bytes are needed.
    Partial,
    /// An informational answer of this length; the real one follows.
    Interim(usize),
    /// The head is whole.
    Complete(UpstreamResponse),
}

/// A response's head.
pub struct UpstreamResponse {
    /// Its length in bytes.
    pub length: usize,
    /// Status code.
    pub status: u16,
    /// Code and reason as sent.
    pub status_line: Span,
    /// How the body is framed.
    pub body: Framing,
    /// `Content-Length`, also where no body follows.
    pub content_length: Option<u64>,
    /// The connection may serve another request after the body.
    pub keep_alive: bool,
    /// 101: the connection is no longer of this protocol.
    pub tunnel: bool,
}

impl UpstreamResponse {
    /// The fault in the first bytes of a body that came with its head, `body`: while nothing has been passed on, it is a 502.
    #[must_use]
    pub(crate) fn broken_start(&self, body: &[u8]) -> Option<Cow<'static, [u8]>> {
        let mut probe = match &self.body {
            Framing::Chunked(decoder) => Framing::Chunked(decoder.clone()),
            Framing::Replies(replies) => Framing::Replies(replies.clone()),
            _ => return None,
        };
        let mut rest = body;
        loop {
            match probe.next(rest) {
                Ok(Step::Data { end, .. }) => rest = rest.get(end..)?,
                Ok(Step::Partial | Step::Done { .. }) => return None,
                Err(line) => return Some(line),
            }
        }
    }
}

/// A protocol.
pub trait Dialect {
    /// What an upstream's URL begins with in the log, `http://`.
    fn scheme(&self) -> &'static [u8];

    /// The same over TLS, for protocols that have it.
    fn secure_scheme(&self) -> &'static [u8] {
        self.scheme()
    }

    /// How its messages are delimited on a connection.
    fn kind(&self) -> ChannelKind {
        ChannelKind::Bytes
    }

    /// Whether nothing is spoken: the connection itself is what the client wants.
    fn is_tunnel(&self) -> bool {
        false
    }

    /// Whether its servers can be asked by gRPC's own protocol of health checks.
    fn has_health_service(&self) -> bool {
        false
    }

    /// Whether its early hints are the client's.
    fn has_hints(&self) -> bool {
        false
    }

    /// Whether `$upstream_http_server` and `$upstream_http_date` are empty, and not missing, where a response has no such fields.
    fn has_empty_fields(&self) -> bool {
        false
    }

    /// The port of URLs without one; 0: they must have one.
    fn default_port(&self) -> u16 {
        0
    }

    /// Whether a body of unknown length can be sent.
    fn can_stream(&self) -> bool {
        false
    }

    /// Checks the request before its body is read.
    ///
    /// # Errors
    /// The response to a request that is not passed on. It has been logged.
    fn check_request(&self, _request: &Request) -> Result<(), Outcome> {
        Ok(())
    }

    /// What is sent as the body, once the client's has been read.
    ///
    /// # Errors
    /// The response to a request without a body that it needs. It has been logged.
    fn request_body(&self, _request: &Request) -> Result<RequestBody, Outcome> {
        Ok(RequestBody::Client)
    }

    /// Appends the request's head; `None` if there can be none, which has been logged.
    fn encode(&self, job: &Job<'_>, out: &mut Vec<u8>) -> Option<Encoded>;

    /// Takes the next bytes of a response that comes in records out of theirs, in place. What [`Dialect::parse`] gets is the input from
    /// [`Unwrapped::start`] up to what this returns; if that is not all of it, there may be more.
    ///
    /// # Errors
    /// The line for the error log: the response is garbage, and the connection is closed.
    fn unwrap(&self, _request: &Request, _unwrapped: &mut Unwrapped, input: &mut Vec<u8>) -> Result<usize, Vec<u8>> {
        Ok(input.len())
    }

    /// Parses on.
    ///
    /// # Errors
    /// The line for the error log: the response is garbage, and the connection is closed.
    fn parse(&self, parser: &mut ResponseHead, input: &[u8], context: &RequestContext<'_>) -> Result<Head, Vec<u8>>;

    /// Learns what the response's head says beyond status and headers, before the client gets it.
    fn answered(&self, _request: &Request, _head: &[u8], _answer: &UpstreamResponse, _context: &RequestContext<'_>) {}
}

/// The body of a response while it is read.
#[derive(Debug)]
pub enum Framing {
    /// No body.
    Empty,
    /// This many bytes are left.
    Length(u64),
    /// Chunks.
    Chunked(Decoder),
    /// A value of memcached or Redis with its end mark, and the line for another end.
    Value(Value, &'static str),
    /// FastCGI's records.
    Records(Body),
    /// Redis replies.
    Replies(Replies),
    /// HTTP/2's frames, which the channel knows; this many bytes are left if it is known.
    Frames(Option<u64>),
    /// Everything until the upstream closes.
    UntilClose,
}

impl Framing {
    /// Looks at `input`, which starts where the last step ended.
    ///
    /// # Errors
    /// The line for the error log.
    pub fn next(&mut self, input: &[u8]) -> Result<Step, Cow<'static, [u8]>> {
        let fixed = |line: &'static str| Cow::Borrowed(line.as_bytes());
        match self {
            Framing::Empty | Framing::Length(0) => Ok(Step::Done { end: 0 }),
            Framing::Records(body) => body.next(input).map_err(|error| Cow::Owned(error.to_string().into_bytes())),
            Framing::Replies(replies) => replies.next(input).map_err(|error| redis2::invalid(input, error.at)),
            _ if input.is_empty() => Ok(Step::Partial),
            Framing::Frames(_) => Ok(Step::Data { start: 0, end: input.len() }),
            Framing::Length(left) => {
                let end = usize::try_from(*left).map_or(input.len(), |l| l.min(input.len()));
                *left -= end as u64;
                Ok(Step::Data { start: 0, end })
            }
            Framing::Chunked(decoder) => decoder.decode(input).map_err(|_| fixed("upstream sent invalid chunked response")),
            Framing::Value(value, line) => value.next(input).map_err(|_| fixed(line)),
            Framing::UntilClose => Ok(Step::Data { start: 0, end: input.len() }),
        }
    }

    /// What the last step wants to be logged.
    pub fn log_line(&mut self) -> Option<(Level, Vec<u8>)> {
        let Framing::Records(body) = self else { return None };
        Some(match body.take_log()? {
            LogMessage::Errors(text) => (Level::Error, fastcgi::stderr_line(&text)),
            LogMessage::Excess => (Level::Warn, b"upstream sent more data than specified in \"Content-Length\" header".to_vec()),
        })
    }

    /// What to log about bytes after the body.
    #[must_use]
    pub fn excess_log(&self, rest: &[u8]) -> (Level, Vec<u8>) {
        match self {
            Framing::Replies(_) => (Level::Warn, redis2::excess_log(rest)),
            Framing::Value(_, line) => (Level::Error, line.as_bytes().to_vec()),
            _ => (Level::Warn, b"upstream sent more data than specified in \"Content-Length\" header".to_vec()),
        }
    }

    /// Whether the connection can serve another request, once the body is whole and nothing follows it.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        match self {
            Framing::Records(body) => body.is_clean(),
            _ => true,
        }
    }

    /// Whether the end of the connection is the end of the body.
    #[must_use]
    pub(crate) fn ends_with_connection(&self) -> bool {
        match self {
            Framing::Records(body) => body.may_end(),
            Framing::UntilClose => true,
            _ => false,
        }
    }
}
