//! HTTP/2 to the upstream (RFC 9113), for `proxy_pass` and `grpc_pass`. The channel makes frames of it.

use super::fields::{Fields, clean};
use super::request_line::{RequestLine, push_target};
use super::{ChannelKind, Dialect, Encoded, Framing, Head, Job, RequestBody, RequestContext, Sent, UpstreamResponse};
use crate::channel::link::is_foreign;
use crate::limits::MAX_HEADERS;
use base::text::push_number;
use http::{Complex, Outcome, Request};
use wire::h1::response::{self, Body, Limits, ResponseHead, Status};

/// `proxy_http_version 2` or `grpc_pass`.
pub(crate) struct Http2 {
    /// Trailers are asked for where the client does.
    grpc: bool,
    own: RequestLine,
    fields: Fields,
    host: Option<Complex>,
}

impl Http2 {
    /// A dialect with the headers that the configuration sets, in order.
    #[must_use]
    pub(crate) fn new(own: RequestLine, set: &[(Box<[u8]>, Complex)], grpc: bool) -> Http2 {
        let is = |name: &[u8], other: &str| name.eq_ignore_ascii_case(other.as_bytes());
        // A length must be that of the bytes really sent, and `Host` is `:authority`.
        let fields = Fields::new(set, true, |name| is(name, "Content-Length") || is(name, "Host") || is_foreign(name));
        let host = set.iter().rfind(|(name, _)| is(name, "Host")).map(|(_, value)| value.clone());
        Http2 { grpc, own, fields, host }
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

    fn kind(&self) -> ChannelKind {
        ChannelKind::Frames
    }

    fn has_health_service(&self) -> bool {
        self.grpc
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

    fn request_body(&self, request: &Request) -> Result<RequestBody, Outcome> {
        Ok(self.own.request_body(request))
    }

    fn encode(&self, job: &Job<'_>, out: &mut Vec<u8>) -> Option<Encoded> {
        let request = job.request;
        let mut encoded = Encoded::default();
        out.extend_from_slice(b":method: ");
        self.own.push_method(job, &mut encoded, out);
        out.extend_from_slice(if job.secure { b"\r\n:scheme: https\r\n:path: " } else { b"\r\n:scheme: http\r\n:path: " });
        push_target(job, &mut encoded, out);
        if self.grpc {
            // Its log lines name the server alone, as nginx's do.
            encoded.uri = 0..0;
        }
        out.extend_from_slice(b"\r\n:authority: ");
        self.push_authority(job, out);
        out.extend_from_slice(b"\r\n");
        if let Sent::Length(length) = job.body {
            out.extend_from_slice(b"content-length: ");
            push_number(out, length);
            out.extend_from_slice(b"\r\n");
        }
        if self.grpc && !self.fields.sets(b"te") && wants_trailers(request) {
            out.extend_from_slice(b"te: trailers\r\n");
        }
        self.fields.push_set(request, out);
        self.fields.push_others(job, out);
        Some(encoded)
    }

    fn parse(&self, parser: &mut ResponseHead, input: &[u8], context: &RequestContext<'_>) -> Result<Head, Vec<u8>> {
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
        let framed = response::frame(parser, input, context.encoded.to_head).map_err(|e| e.message(input))?;
        let left = match framed.body {
            Body::None => Some(0),
            Body::Length(n) => Some(n),
            Body::Chunked | Body::UntilClose | Body::Tunnel => None,
        };
        Ok(Head::Complete(UpstreamResponse {
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
