//! What FastCGI, uwsgi and SCGI share: the parameters of a request, and the head of a response.

use super::fields::has_control;
use super::{CacheRequest, Encoded, Framing, Head, Job, RequestContext, UpstreamResponse};
use crate::limits::MAX_HEADERS;
use crate::retry;
use base::log::Level;
use http::{Complex, Method, Request, log_request};
use wire::cgi::{self, Name, Pairs};
use wire::h1::response::{Body, Limits, ResponseHead, Status};
use wire::known::Known;

/// `*_param`
#[derive(Clone, Debug)]
pub struct Param {
    /// Its name.
    pub name: Box<[u8]>,
    /// Its value.
    pub value: Complex,
    /// It is left out where the value is empty.
    pub if_not_empty: bool,
}

/// The parameters of a location, and which headers of the client they replace.
pub struct Params {
    list: Vec<Param>,
    /// Names of parameters behind `HTTP_`.
    replaced: Vec<Box<[u8]>>,
}

impl Params {
    /// The parameters `list` and, if none of them is `HTTP_HOST`, the host that the request is for.
    #[must_use]
    pub fn new(list: &[Param], host: Option<&Complex>) -> Params {
        let mut list = list.to_vec();
        if let Some(host) = host
            && !list.iter().any(|param| param.name.eq_ignore_ascii_case(b"HTTP_HOST"))
        {
            list.push(Param { name: Box::from(&b"HTTP_HOST"[..]), value: host.clone(), if_not_empty: true });
        }
        let behind = |param: &Param| param.name.strip_prefix(cgi::PREFIX).filter(|rest| !rest.is_empty()).map(Box::from);
        let replaced = list.iter().filter_map(behind).collect();
        // An empty value means only that the header stays behind.
        list.retain(|param| behind(param).is_none() || !param.value.source().is_empty());
        Params { list, replaced }
    }

    /// Appends the parameters of a request and its headers, where they are passed on.
    pub fn push<P: Pairs>(&self, job: &Job<'_>, out: &mut Vec<u8>) {
        let request = job.request;
        for param in &self.list {
            let start = out.len();
            let mut empty = false;
            P::push(out, Name::Given(&param.name), |out| {
                let from = out.len();
                param.value.eval(request, out);
                empty = out.len() == from;
            });
            if empty && param.if_not_empty {
                out.truncate(start);
            }
        }
        for (name, value) in job.keeping.iter().flat_map(CacheRequest::fields) {
            if !self.replaces(name) {
                P::push(out, Name::Header(name), |out| out.extend_from_slice(value));
            }
        }
        if job.pass_headers {
            self.push_headers::<P>(request, job.keeping.is_some(), out);
        }
    }

    fn replaces(&self, name: &[u8]) -> bool {
        self.replaced.iter().any(|rest| cgi::names(name, rest))
    }

    /// Headers of one name are one parameter, with a comma between its values.
    fn push_headers<P: Pairs>(&self, request: &Request, keeping: bool, out: &mut Vec<u8>) {
        let headers = request.headers.borrow();
        for (i, (name, value)) in headers.iter().enumerate() {
            if self.replaces(name) || (keeping && CacheRequest::replaces(name)) {
                continue;
            }
            if headers.iter().take(i).any(|(earlier, _)| earlier.eq_ignore_ascii_case(name)) {
                continue;
            }
            let separator: &[u8] = if Known::of(name) == Known::Cookie { b"; " } else { b", " };
            P::push(out, Name::Header(name), |out| {
                push_value(request, name, value, out);
                for (_, value) in headers.iter().skip(i + 1).filter(|(other, _)| other.eq_ignore_ascii_case(name)) {
                    out.extend_from_slice(separator);
                    push_value(request, name, value, out);
                }
            });
        }
    }
}

fn push_value(request: &Request, name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    if has_control(value) {
        let name = String::from_utf8_lossy(name);
        log_request!(request, Level::Info, "header \"{name}\" holds a control byte and is not passed on");
    } else {
        out.extend_from_slice(value);
    }
}

/// What the exchange learns of any of these requests.
#[must_use]
pub(crate) fn encoded(request: &Request) -> Encoded {
    Encoded {
        to_head: request.method() == Method::HEAD,
        once: retry::is_non_idempotent(request.method()),
        upgrade: request.headers.borrow().contains(b"upgrade"),
        ..Encoded::default()
    }
}

/// Reads a response's head, with a status line if the protocol may have one. `body` makes the body's framing of what was found.
///
/// # Errors
/// The line for the error log.
pub(crate) fn head(
    parser: &mut ResponseHead,
    input: &[u8],
    context: &RequestContext<'_>,
    status_line: bool,
    body: impl FnOnce(usize, Option<u64>) -> Framing,
) -> Result<Head, Vec<u8>> {
    let limits = Limits { size: context.limit, max_headers: MAX_HEADERS };
    let length = match parser.parse_cgi(input, &limits, status_line).map_err(|e| e.message(input))? {
        Status::Partial => return Ok(Head::Partial),
        Status::Interim { len } => return Ok(Head::Interim(len)),
        Status::Complete { len } => len,
    };
    let framed = cgi::finish(parser, input, context.encoded.to_head).map_err(|e| e.message(input))?;
    let tunnel = framed.body == Body::Tunnel;
    if tunnel && !(status_line && context.encoded.upgrade) {
        return Err(b"upstream sent unexpected \"101 Switching Protocols\"".to_vec());
    }
    let announced = match framed.body {
        Body::None => Some(0),
        Body::Length(length) => Some(length),
        Body::Chunked | Body::UntilClose | Body::Tunnel => None,
    };
    Ok(Head::Complete(UpstreamResponse {
        length,
        status: parser.line.code,
        status_line: parser.line.text,
        body: body(length, announced),
        content_length: framed.content_length,
        keep_alive: false,
        tunnel,
    }))
}

/// The body of protocols that close after it.
#[must_use]
pub(crate) fn until_close(_: usize, announced: Option<u64>) -> Framing {
    match announced {
        Some(0) => Framing::Empty,
        Some(length) => Framing::Length(length),
        None => Framing::UntilClose,
    }
}
