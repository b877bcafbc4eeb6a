//! HTTP/1.0 and 1.1 to the upstream (RFC 9112).

use super::fields::{Fields, clean};
use super::request_line::{RequestLine, push_target};
use super::{Dialect, Encoded, Envelope, Framing, Head, Job, RequestBody, RequestContext, Sent, UpstreamResponse};
use crate::limits::{MAX_CHUNK_OVERHEAD, MAX_HEADERS};
use base::log::Level;
use base::text::push_number;
use http::{Complex, Outcome, Request};
use session::variable::{VarIndex, get_assigned};
use std::cell::OnceCell;
use wire::chunked::Decoder;
use wire::h1::response::{Body, Limits, ResponseHead, Status};

/// `proxy_set_header` and its companions.
pub(crate) struct Http1 {
    version_11: bool,
    keep_alive: bool,
    own: RequestLine,
    fields: Fields,
    /// `Host`, if the configuration sets it.
    host: Option<Complex>,
    /// `$proxy_host`, where the configuration mentions it and so may assign it.
    host_variable: OnceCell<Option<VarIndex>>,
}

impl Http1 {
    /// A dialect with the headers that the configuration sets, in order.
    #[must_use]
    pub(crate) fn new(version_11: bool, own: RequestLine, set: &[(Box<[u8]>, Complex)]) -> Http1 {
        let is = |name: &[u8], other: &str| name.eq_ignore_ascii_case(other.as_bytes());
        // The body's framing follows from the bytes really sent; a header that says otherwise would split requests.
        let fields = Fields::new(set, false, |name| is(name, "Content-Length") || is(name, "Transfer-Encoding") || is(name, "Host"));
        let host = set.iter().rfind(|(name, _)| is(name, "Host")).map(|(_, value)| value.clone());
        Http1 { version_11, keep_alive: version_11, own, fields, host, host_variable: OnceCell::new() }
    }

    /// Appends `Host`, without which only HTTP/1.0 can be spoken (RFC 9112 section 3.2).
    fn push_host(&self, job: &Job<'_>, out: &mut Vec<u8>) {
        let (request, start) = (job.request, out.len());
        out.extend_from_slice(b"Host: ");
        let at = out.len();
        if let Some(host) = &self.host {
            host.eval(request, out);
            clean(out, at);
        }
        if out.len() == at {
            if self.host.is_some() && !self.version_11 {
                return out.truncate(start);
            }
            let index = *self.host_variable.get_or_init(|| request.http.variables.mentioned("proxy_host"));
            if !index.is_some_and(|index| get_assigned(request, index, out)) {
                out.extend_from_slice(&job.url.host_header);
            }
        }
        out.extend_from_slice(b"\r\n");
    }
}

impl Dialect for Http1 {
    fn scheme(&self) -> &'static [u8] {
        b"http://"
    }

    fn secure_scheme(&self) -> &'static [u8] {
        b"https://"
    }

    fn has_hints(&self) -> bool {
        true
    }

    fn has_empty_fields(&self) -> bool {
        true
    }

    fn default_port(&self) -> u16 {
        80
    }

    fn can_stream(&self) -> bool {
        self.version_11
    }

    fn request_body(&self, request: &Request) -> Result<RequestBody, Outcome> {
        Ok(self.own.request_body(request))
    }

    fn encode(&self, job: &Job<'_>, out: &mut Vec<u8>) -> Option<Encoded> {
        let request = job.request;
        let (mut encoded, start) = (Encoded::default(), out.len());
        self.own.push_method(job, &mut encoded, out);
        out.push(b' ');
        push_target(job, &mut encoded, out);
        out.extend_from_slice(if self.version_11 { b" HTTP/1.1\r\n" } else { b" HTTP/1.0\r\n" });
        self.push_host(job, out);
        encoded.upgrade = self.fields.push_set(request, out);
        match job.body {
            Sent::Nothing => {}
            Sent::Length(length) => {
                out.extend_from_slice(b"Content-Length: ");
                push_number(out, length);
                out.extend_from_slice(b"\r\n");
            }
            Sent::Stream => {
                out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
                encoded.envelope = Envelope::Chunks;
            }
        }
        self.fields.push_others(job, out);
        out.extend_from_slice(b"\r\n");
        if request.log_enabled(Level::Debug) {
            let head = out.get(start..).unwrap_or_default();
            request.log(Level::Debug, &[b"http proxy header:\n\"".as_slice(), head, b"\""].concat());
        }
        Some(encoded)
    }

    fn parse(&self, parser: &mut ResponseHead, input: &[u8], context: &RequestContext<'_>) -> Result<Head, Vec<u8>> {
        let encoded = context.encoded;
        let limits = Limits { size: context.limit, max_headers: MAX_HEADERS };
        let length = match parser.parse(input, &limits).map_err(|e| e.message(input))? {
            Status::Partial => return Ok(Head::Partial),
            Status::Interim { len } => return Ok(Head::Interim(len)),
            Status::Complete { len } => len,
        };
        let framed = parser.frame(input, encoded.to_head).map_err(|e| e.message(input))?;
        let tunnel = framed.body == Body::Tunnel;
        if tunnel && !encoded.upgrade {
            return Err(b"upstream sent unexpected \"101 Switching Protocols\"".to_vec());
        }
        let body = match framed.body {
            Body::None => Framing::Empty,
            Body::Length(n) => Framing::Length(n),
            Body::Chunked => Framing::Chunked(Decoder::new(MAX_CHUNK_OVERHEAD, true)),
            Body::UntilClose | Body::Tunnel => Framing::UntilClose,
        };
        Ok(Head::Complete(UpstreamResponse {
            length,
            status: parser.line.code,
            status_line: parser.line.text,
            body,
            content_length: framed.content_length,
            keep_alive: framed.keep_alive && self.keep_alive,
            tunnel,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::Unwrapped;

    #[test]
    fn an_answer_is_judged_before_anything_is_passed_on() {
        let dialect = Http1::new(true, RequestLine::default(), &[]);
        let parse = |text: &[u8], encoded: &Encoded| {
            let context = RequestContext { encoded, written: b"", limit: 4096, unwrapped: &Unwrapped::default() };
            dialect.parse(&mut ResponseHead::new(), text, &context)
        };
        let plain = Encoded::default();
        for bad in
            ["garbage\r\n\r\n", "HTTP/1.1 101 Go\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"]
        {
            assert!(parse(bad.as_bytes(), &plain).is_err(), "{bad}");
        }
        let Ok(Head::Complete(answer)) = parse(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", &plain) else { panic!("no head") };
        assert!(answer.keep_alive && matches!(answer.body, Framing::Length(5)) && answer.length == 38);
        let encoded = Encoded { upgrade: true, ..Encoded::default() };
        assert!(matches!(parse(b"HTTP/1.1 101 Go\r\nUpgrade: x\r\n\r\n", &encoded), Ok(Head::Complete(a)) if a.tunnel));
    }
}
