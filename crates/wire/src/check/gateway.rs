//! Invariants of FastCGI, uwsgi, SCGI and Redis.

use crate::cgi::{self, Name, Pairs};
use crate::chunked::Step;
use crate::fastcgi::record::{Piece, Records, Stream};
use crate::fastcgi::request;
use crate::fastcgi::response::Body;
use crate::h1::response::{Limits, ResponseError, ResponseHead, Status};
use crate::redis::Replies;
use crate::{scgi, uwsgi};

/// What the records of `reads` say: the response, the messages, how it ended.
fn streams<'a>(reads: impl Iterator<Item = &'a [u8]>) -> (Vec<u8>, Vec<u8>, Option<String>) {
    let (mut records, mut out, mut errors) = (Records::default(), Vec::new(), Vec::new());
    for read in reads {
        let mut at = 0;
        loop {
            match records.next(&read[at..]) {
                Ok(Piece::Partial) => break,
                Ok(Piece::Data { stream, start, end }) => {
                    assert!(start < end);
                    let to = if stream == Stream::Out { &mut out } else { &mut errors };
                    to.extend_from_slice(&read[at + start..at + end]);
                    at += end;
                }
                Ok(Piece::OutEnd { end } | Piece::Finished { end }) => at += end,
                Err(error) => return (out, errors, Some(error.to_string())),
            }
        }
    }
    (out, errors, None)
}

/// Records say the same however they are read, and a body never gives more than its length.
pub fn fastcgi(data: &[u8]) {
    let whole = streams(std::iter::once(data));
    for size in 1..=data.len().min(40) {
        assert_eq!(streams(data.chunks(size)), whole);
    }
    let bare = data.first().map_or(0, |byte| usize::from(*byte % 16));
    for length in [None, Some(3), Some(0)] {
        let mut body = Body::new(Records::default(), bare, length);
        let (mut at, mut given) = (0, 0);
        while let Ok(step) = body.next(&data[at..]) {
            let remark = body.take_log();
            match step {
                Step::Data { start, end } => {
                    assert!(start < end || remark.is_some());
                    given += (end - start) as u64;
                    at += end;
                }
                Step::Done { end } => {
                    assert_eq!(at + end, data.len());
                    break;
                }
                Step::Partial => break,
            }
        }
        assert!(length.is_none_or(|length| given <= length));
    }
    pairs(data);
}

/// What is written can be read again.
fn pairs(data: &[u8]) {
    let (name, value) = data.split_at(data.len() / 3);
    let mut out = Vec::new();
    let start = uwsgi::open(&mut out);
    uwsgi::Uwsgi::push(&mut out, Name::Given(name), |out| out.extend_from_slice(value));
    assert_eq!(uwsgi::close(&mut out, start, [0, 0]).is_ok(), data.len() + 4 <= uwsgi::MAX);
    out.clear();
    let start = scgi::open(&mut out);
    scgi::Scgi::push(&mut out, Name::Header(name), |out| out.extend_from_slice(value));
    scgi::close(&mut out, start);
    let colon = memchr::memchr(b':', &out).unwrap_or(0);
    let length: usize = String::from_utf8_lossy(&out[..colon]).parse().unwrap_or(0);
    assert_eq!((colon + length + 2, out.last()), (out.len(), Some(&b',')));
    assert_eq!(out.iter().filter(|byte| **byte == 0).count(), 2 + name.iter().filter(|byte| **byte == 0).count());
    out.clear();
    let start = request::open(&mut out, true);
    request::FastCgi::push(&mut out, Name::Given(name), |out| out.extend_from_slice(value));
    request::close(&mut out, start);
    assert_eq!(out.len() % 8, 0);
}

/// A CGI head read in two pieces is the head read at once, and its status is one that can be passed on.
pub fn cgi_head(data: &[u8]) {
    let limits = Limits { size: 96, max_headers: 8 };
    for status_line in [false, true] {
        let mut head = ResponseHead::new();
        let whole = head.parse_cgi(data, &limits, status_line);
        for split in 0..=data.len() {
            let mut other = ResponseHead::new();
            let mut second = other.parse_cgi(&data[..split], &limits, status_line);
            if second == Ok(Status::Partial) {
                second = other.parse_cgi(data, &limits, status_line);
            }
            match (&second, &whole) {
                (Err(ResponseError::TooLarge), Err(_)) | (Err(_), Err(ResponseError::TooLarge)) => {}
                _ => assert_eq!(second, whole),
            }
        }
        if let Ok(Status::Complete { len }) = whole {
            assert!(len <= data.len());
            match cgi::finish(&mut head, data, false) {
                Ok(_) => assert!(head.line.code == 101 || head.line.code >= 200),
                Err(error) => assert!(!error.message(data).is_empty()),
            }
        }
    }
}

fn replies<'a>(count: u64, reads: impl Iterator<Item = &'a [u8]>) -> Option<usize> {
    let (mut replies, mut all) = (Replies::new(count), 0);
    for read in reads {
        let mut at = 0;
        loop {
            match replies.next(&read[at..]).ok()? {
                Step::Partial => break,
                Step::Data { end, .. } => (at, all) = (at + end, all + end),
                Step::Done { .. } => return Some(all),
            }
        }
    }
    Some(all)
}

/// Replies end at the same byte however they are read.
pub fn redis(data: &[u8]) {
    for count in [1, 3] {
        let whole = replies(count, std::iter::once(data));
        for size in 1..=data.len() {
            assert_eq!(replies(count, data.chunks(size)), whole);
        }
    }
}
