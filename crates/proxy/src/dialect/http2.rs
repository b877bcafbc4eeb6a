//! HTTP/2 to the upstream (RFC 9113), for `proxy_pass` and `grpc_pass`. The channel makes frames of it.

use super::http1::{NEVER_COPIED, clean, has_control};
use super::{Answer, Carried, Dialect, Encoded, Framing, Head, Job, Keeping, Kind, Question, Sent, method};
use crate::channel::link::is_foreign;
use crate::hidden::Hidden;
use crate::limits::MAX_HEADERS;
use crate::uri::{UriRule, push_uri};
use base::log::Level;
use base::text::push_number;
use http::{Complex, Outcome, Request, log_request};
use wire::h1::response::{self, Body, Limits, ResponseHead, Status};
use wire::known::Known;

/// What a configuration says of its requests.
#[derive(Default)]
pub struct Wishes<'a> {
    /// `proxy_method`
    pub method: Option<Complex>,
    /// `proxy_set_body`
    pub body: Option<Complex>,
    /// `*_set_header`, in order
    pub set: &'a [(Box<[u8]>, Complex)],
    /// gRPC: trailers are asked for where the client does.
    pub grpc: bool,
}

/// `proxy_http_version 2` or `grpc_pass`.
pub struct Http2 {
    grpc: bool,
    method: Option<Complex>,
    body: Option<Complex>,
    /// Names in lower case.
    fields: Vec<(Box<[u8]>, Complex)>,
    host: Option<Complex>,
    not_copied: Hidden,
}

impl Http2 {
    /// A dialect with the headers that the configuration sets, in order.
    #[must_use]
    pub fn new(wishes: Wishes<'_>) -> Http2 {
        let mut not_copied = Hidden::new(&NEVER_COPIED, None, None);
        wishes.set.iter().for_each(|(name, _)| not_copied.add(name));
        let is = |name: &[u8], other: &str| name.eq_ignore_ascii_case(other.as_bytes());
        let empty = |value: &Complex| value.literal().is_some_and(<[u8]>::is_empty);
        // A length must be that of the bytes really sent, and `Host` is `:authority`.
        let own = |name: &[u8]| is(name, "Content-Length") || is(name, "Host") || is_foreign(name);
        let fields = wishes.set.iter().filter(|(name, value)| !own(name) && !empty(value));
        Http2 {
            grpc: wishes.grpc,
            method: wishes.method,
            body: wishes.body,
            fields: fields.map(|(name, value)| (name.to_ascii_lowercase().into(), value.clone())).collect(),
            host: wishes.set.iter().rfind(|(name, _)| is(name, "Host")).map(|(_, value)| value.clone()),
            not_copied,
        }
    }

    fn push_authority(&self, job: &Job<'_>, out: &mut Vec<u8>) {
        let at = out.len();
        if let Some(host) = &self.host {
            host.eval(job.request, out);
            clean(out, at);
        }
        if out.len() == at {
            out.extend_from_slice(&job.url.host_header);
        }
    }

    fn push_fields(&self, request: &Request, out: &mut Vec<u8>) {
        for (name, value) in &self.fields {
            let start = out.len();
            out.extend_from_slice(name);
            out.extend_from_slice(b": ");
            let at = out.len();
            value.eval(request, out);
            if out.len() == at {
                out.truncate(start);
                continue;
            }
            clean(out, at);
            out.extend_from_slice(b"\r\n");
        }
    }

    fn push_clients_fields(&self, request: &Request, keeping: bool, out: &mut Vec<u8>) {
        let headers = request.headers.borrow();
        for (name, value) in headers.iter() {
            if self.not_copied.contains(Known::of(name), name) || (keeping && Keeping::replaces(name)) {
                continue;
            }
            if has_control(value) {
                let name = String::from_utf8_lossy(name);
                log_request!(request, Level::Info, "header \"{name}\" holds a control byte and is not passed on");
                continue;
            }
            let at = out.len();
            out.extend_from_slice(name);
            out.iter_mut().skip(at).for_each(|byte| *byte = byte.to_ascii_lowercase());
            push_rest(value, out);
        }
    }
}

/// Appends what follows a name.
fn push_rest(value: &[u8], out: &mut Vec<u8>) {
    [b": ", value, b"\r\n"].into_iter().for_each(|part| out.extend_from_slice(part));
}

/// Whether the client takes trailers.
fn wants_trailers(request: &Request) -> bool {
    let headers = request.headers.borrow();
    headers.get(b"te").is_some_and(|value| value.to_ascii_lowercase().windows(8).any(|part| part == b"trailers"))
}

impl Dialect for Http2 {
    fn scheme(&self) -> &'static [u8] {
        if self.grpc { b"grpc://" } else { b"http://" }
    }

    fn secure_scheme(&self) -> &'static [u8] {
        if self.grpc { b"grpcs://" } else { b"https://" }
    }

    fn kind(&self) -> Kind {
        Kind::Frames
    }

    fn has_hints(&self) -> bool {
        true
    }

    fn default_port(&self) -> u16 {
        if self.grpc { 0 } else { 80 }
    }

    fn can_stream(&self) -> bool {
        true
    }

    fn carried(&self, request: &Request) -> Result<Carried, Outcome> {
        Ok(self.body.as_ref().map_or(Carried::Client, |body| Carried::Own(body.to_vec(request))))
    }

    fn encode(&self, job: &Job<'_>, out: &mut Vec<u8>) -> Option<Encoded> {
        let request = job.request;
        let mut encoded = Encoded::default();
        out.extend_from_slice(b":method: ");
        method::push(self.method.as_ref(), job, &mut encoded, out);
        out.extend_from_slice(if job.secure { b"\r\n:scheme: https\r\n:path: " } else { b"\r\n:scheme: http\r\n:path: " });
        encoded.uri.start = out.len();
        push_uri(request, &UriRule { uri: &job.url.uri, evaluated: job.evaluated, location: job.location }, out);
        if out.len() == encoded.uri.start {
            out.push(b'/');
        }
        encoded.uri.end = out.len();
        out.extend_from_slice(b"\r\n:authority: ");
        self.push_authority(job, out);
        out.extend_from_slice(b"\r\n");
        if let Sent::Length(length) = job.body {
            out.extend_from_slice(b"content-length: ");
            push_number(out, length);
            out.extend_from_slice(b"\r\n");
        }
        if self.grpc && !self.fields.iter().any(|(name, _)| **name == *b"te") && wants_trailers(request) {
            out.extend_from_slice(b"te: trailers\r\n");
        }
        self.push_fields(request, out);
        if job.pass_headers {
            self.push_clients_fields(request, job.keeping.is_some(), out);
        }
        for (name, value) in job.keeping.iter().flat_map(Keeping::fields) {
            if !self.not_copied.contains(Known::of(name), name) {
                out.extend_from_slice(&name.to_ascii_lowercase());
                push_rest(value, out);
            }
        }
        Some(encoded)
    }

    fn parse(&self, parser: &mut ResponseHead, input: &[u8], asked: &Question<'_>) -> Result<Head, Vec<u8>> {
        // The frames' fields have been measured already.
        let limits = Limits { size: usize::MAX, max_headers: MAX_HEADERS };
        let length = match parser.parse(input, &limits).map_err(|e| e.message(input)) {
            // Before the first byte there is nothing to say about it.
            _ if input.is_empty() => return Ok(Head::Partial),
            Err(line) => return Err(line),
            Ok(Status::Partial) => return Ok(Head::Partial),
            Ok(Status::Interim { len }) => return Ok(Head::Interim(len)),
            Ok(Status::Complete { len }) => len,
        };
        let framed = response::frame(parser, input, asked.encoded.to_head).map_err(|e| e.message(input))?;
        let left = match framed.body {
            Body::None => Some(0),
            Body::Length(n) => Some(n),
            Body::Chunked | Body::UntilClose | Body::Tunnel => None,
        };
        Ok(Head::Complete(Answer {
            length,
            status: parser.line.code,
            status_line: parser.line.text,
            body: Framing::Frames(left),
            content_length: framed.content_length,
            keep_alive: true,
            tunnel: false,
        }))
    }
}
