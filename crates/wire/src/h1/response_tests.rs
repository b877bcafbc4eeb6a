//! Upstream heads, valid and malformed.

use super::*;

fn parse(text: &[u8]) -> (ResponseHead, Result<Status, ResponseError>) {
    let mut head = ResponseHead::new();
    let status = head.parse(text, &Limits::default());
    (head, status)
}

fn framed(text: &[u8], to_head: bool) -> Result<(Body, bool), ResponseError> {
    let (head, status) = parse(text);
    status?;
    frame(&head, text, to_head).map(|f| (f.body, f.keep_alive))
}

#[test]
fn status_lines() {
    for (line, code, text) in [
        ("HTTP/1.1 200 OK\r\n", 200, "200 OK"),
        ("HTTP/1.0 404\r\n", 404, "404"),
        ("HTTP/1.1  403.1 no\n", 403, "403.1 no"),
        ("HTTP/1.1 299 \r\n", 299, "299 "),
    ] {
        let whole = format!("{line}\r\n");
        let (head, status) = parse(whole.as_bytes());
        assert_eq!(status, Ok(Status::Complete { len: whole.len() }), "{line}");
        assert_eq!((head.line.code, head.line.text.of(whole.as_bytes())), (code, text.as_bytes()));
    }
    for line in [
        "",
        "HTTP 200",
        "HTTP/1.1 20",
        "HTTP/1.1 2000",
        "HTTP/1.1 200OK",
        "HTTP/x.1 200",
        "HTTP/1. 200",
        "HTTP/0.9 200",
        "HTTP/1.1 200 a\rb",
        "HTTP/1.1 099 a",
        "HTTP/1.1200",
        "<html>",
    ] {
        let whole = format!("{line}\r\n\r\n");
        assert_eq!(parse(whole.as_bytes()).1, Err(ResponseError::NoStatusLine), "{line}");
    }
    assert_eq!(parse(b"SSH-2.0").1, Err(ResponseError::NoStatusLine));
}

#[test]
fn interim_responses_are_events() {
    let text = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n";
    let (mut head, status) = parse(text);
    assert_eq!(status, Ok(Status::Interim { len: 25 }));
    head.reset();
    assert_eq!(head.parse(&text[25..], &Limits::default()), Ok(Status::Complete { len: 19 }));
    assert_eq!(parse(b"HTTP/1.1 101 S\r\n\r\n").1, Ok(Status::Complete { len: 18 }));
    assert_eq!(parse(b"HTTP/1.0 103 E\r\n\r\n").1, Err(ResponseError::EarlyHintsIn10));
}

#[test]
fn framing() {
    let go = |lines: &str| framed(format!("HTTP/1.1 200 OK\r\n{lines}\r\n").as_bytes(), false);
    assert_eq!(go("Content-Length: 5\r\n"), Ok((Body::Length(5), true)));
    assert_eq!(go("Transfer-Encoding: Chunked\r\n"), Ok((Body::Chunked, true)));
    assert_eq!(go("Content-Length: 5\r\nConnection: Close\r\n"), Ok((Body::Length(5), false)));
    assert_eq!(go(""), Ok((Body::UntilClose, false)));
    assert!(matches!(go("Content-Length: 5\r\nContent-Length: 5\r\n"), Err(ResponseError::Duplicate { .. })));
    assert!(matches!(go("Content-Length: +5\r\n"), Err(ResponseError::InvalidLength { .. })));
    assert!(matches!(go("Transfer-Encoding: gzip\r\n"), Err(ResponseError::UnknownEncoding { .. })));
    assert_eq!(go("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"), Err(ResponseError::LengthAndEncoding));
    assert_eq!(framed(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", true), Ok((Body::None, true)));
    assert_eq!(framed(b"HTTP/1.1 304 N\r\nContent-Length: 5\r\n\r\n", false), Ok((Body::None, true)));
    assert_eq!(framed(b"HTTP/1.1 101 S\r\n\r\n", false), Ok((Body::Tunnel, false)));
    assert_eq!(framed(b"HTTP/1.0 204 N\r\n\r\n", false), Ok((Body::None, false)));
}

#[test]
fn limits_and_messages() {
    let long = format!("HTTP/1.1 200 OK\r\nA: {}\r\n\r\n", "x".repeat(5000));
    assert_eq!(parse(long.as_bytes()).1, Err(ResponseError::TooLarge));
    let text = b"HTTP/1.1 200 OK\r\nA b: c\r\n\r\n";
    let error = parse(text).1.unwrap_err();
    assert_eq!(error.message(text), b"upstream sent invalid header: \"A\\x20...\"");
}

#[test]
fn a_head_that_comes_again_means_the_same() {
    let texts: [&[u8]; 6] = [
        b"HTTP/1.1 200 OK\r\nServer: a\r\nContent-Length: 3\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nServer: a\r\nContent-Length: 3\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nServer: b\r\nContent-Length: 3\r\n\r\nabc",
        b"HTTP/1.1 404 Not Found\r\nServer: a\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nServer: a\r\n",
        b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n",
    ];
    let limits = Limits::default();
    let mut head = ResponseHead::new();
    for first in texts {
        for second in texts {
            let _ = head.parse(first, &limits);
            head.reset();
            let again = head.parse(second, &limits);
            let mut fresh = ResponseHead::new();
            assert_eq!(again, fresh.parse(second, &limits));
            assert_eq!((head.line, &head.headers), (fresh.line, &fresh.headers));
            for to_head in [false, true, false] {
                assert_eq!(head.frame(second, to_head), frame(&fresh, second, to_head));
            }
            head.reset();
        }
    }
    let _ = head.parse(texts[0], &limits);
    head.reset();
    assert_eq!(head.parse(texts[0], &Limits { size: 20, ..limits }), Err(ResponseError::TooLarge));
    head.reset();
    assert_eq!(head.parse(texts[0], &Limits { max_headers: 1, ..limits }), Err(ResponseError::TooLarge));
}

#[test]
fn a_head_in_pieces_may_be_the_last_one_again() {
    let text = b"HTTP/1.1 200 OK\r\nServer: a\r\nX: y\r\n\r\nbody";
    let limits = Limits::default();
    let mut head = ResponseHead::new();
    assert_eq!(head.parse(text, &limits), Ok(Status::Complete { len: text.len() - 4 }));
    let expected = head.headers.clone();
    for cut in 0..text.len() {
        head.reset();
        let first = head.parse(&text[..cut], &limits);
        if cut < text.len() - 4 {
            assert_eq!(first, Ok(Status::Partial), "{cut}");
            assert_eq!(head.parse(text, &limits), Ok(Status::Complete { len: text.len() - 4 }), "{cut}");
        }
        assert_eq!(head.headers, expected, "{cut}");
    }
}

#[test]
fn a_bad_line_is_refused_by_its_beginning() {
    let rows: [(&[u8], usize); 6] = [(b"Bad Name: x", 4), (b": x", 1), (b" x", 1), (b"X\x7fy: z", 2), (b"A: b\0c", 5), (b"A: b\rc", 6)];
    for (line, first_seen) in rows {
        for cut in 0..=line.len() {
            for (start, cgi) in [(&b"HTTP/1.1 200 OK\r\nX-A: b\r\n"[..], false), (b"X-A: b\n", true), (b"", true)] {
                let text = [start, &line[..cut]].concat();
                let mut head = ResponseHead::new();
                let found = if cgi { head.parse_cgi(&text, &Limits::default(), false) } else { head.parse(&text, &Limits::default()) };
                match cut < first_seen {
                    true => assert_eq!(found, Ok(Status::Partial), "{text:?}"),
                    false => assert!(matches!(found, Err(ResponseError::InvalidHeader { .. })), "{text:?}: {found:?}"),
                }
            }
        }
    }
}
