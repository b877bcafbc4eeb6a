//! `slice`: a response fetched in pieces of one size, each by a subrequest, so that each can be cached separately.

use crate::collector::Included;
use crate::marks;
use crate::range::{self, Partial};
use base::log::Level;
use conf::context::{Arity, Context};
use conf::row::Row;
use conf::scope::Config;
use http::location::Filtered;
use http::next_filters::NextFilters;
use http::variables::define;
use http::{Attach, Chain, Levels, Module, Outcome, Request, Step, Variables, log_request};
use session::variable::NO_CACHE;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::ops::Range;
use std::rc::Rc;

/// The module. Its filters come before all others, which see one whole response.
pub const MODULE: Module = Module { rows, levels: Levels::location_only::<Conf>, variables, attach, ..Module::named("slice") };

#[derive(Default)]
struct Conf {
    size: Option<u64>,
}

impl Config for Conf {
    fn inherit(&mut self, parent: &Self) {
        conf::inherit!(self, parent; size);
    }
}

/// A response in slices.
#[derive(Default)]
struct Slices {
    /// Where the next slice begins.
    start: Cell<u64>,
    /// The first slice's tag: the others must have the same.
    etag: RefCell<Vec<u8>>,
    /// Bytes of the whole.
    total: Cell<u64>,
    /// A slice's head was received and is valid.
    active: Cell<bool>,
}

fn rows() -> Vec<Row> {
    vec![Row::new("slice", Context::HTTP_ALL, Arity::exactly(1), "Bytes of a slice.", |cx| {
        let size = cx.size(0)?;
        cx.once(&mut cx.location::<Conf>().size, size)
    })]
}

fn attach(at: &mut Attach<'_>) -> Result<(), conf::tree::Error> {
    if let Some(size @ 1..) = at.conf::<Conf>().size {
        at.header_filter(move |request| header_filter(request, size));
        at.body_filter_on_demand(marks::SLICE, move |request, chain| body_filter(request, chain, size));
    }
    Ok(())
}

fn variables(variables: &mut Variables) {
    define(variables, "slice_range", NO_CACHE, |request, out| {
        let size = request.conf::<Conf>().size.unwrap_or(0);
        let slices = match request.find_context::<Slices>() {
            Some(slices) => slices,
            None if size == 0 || !request.is_main() || request.flags.header_sent.get() => return false,
            None => {
                let slices = Rc::new(Slices::default());
                slices.start.set(first(request) / size * size);
                request.set_context(slices.clone());
                slices
            }
        };
        let start = slices.start.get();
        out.extend_from_slice(format!("bytes={start}-{}", start.saturating_add(size).saturating_sub(1)).as_bytes());
        true
    });
}

/// The first byte that the client asks for, where that is known before the response's length and tag are.
fn first(request: &Request) -> u64 {
    let headers = request.headers.borrow();
    let Some(range) = headers.get(b"Range").filter(|range| !headers.contains(b"If-Range") && !range.contains(&b',')) else { return 0 };
    let Some((_, rest)) = range.split_at_checked(6).filter(|(unit, _)| unit.eq_ignore_ascii_case(b"bytes=")) else { return 0 };
    let rest = rest.trim_ascii_start();
    let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
    rest.get(..digits).and_then(base::text::parse_number).unwrap_or(0)
}

fn header_filter(request: &Rc<Request>, size: u64) -> Step {
    let Some(slices) = request.find_context::<Slices>() else { return Step::Now(Outcome::Ok) };
    let status = request.response.borrow().status;
    if status != 206 {
        if request.is_main() {
            request.remove_context::<Slices>();
            return Step::Now(Outcome::Ok);
        }
        log_request!(request, Level::Error, "unexpected status code {status} in slice response");
        return Step::Now(Outcome::Error);
    }
    let (bytes, total) = match check(request, &slices, size) {
        Ok(found) => found,
        Err(error) => {
            request.log(Level::Error, error.to_string().as_bytes());
            return Step::Now(Outcome::Error);
        }
    };
    slices.start.set(bytes.end);
    slices.total.set(total);
    slices.active.set(true);
    if request.is_main() {
        let mut response = request.response.borrow_mut();
        response.set_status(200);
        response.content_length = Some(total);
        response.headers.remove(b"Content-Range");
        response.headers.remove(b"Accept-Ranges");
        response.allow_ranges = true;
        drop(response);
        request.set_context(Rc::new(Partial::new(bytes.start)));
        request.demand_body_filter(marks::SLICE);
    }
    Step::Now(Outcome::Ok)
}

/// Why a response is not the slice that was asked for.
#[derive(Debug)]
enum SliceError {
    EtagMismatch,
    InvalidRange,
    NoTotal,
    OtherRange { found: Range<u64>, wanted: Range<u64> },
}

impl fmt::Display for SliceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SliceError::EtagMismatch => f.write_str("etag mismatch in slice response"),
            SliceError::InvalidRange => f.write_str("invalid range in slice response"),
            SliceError::NoTotal => f.write_str("no complete length in slice response"),
            SliceError::OtherRange { found, wanted } => {
                let (found, end, wanted, until) = (found.start, found.end, wanted.start, wanted.end);
                write!(f, "unexpected range in slice response: {found}-{end}, expected: {wanted}-{until}")
            }
        }
    }
}

impl std::error::Error for SliceError {}

/// The bytes and the total of a slice's answer.
fn check(request: &Request, slices: &Slices, size: u64) -> Result<(Range<u64>, u64), SliceError> {
    let response = request.response.borrow();
    let etag = response.headers.get(b"ETag");
    let mut first = slices.etag.borrow_mut();
    if !first.is_empty() && etag != Some(&**first) {
        return Err(SliceError::EtagMismatch);
    }
    first.clear();
    first.extend_from_slice(etag.unwrap_or_default());
    let range = response.headers.get(b"Content-Range").and_then(content_range);
    let ContentRange { bytes: found, total } = range.ok_or(SliceError::InvalidRange)?;
    let total = total.ok_or(SliceError::NoTotal)?;
    let first_byte = slices.start.get();
    let wanted = first_byte..first_byte.saturating_add(size).min(total);
    if found == wanted { Ok((found, total)) } else { Err(SliceError::OtherRange { found, wanted }) }
}

/// The value of a `Content-Range` field (RFC 9110, 14.4).
#[derive(Debug, PartialEq, Eq)]
struct ContentRange {
    bytes: Range<u64>,
    /// The size of the whole; `None` for `*`.
    total: Option<u64>,
}

/// Parses `bytes 0-9/100` or `bytes 0-9/*`.
fn content_range(text: &[u8]) -> Option<ContentRange> {
    let rest = text.strip_prefix(b"bytes ")?;
    let number = |text: &[u8]| base::text::parse_number(text.trim_ascii());
    let slash = memchr::memchr(b'/', rest)?;
    let (range, total) = (rest.get(..slash)?, rest.get(slash + 1..)?.trim_ascii());
    let dash = memchr::memchr(b'-', range)?;
    let total = if total == b"*" { None } else { Some(number(total)?) };
    Some(ContentRange { bytes: number(range.get(..dash)?)?..number(range.get(dash + 1..)?)?.checked_add(1)?, total })
}

fn body_filter(request: &Rc<Request>, chain: Chain, size: u64) -> Filtered {
    let slices = match request.find_context::<Slices>() {
        Some(slices) if chain.last && request.is_main() && !request.flags.header_only.get() => slices,
        _ => return Filtered::Now(Ok(chain)),
    };
    let request = request.clone();
    Filtered::Parts(Box::new(move |below| {
        Box::pin(async move {
            let Chain { pieces, .. } = chain;
            below.send(Chain { pieces, ..Chain::default() }).await?;
            fetch_rest(&request, &slices, size, &below).await?;
            request.remove_context::<Slices>();
            Ok(Chain::end())
        })
    }))
}

/// Fetches the slices behind the first one, as far as they are wanted.
async fn fetch_rest(request: &Rc<Request>, slices: &Rc<Slices>, size: u64, below: &NextFilters) -> Result<(), Outcome> {
    let mut end = slices.total.get();
    if let Some((from, to)) = request.find_context::<Partial>().and_then(|partial| partial.bounds.get()) {
        if slices.start.get().saturating_add(size) <= from {
            slices.start.set(from / size * size);
        }
        end = to;
    }
    while slices.start.get() < end {
        let start = slices.start.get();
        range::move_to(request, start);
        slices.active.set(false);
        let mut included = Included::rerun(request, |child| child.set_context(slices.clone())).ok_or(Outcome::Error)?;
        let mut length = 0;
        while let Some(pieces) = included.next().await {
            length += pieces.iter().map(http::Piece::len).sum::<u64>();
            below.send(Chain { pieces, ..Chain::default() }).await?;
        }
        if !slices.active.get() || length != slices.start.get().saturating_sub(start) {
            request.log(Level::Error, b"missing slice response");
            return Err(Outcome::Error);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_ranges() {
        assert_eq!(content_range(b"bytes 0-9/100"), Some(ContentRange { bytes: 0..10, total: Some(100) }));
        assert_eq!(content_range(b"bytes 5 - 5 / *"), Some(ContentRange { bytes: 5..6, total: None }));
        for wrong in ["", "bytes", "bytes 1/2", "bytes -1/2", "bytes 1-x/2", "items 1-2/3", "bytes 1-2/", "bytes 1-18446744073709551615/2"]
        {
            assert_eq!(content_range(wrong.as_bytes()), None, "{wrong}");
        }
    }
}
