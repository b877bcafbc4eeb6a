//! The invariants that fuzz targets and the smoke tests assert, one function per parser.
//!
//! They panic when an invariant breaks; nothing that ships calls them.

mod gateway;

pub use gateway::{cgi_head, fastcgi, redis};

use crate::chunked::{Decoder, SizeLine, Step};
use crate::dns::{self, Kind, Name};
use crate::h1::error::HeadError;
use crate::h1::framing;
use crate::h1::request::{Head, Limits, Status};
use crate::h1::response::{self, ResponseHead};
use crate::json::{Document, Rules, Token};
use crate::memcached::line::{RequestLine, push_key};
use crate::memcached::reply::{self, Reply, Value};
use crate::proxy_protocol;
use crate::range::{self, Ranges};
use crate::tls::hello::{Hello, Status as HelloStatus};
use crate::uri::escape::{Class, Unescape, escape, unescape};
use crate::uri::{args, internal, normal, shape};

fn whole(data: &[u8], limits: &Limits) -> (Head, Result<Status, HeadError>) {
    let mut head = Head::new();
    let result = head.parse(data, limits);
    (head, result)
}

/// A request head read in two pieces is the head read at once; what passes stays in bounds.
pub fn h1_head(data: &[u8]) {
    let limits = Limits { first: 64, number: 2, size: 96, max_headers: 8, ..Limits::default() };
    by_host(data, limits);
    for limits in [limits, Limits::default()] {
        let (head, result) = whole(data, &limits);
        for split in (0..=data.len()).step_by((data.len() / 48).max(1)) {
            let mut other = Head::new();
            let mut second = other.parse(&data[..split], &limits);
            if second == Ok(Status::Partial) {
                second = other.parse(data, &limits);
            }
            match (&second, &result) {
                // A line that is too long and also wrong is refused for what is seen first.
                (Err(e), Err(f)) if matches!(e.status(), 414 | 494) || matches!(f.status(), 414 | 494) => {}
                (Err(e), Err(f)) => assert_eq!(e.status(), f.status()),
                _ => assert_eq!(second, result),
            }
            if let Ok(Status::Complete { .. }) = result {
                assert_eq!(head.headers, other.headers);
                assert_eq!((head.target, head.version), (other.target, other.version));
            }
        }
        match result {
            Ok(Status::Complete { len }) => {
                assert!(len <= data.len());
                good_head(&head, data);
            }
            Ok(Status::Partial) => assert!(data.len() <= limits.total()),
            Ok(Status::Named) => assert!(limits.by_host, "the limits do not depend on the host"),
            Err(error) => assert!(!error.message(data).is_empty() && error.status() >= 400),
        }
    }
}

/// Where the host has the limits of its address, a head that stops at the host is the head read at once.
fn by_host(data: &[u8], limits: Limits) {
    let (head, result) = whole(data, &limits);
    let mut stopped = Head::new();
    let mut second = stopped.parse(data, &Limits { by_host: true, ..limits });
    if second == Ok(Status::Named) {
        assert!(stopped.asked_host().is_some() || stopped.headers.iter().any(|line| !line.valid));
        second = stopped.parse(data, &limits);
    }
    assert_eq!(second, result);
    assert_eq!(stopped.headers, head.headers);
}

fn good_head(head: &Head, data: &[u8]) {
    for header in &head.headers {
        let (name, value) = (header.name.of(data), header.value.of(data));
        assert!(!name.is_empty() && name.iter().all(|&b| b > 0x20 && b != 0x7f && b != b':'));
        assert!(!value.iter().any(|&b| matches!(b, 0 | b'\r' | b'\n')));
    }
    let target = head.target.of(data);
    assert!(target.iter().all(|&b| b > 0x20 && b != 0x7f), "{target:?}");
    uri(target);
    match framing::frame(head, data, true) {
        Ok(framed) => assert!(framed.host.of(data).iter().all(u8::is_ascii_graphic)),
        Err(error) => assert!(!error.message(data).is_empty()),
    }
}

/// A response head read in two pieces is the head read at once, and its framing never panics.
pub fn h1_response(data: &[u8]) {
    let limits = response::Limits { size: 512, max_headers: 8 };
    let mut head = ResponseHead::new();
    let result = head.parse(data, &limits);
    for split in (0..=data.len()).step_by((data.len() / 48).max(1)) {
        let mut other = ResponseHead::new();
        let mut second = other.parse(&data[..split], &limits);
        if second == Ok(response::Status::Partial) {
            second = other.parse(data, &limits);
        }
        assert_eq!(second, result);
        if result.is_ok() {
            assert_eq!((head.line, &head.headers), (other.line, &other.headers));
        }
    }
    match result {
        Ok(response::Status::Partial) => {}
        Ok(_) => {
            let framed = response::frame(&head, data, data.len().is_multiple_of(2));
            assert!(framed.is_ok() || framed.is_err_and(|e| !e.message(data).is_empty()));
        }
        Err(error) => assert!(!error.message(data).is_empty()),
    }
}

type Decoded = Result<(Vec<u8>, Vec<u8>, Option<usize>), crate::chunked::ChunkError>;

fn decode(data: &[u8], piece: usize) -> Decoded {
    let mut decoder = Decoder::new(64, true);
    let (mut out, mut at) = (Vec::new(), 0);
    for part in data.chunks(piece.max(1)) {
        let mut from = 0;
        loop {
            match decoder.decode(&part[from..])? {
                Step::Partial => break,
                Step::Data { start, end } => {
                    out.extend_from_slice(&part[from + start..from + end]);
                    from += end;
                }
                Step::Done { end } => {
                    return Ok((out, decoder.trailers().to_vec(), Some(at + from + end)));
                }
            }
        }
        at += part.len();
    }
    Ok((out, decoder.trailers().to_vec(), None))
}

/// Any cut into reads decodes alike, and what is encoded decodes to itself.
pub fn chunked(data: &[u8]) {
    let result = decode(data, data.len());
    for piece in [1, 2, 3, 7] {
        assert_eq!(decode(data, piece), result);
    }
    let mut coded = Vec::new();
    for part in data.chunks(13) {
        coded.extend_from_slice(SizeLine::new(part.len() as u64).as_bytes());
        coded.extend_from_slice(part);
        coded.extend_from_slice(crate::chunked::CHUNK_END);
    }
    coded.extend_from_slice(crate::chunked::LAST);
    assert_eq!(decode(&coded, 5), Ok((data.to_vec(), Vec::new(), Some(coded.len()))));
}

/// A normalised path starts at the root and has no dot segment; escapes round-trip.
pub fn uri(data: &[u8]) {
    let mut out = Vec::new();
    if let Ok(shape) = shape::scan(data) {
        if let Ok(parts) = normal::normalise(data, &shape, true, &mut out) {
            let path = parts.path(data, &out);
            assert_eq!(path.first(), Some(&b'/'));
            assert!(!path.contains(&0));
            assert!(!path.windows(2).any(|pair| pair == b"//"));
            assert!(!path.split(|&b| b == b'/').any(|part| part == b"." || part == b".."));
            let exten = parts.exten.of(path);
            assert!(path.ends_with(exten) && !exten.contains(&b'/'));
        }
        let _ = normal::normalise(data, &shape, false, &mut out);
    }
    if let Ok(target) = internal::check(data, &mut out) {
        let path = target.path(data, &out);
        assert!(!path.is_empty() && !path.split(|&b| b == b'/').any(|part| part == b".."));
    }
    for class in [Class::Uri, Class::Args, Class::UriComponent, Class::Html, Class::Memcached] {
        let (mut coded, mut back) = (Vec::new(), Vec::new());
        escape(data, class, &mut coded);
        unescape(&coded, Unescape::Plain, &mut back);
        assert_eq!(back, data);
    }
    for arg in args::iter(data) {
        if let Some(value) = arg.value {
            assert!(args::find(data, arg.name).is_some(), "{value:?}");
        }
    }
}

/// A key in a line is the one that was asked for, a response that is whole lies within its bytes and stays what it is
/// when more follow, and a value has the length that its head says.
pub fn memcached(data: &[u8]) {
    let mut line = b"get ".to_vec();
    if push_key(data, &mut line).is_ok() {
        line.extend_from_slice(b"\r\n");
        let asked = RequestLine::of(&line).map(|asked| asked.key.to_vec());
        assert_eq!(asked.as_deref(), line.get(4..line.len() - 2));
    }
    for line in ["get k\r\n", "set k 0 0 1\r\n", "delete k\r\n", "incr k 1\r\n", "flush_all\r\n", "version\r\n", "stats\r\n"] {
        let Some(asked) = RequestLine::of(line.as_bytes()) else { continue };
        let whole = reply::parse(&asked, data, 4096);
        for cut in 0..data.len() {
            let part = reply::parse(&asked, data.get(..cut).unwrap_or_default(), 4096);
            assert!(part == Ok(Reply::Partial) || part == whole, "{line} {cut}");
        }
        match whole {
            Ok(Reply::Lines { len, .. }) => assert!(data.get(..len).is_some_and(|lines| lines.ends_with(b"\r\n"))),
            Ok(Reply::Value { head, length, .. }) => {
                let (mut value, mut at, mut seen) = (Value::new(length), head, 0);
                while let Ok(step) = value.next(data.get(at..).unwrap_or_default()) {
                    match step {
                        Step::Data { start, end } => (at, seen) = (at + end, seen + (end - start) as u64),
                        Step::Done { .. } => assert_eq!(seen, length),
                        Step::Partial => {}
                    }
                    if !matches!(step, Step::Data { .. }) {
                        break;
                    }
                }
                assert!(seen <= length && at <= data.len());
            }
            Ok(Reply::Partial) | Err(_) => {}
        }
    }
}

/// Parts lie within the body, and together are no longer than it when there are several.
pub fn range(data: &[u8]) {
    for length in [0, 1, 1000, u64::MAX / 2] {
        for max in [None, Some(3)] {
            if let Ranges::Parts(parts) = range::parse(data, length, max) {
                assert!(!parts.is_empty() && max.is_none_or(|max| parts.len() <= max as usize));
                assert!(parts.iter().all(|&(start, end)| start < end && end <= length));
                let sum: u128 = parts.iter().map(|&(start, end)| u128::from(end - start)).sum();
                assert!(parts.len() == 1 || sum <= u128::from(length));
            }
        }
    }
    if let Some(time) = crate::date::parse(data)
        && time >= 0
    {
        assert_eq!(crate::date::parse(&crate::date::http(time)), Some(time));
    }
}

/// A cut out of a film is a film, whose bytes lie within the old one.
pub fn mp4(data: &[u8]) {
    use crate::mp4::cut::cut;
    use crate::mp4::selection::Clip;
    let (file_size, data_end) = (data.len() as u64 * 16, data.len() as u64 * 12);
    for (start, length, key_frame) in [(0, 0, false), (1500, 0, true), (1500, 1000, false), (0, 1, true), (u64::MAX / 2, 1, false)] {
        if let Ok(part) = cut(data, &Clip { start, length, key_frame, file_size, data_end }, 20) {
            assert!(part.start < part.end && part.end <= file_size);
            let header = crate::mp4::header(&part.moov, part.moov.len() as u64);
            assert!(header.is_ok_and(|header| header.is_some_and(|header| header.size == part.moov.len() as u64)));
            // No table grows by more than what the first and the last chunk need.
            assert!(part.moov.len() <= data.len() * 4 + 1024);
        }
    }
}

/// A PROXY header read in two pieces is the header read at once; what it points at lies within it.
pub fn proxy_protocol(data: &[u8]) {
    use proxy_protocol::{Status, parse};
    let result = parse(data);
    for split in 0..data.len().min(256) {
        match parse(&data[..split]) {
            Ok(Status::Partial) => {}
            // A whole header does not depend on what follows, nor does a refusal.
            other => assert_eq!(other, result),
        }
    }
    match result {
        Ok(Status::Complete { len, ends }) => {
            assert!(len <= data.len());
            let Some(ends) = ends else { return };
            assert!(ends.tlvs.end as usize <= len);
            let tlvs = ends.tlvs.of(data);
            for name in ["alpn", "ssl", "ssl_cn", "ssl_verify", "ssl_0x21", "0x3"] {
                if let Ok(Some(proxy_protocol::Tlv::Bytes(value))) = proxy_protocol::find(tlvs, name) {
                    assert!(value.len() < tlvs.len());
                }
            }
        }
        Ok(Status::Partial) => assert!(data.len() < 4096),
        Err(error) => assert!(!error.message(data).is_empty()),
    }
}

/// Containers hold as many values as they say, strings lie in the text, and a used document parses as a fresh one does.
pub fn json(data: &[u8]) {
    let mut used = Document::default();
    for (max_depth, lenient) in [(3, false), (1000, true)] {
        let rules = Rules { max_depth, odd_numbers: lenient, comments: lenient };
        let mut fresh = Document::default();
        let result = fresh.parse(data, rules);
        assert_eq!(used.parse(data, rules), result);
        let Ok(()) = result else {
            assert!(!result.is_err_and(|error| error.to_string().is_empty()));
            continue;
        };
        assert!(fresh.depth() <= max_depth);
        let mut missing = vec![1_usize];
        for token in fresh.tokens() {
            while missing.last() == Some(&0) {
                missing.pop();
            }
            assert!(!missing.is_empty(), "more values than the containers have");
            missing.last_mut().into_iter().for_each(|count| *count -= 1);
            match *token {
                Token::Array(count) => missing.push(count as usize),
                Token::Object(count) => missing.push(count as usize * 2),
                Token::Plain(_, len) | Token::Decoded(_, len) => assert_eq!(fresh.string(*token).len(), len as usize),
                _ => {}
            }
        }
        assert!(missing.iter().all(|count| *count == 0));
    }
}

/// What a response holds is bounded, and its name can be asked for again.
pub fn dns(data: &[u8]) {
    let Ok(answer) = dns::parse(data) else { return };
    assert!(answer.records.len() <= data.len());
    assert!(answer.records.iter().all(|record| record.ttl <= dns::LONGEST_TTL && record.owner.wire().len() <= 255));
    let found = answer.found();
    assert!(found.addresses.len() <= answer.records.len() && (found.addresses.is_empty() || found.alias.is_none()));
    let mut echo = dns::question(answer.id, &answer.name, answer.kind);
    if let Some(flags) = echo.get_mut(2) {
        *flags |= 0x80;
    }
    let again = dns::parse(&echo).map(|again| (again.id, again.name, again.kind));
    assert_eq!(again, Ok((answer.id, answer.name, answer.kind)));
    if let Ok((name, end)) = Name::read(data, 12) {
        assert!(end <= data.len() && name.wire().len() <= 255);
        assert_eq!(Name::read(&dns::question(1, &name, Kind::A), 12).map(|read| read.0), Ok(name));
    }
}

/// A ClientHello read in two pieces is the one read at once; every list inside of it can be walked.
pub fn client_hello(data: &[u8]) {
    let mut hello = Hello::new();
    let result = hello.parse(data);
    for split in (0..=data.len()).step_by((data.len() / 48).max(1)) {
        let mut other = Hello::new();
        let mut second = other.parse(&data[..split]);
        if second == Ok(HelloStatus::Partial) {
            second = other.parse(data);
        }
        assert_eq!(second, result);
        if result.is_ok() {
            assert_eq!((other.message(), &other.extensions), (hello.message(), &hello.extensions));
        }
    }
    if let Ok(HelloStatus::Complete { len }) = result {
        assert!(len <= data.len() && hello.message().len() < len);
        assert!(hello.server_name().is_none_or(|name| !name.is_empty() && !name.contains(&0)));
        let lists = hello.suites().count() + hello.versions().count() + hello.groups().count();
        assert!(lists + hello.alpn().count() + hello.signature_algorithms().count() <= hello.message().len());
    }
}
