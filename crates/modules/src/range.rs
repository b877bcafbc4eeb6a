//! Byte ranges of a response (RFC 9110 section 14; `max_ranges`): one part, several parts, 416.

use crate::marks;
use base::saturated::Saturated;
use base::text::push_number;
use http::line::Version;
use http::location::Filtered;
use http::{Attach, Chain, FilePiece, Module, Outcome, Piece, Request, Step};
use std::cell::Cell;
use std::cell::RefCell;
use std::rc::Rc;
use wire::date;
use wire::range::{self, Ranges};

/// The module. Its header filter comes after all that change the body's length or validators; its body filter after
/// all that change bytes.
pub const MODULE: Module = Module { attach, ..Module::named("range") };

fn attach(at: &mut Attach<'_>) -> Result<(), conf::tree::Error> {
    at.header_filter(header_filter);
    at.body_filter_on_demand(marks::RANGE, body_filter);
    Ok(())
}

/// What to cut out of a body that passes.
#[derive(Default)]
struct RangeFilter {
    /// Half-open ranges in the order of sending.
    ranges: RefCell<Vec<(u64, u64)>>,
    /// Text before each part, and behind the last; empty for a single part.
    heads: RefCell<Vec<Vec<u8>>>,
    /// Body bytes seen so far.
    offset: Cell<u64>,
    /// Pieces kept back: several ranges need the body whole.
    pieces: RefCell<Vec<Piece>>,
    done: Cell<bool>,
}

/// A body that does not begin at its first byte, although its head is that of the whole (`slice`).
pub(crate) struct Partial {
    start: u64,
    /// The range that is cut out of it.
    pub(crate) bounds: Cell<Option<(u64, u64)>>,
}

impl Partial {
    /// One that begins at `start`.
    pub(crate) fn new(start: u64) -> Partial {
        Partial { start, bounds: Cell::new(None) }
    }
}

/// What comes next of a body stands at `offset`.
pub(crate) fn move_to(request: &Request, offset: u64) {
    if let Some(cut) = request.find_context::<RangeFilter>() {
        cut.offset.set(offset);
    }
}

fn header_filter(request: &Rc<Request>) -> Step {
    let partial = request.find_context::<Partial>();
    let max = request.with_location(|l| l.core.max_ranges).map(|max| if partial.is_some() { max.min(1) } else { max });
    let mut max = max.or_else(|| partial.as_ref().map(|_| 1));
    let total = {
        let response = request.response.borrow();
        if response.single_range {
            max = Some(max.unwrap_or(1).min(1));
        }
        match response.content_length {
            Some(total) if request.version() >= Version::Http10 && response.status == 200 && response.allow_ranges => total,
            _ => return Step::Now(Outcome::Ok),
        }
    };
    if !request.is_main() || max == Some(0) {
        return Step::Now(Outcome::Ok);
    }
    let max = max.map(|m| u32::try_from(m).unwrap_or(u32::MAX));
    match requested_ranges(request, total, max) {
        Ranges::Whole => {
            request.response.borrow_mut().headers.set(b"Accept-Ranges", b"bytes");
            Step::Now(Outcome::Ok)
        }
        Ranges::NotSatisfiable => {
            let mut response = request.response.borrow_mut();
            response.set_status(416);
            response.headers.set(b"Content-Range", format!("bytes */{total}").as_bytes());
            response.content_length = None;
            Step::Now(Outcome::Status(416))
        }
        Ranges::Parts(parts) => {
            request.response.borrow_mut().set_status(206);
            if let Some(partial) = &partial {
                partial.bounds.set(parts.first().copied());
            }
            let cut = if parts.len() == 1 { single(request, parts, total) } else { multipart(request, parts, total) };
            cut.offset.set(partial.map_or(0, |partial| partial.start));
            request.set_context(Rc::new(cut));
            request.demand_body_filter(marks::RANGE);
            Step::Now(Outcome::Ok)
        }
    }
}

fn requested_ranges(request: &Request, total: u64, max: Option<u32>) -> Ranges {
    let headers = request.headers.borrow();
    let Some(value) = headers.get(b"Range") else { return Ranges::Whole };
    if let Some(condition) = headers.get(b"If-Range")
        && !same_version(request, condition)
    {
        return Ranges::Whole;
    }
    range::parse(value, total, max)
}

/// Whether `If-Range` names the version that is being sent.
fn same_version(request: &Request, condition: &[u8]) -> bool {
    let response = request.response.borrow();
    if condition.len() >= 2 && condition.ends_with(b"\"") {
        return response.headers.get(b"ETag") == Some(condition);
    }
    response.last_modified.is_some_and(|m| date::parse(condition) == Some(m))
}

fn single(request: &Request, parts: Vec<(u64, u64)>, total: u64) -> RangeFilter {
    let (start, end) = parts.first().copied().unwrap_or_default();
    let mut response = request.response.borrow_mut();
    let mut value = Vec::with_capacity(64);
    value.extend_from_slice(b"bytes ");
    push_range((start, end), total, &mut value);
    response.headers.set(b"Content-Range", &value);
    response.content_length = Some(end - start);
    RangeFilter { ranges: RefCell::new(parts), ..RangeFilter::default() }
}

/// `FIRST-LAST/TOTAL`.
fn push_range((start, end): (u64, u64), total: u64, out: &mut Vec<u8>) {
    push_number(out, start);
    out.push(b'-');
    push_number(out, end.saturating_sub(1));
    out.push(b'/');
    push_number(out, total);
}

fn multipart(request: &Request, parts: Vec<(u64, u64)>, total: u64) -> RangeFilter {
    thread_local!(static NEXT: Cell<u64> = const { Cell::new(0) });
    let number = NEXT.get().wrapping_add(1);
    NEXT.set(number);
    let boundary = format!("{:020}", (base::clock::now().epoch_ms() << 20) ^ number);
    let mut response = request.response.borrow_mut();
    let mut head = format!("\r\n--{boundary}\r\n").into_bytes();
    if !response.content_type.is_empty() {
        head.extend_from_slice(b"Content-Type: ");
        response.push_content_type(&mut head);
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"Content-Range: bytes ");
    let mut heads = Vec::with_capacity(parts.len() + 1);
    let mut length = 0u64;
    for (start, end) in &parts {
        let mut text = Vec::with_capacity(head.len() + 64);
        text.extend_from_slice(&head);
        push_range((*start, *end), total, &mut text);
        text.extend_from_slice(b"\r\n\r\n");
        length += text.len() as u64 + (end - start);
        heads.push(text);
    }
    let tail = format!("\r\n--{boundary}--\r\n").into_bytes();
    length += tail.len() as u64;
    heads.push(tail);
    response.set_content_type(format!("multipart/byteranges; boundary={boundary}").as_bytes());
    response.set_charset(b"");
    response.headers.remove(b"Content-Range");
    response.content_length = Some(length);
    RangeFilter { ranges: RefCell::new(parts), heads: RefCell::new(heads), ..RangeFilter::default() }
}

fn body_filter(request: &Rc<Request>, chain: Chain) -> Filtered {
    let Some(cut) = request.find_context::<RangeFilter>() else { return Filtered::Now(Ok(chain)) };
    let Chain { pieces, flush, last } = chain;
    let out = if cut.heads.borrow().is_empty() { one_part(&cut, pieces) } else { all_parts(&cut, pieces, last) };
    Filtered::Now(Ok(Chain { pieces: out, flush, last }))
}

fn one_part(cut: &RangeFilter, pieces: Vec<Piece>) -> Vec<Piece> {
    let (start, end) = cut.ranges.borrow().first().copied().unwrap_or_default();
    let mut out = Vec::with_capacity(pieces.len());
    for piece in pieces {
        let from = cut.offset.get();
        let to = from + piece.len();
        cut.offset.set(to);
        push_overlap(&piece, from, to, (start, end), &mut out);
    }
    out
}

fn all_parts(cut: &RangeFilter, pieces: Vec<Piece>, last: bool) -> Vec<Piece> {
    let mut gathered = cut.pieces.borrow_mut();
    gathered.extend(pieces);
    if !last || cut.done.replace(true) {
        return Vec::new();
    }
    let mut out = Vec::new();
    let mut heads = cut.heads.borrow_mut().drain(..).collect::<Vec<_>>().into_iter();
    for range in cut.ranges.borrow().iter() {
        out.extend(heads.next().map(|h| Piece::Bytes(h.into())));
        let mut from = 0;
        for piece in gathered.iter() {
            let to = from + piece.len();
            push_overlap(piece, from, to, *range, &mut out);
            from = to;
        }
    }
    out.extend(heads.next().map(|h| Piece::Bytes(h.into())));
    gathered.clear();
    out
}

/// Appends the part of a piece, which stands at `from..to` of the body, that lies in `range`.
fn push_overlap(piece: &Piece, from: u64, to: u64, range: (u64, u64), out: &mut Vec<Piece>) {
    let (start, end) = (range.0.max(from), range.1.min(to));
    if start >= end {
        return;
    }
    out.push(match piece {
        Piece::Bytes(bytes) => Piece::Bytes(bytes.slice(usize::saturated(start - from)..usize::saturated(end - from))),
        Piece::File(f) => Piece::File(FilePiece { file: f.file.clone(), start: f.start + (start - from), end: f.start + (end - from) }),
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(pieces: &[Piece]) -> Vec<u8> {
        let bytes = pieces.iter().map(|p| match p {
            Piece::Bytes(b) => b.to_vec(),
            Piece::File(_) => Vec::new(),
        });
        bytes.flatten().collect()
    }

    #[test]
    fn one_part_of_a_body_in_pieces() {
        let cut = RangeFilter { ranges: RefCell::new(vec![(2, 7)]), ..RangeFilter::default() };
        let mut out = one_part(&cut, vec![Piece::Bytes("abc".into()), Piece::Bytes("def".into())]);
        out.extend(one_part(&cut, vec![Piece::Bytes("ghi".into())]));
        assert_eq!(text(&out), b"cdefg");
    }

    #[test]
    fn several_parts_in_the_order_asked() {
        let heads = vec![b"[".to_vec(), b"|".to_vec(), b"]".to_vec()];
        let cut = RangeFilter { ranges: RefCell::new(vec![(4, 6), (0, 2)]), heads: RefCell::new(heads), ..RangeFilter::default() };
        assert!(all_parts(&cut, vec![Piece::Bytes("abc".into())], false).is_empty());
        let out = all_parts(&cut, vec![Piece::Bytes("def".into())], true);
        assert_eq!(text(&out), b"[ef|ab]");
        assert!(all_parts(&cut, Vec::new(), true).is_empty());
    }
}
