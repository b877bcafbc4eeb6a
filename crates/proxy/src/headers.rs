//! Response headers on their way to the client: acted on, rewritten or dropped.

use crate::dialect::UpstreamResponse;
use crate::record::Record;
use crate::rewrite;
use crate::route::Route;
use crate::settings::ignore;
use base::log::Level;
use http::line::Version;
use http::request::Jump;
use http::{Method, Outcome, Request, log_request};
use wire::h1::header::HeaderSpan;
use wire::known::Known;

/// Fields that may come once; nginx ignores a second one with a warning.
const SINGLE: [Known; 14] = [
    Known::Status,
    Known::ContentType,
    Known::Date,
    Known::Etag,
    Known::Server,
    Known::Location,
    Known::Refresh,
    Known::LastModified,
    Known::Expires,
    Known::XAccelExpires,
    Known::XAccelRedirect,
    Known::XAccelLimitRate,
    Known::XAccelBuffering,
    Known::XAccelCharset,
];

/// Fields that an internal redirect of the upstream takes along.
const REDIRECTED: [Known; 5] = [Known::ContentType, Known::SetCookie, Known::CacheControl, Known::Expires, Known::AcceptRanges];

/// Calls `f` for every field that counts, as (known, name, value).
fn for_each<'a>(request: &Request, head: &'a [u8], lines: &[HeaderSpan], mut f: impl FnMut(Known, &'a [u8], &'a [u8])) {
    let mut seen: u128 = 0;
    for line in lines {
        let (name, value) = (line.name.of(head), line.value.of(head));
        if line.known != Known::Other && SINGLE.contains(&line.known) {
            let bit = 1u128 << (line.known as u8);
            if seen & bit != 0 {
                let first = lines.iter().find(|other| other.known == line.known).unwrap_or(line);
                let text =
                    |line: &HeaderSpan| String::from_utf8_lossy(&[line.name.of(head), b": ", line.value.of(head)].concat()).into_owned();
                let (this, first) = (text(line), text(first));
                let message = format_args!("upstream sent duplicate header line: \"{this}\", previous value: \"{first}\", ignored");
                log_request!(request, Level::Warn, "{message}");
                continue;
            }
            seen |= bit;
        }
        f(line.known, name, value);
    }
}

/// What the upstream orders by `X-Accel-*`.
#[derive(Default)]
pub struct AccelHeaders {
    /// `X-Accel-Redirect`
    pub redirect: Option<Vec<u8>>,
    /// `X-Accel-Buffering`
    pub buffering: Option<bool>,
}

/// Reads the orders that the location does not ignore; a rate takes effect at once.
#[must_use]
pub fn orders(request: &Request, route: &Route, record: &Record) -> AccelHeaders {
    let mut orders = AccelHeaders::default();
    let ignored = route.plan.ignore;
    let head = record.head.borrow();
    for line in record.lines.borrow().iter() {
        let value = line.value.of(&head);
        match line.known {
            Known::XAccelRedirect if ignored & ignore::REDIRECT == 0 && orders.redirect.is_none() => {
                orders.redirect = Some(value.to_vec());
            }
            Known::XAccelBuffering if ignored & ignore::BUFFERING == 0 => {
                if value.eq_ignore_ascii_case(b"no") {
                    orders.buffering = Some(false);
                } else if value.eq_ignore_ascii_case(b"yes") {
                    orders.buffering = Some(true);
                }
            }
            Known::XAccelLimitRate if ignored & ignore::LIMIT_RATE == 0 => {
                if let Some(rate) = base::text::parse_number(value) {
                    request.limit_rate.set(Some(rate));
                }
            }
            _ => {}
        }
    }
    orders
}

/// Follows `X-Accel-Redirect`: to a named location, or as a GET to an internal URI.
pub fn redirect(request: &Request, route: &Route, record: &Record, target: &[u8]) -> Outcome {
    let head = record.head.borrow();
    for_each(request, &head, &record.lines.borrow(), |known, name, value| {
        take_charset(request, route, known, value);
        if REDIRECTED.contains(&known) || name.eq_ignore_ascii_case(b"content-disposition") {
            let mut response = request.response.borrow_mut();
            match known {
                Known::ContentType => response.take_content_type(value),
                _ => response.headers.push(name, value),
            }
        }
    });
    if let Some(name) = target.strip_prefix(b"@") {
        return request.jump(Jump::Named(name.to_vec()));
    }
    let mut decoded = Vec::new();
    let Ok(checked) = wire::uri::internal::check(target, &mut decoded) else {
        log_request!(request, Level::Error, "unsafe URI \"{}\" was detected", String::from_utf8_lossy(target));
        return Outcome::Status(404);
    };
    let uri = checked.path(target, &decoded).to_vec();
    let args = checked.args.map(|a| a.of(target).to_vec()).unwrap_or_default();
    {
        let mut line = request.line.borrow_mut();
        if line.method != Method::HEAD {
            line.method = Method::GET;
            line.method_name.clear();
            line.method_name.extend_from_slice(b"GET");
        }
    }
    request.jump(Jump::Internal { uri, args })
}

/// For `error_page` in the upstream's stead: the challenge of a 401 must stay.
pub(crate) fn keep_challenge(request: &Request, record: &Record) {
    let head = record.head.borrow();
    for line in record.lines.borrow().iter().filter(|l| l.known == Known::WwwAuthenticate) {
        request.response.borrow_mut().headers.push(line.name.of(&head), line.value.of(&head));
    }
}

/// Makes the response's head of the response's.
pub fn copy(request: &Request, route: &Route, record: &Record, answer: &UpstreamResponse) {
    let head = record.head.borrow();
    // Conditions are for whoever makes the response to evaluate: the upstream has.
    request.flags.unconditional.set(true);
    let lines = record.lines.borrow();
    {
        let mut response = request.response.borrow_mut();
        let sends = |known| lines.iter().any(|line| line.known == known);
        response.no_server |= route.plan.pass_server && !sends(Known::Server);
        response.no_date |= route.plan.pass_date && !sends(Known::Date);
        response.status = answer.status;
        response.take_status_line(answer.status_line.of(&head));
        response.content_length = answer.content_length;
        response.allow_ranges |= route.plan.force_ranges;
        response.single_range |= route.plan.force_ranges;
    }
    for_each(request, &head, &lines, |known, name, value| field(request, route, known, name, value));
}

fn take_charset(request: &Request, route: &Route, known: Known, value: &[u8]) {
    if known == Known::XAccelCharset && route.plan.ignore & ignore::CHARSET == 0 {
        value.clone_into(&mut request.response.borrow_mut().wanted_charset);
    }
}

fn field(request: &Request, route: &Route, known: Known, name: &[u8], value: &[u8]) {
    take_charset(request, route, known, value);
    match known {
        // Framing and everything else that is between two neighbours is made anew.
        Known::ContentLength | Known::TransferEncoding | Known::Connection | Known::KeepAlive | Known::ProxyConnection | Known::Te => {
            return;
        }
        // Other versions have no such field.
        Known::Upgrade if request.version() >= Version::Http2 => return,
        _ if route.plan.hidden.contains(known, name) => return,
        _ => {}
    }
    let rewritten = match known {
        Known::Location if !route.redirects.is_empty() => rewrite::location(&route.redirects, request, value),
        Known::Refresh if !route.redirects.is_empty() => rewrite::refresh(&route.redirects, request, value),
        Known::SetCookie if !route.cookies.is_empty() => route.cookies.apply(request, value),
        _ => None,
    };
    let value = rewritten.as_deref().unwrap_or(value);
    let mut response = request.response.borrow_mut();
    match known {
        Known::ContentType => response.take_content_type(value),
        Known::LastModified => {
            response.last_modified = wire::date::parse(value);
            response.headers.push(name, value);
        }
        // What `proxy_redirect` made is a place of ours.
        Known::Location => {
            response.location_is_own = rewritten.is_some();
            response.headers.push(name, value);
        }
        Known::AcceptRanges if route.plan.force_ranges => {}
        _ => response.headers.push(name, value),
    }
}
