//! What FastCGI, uwsgi and SCGI share: parameters with the client's headers among them, and the head of a response (RFC 3875).

use crate::h1::response::{Framed, ResponseError, ResponseHead};
use crate::known::Known;
use crate::span::Span;

/// The name of a CGI parameter: fixed, or made of a header field's (RFC 3875, 4.1.18).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name<'a> {
    /// As the configuration gives it.
    Given(&'a [u8]),
    /// Of a header: `X-Real-IP` is `HTTP_X_REAL_IP`.
    Header(&'a [u8]),
}

impl Name<'_> {
    /// Length in bytes.
    #[must_use]
    pub fn len(self) -> usize {
        match self {
            Name::Given(name) => name.len(),
            Name::Header(name) => PREFIX.len() + name.len(),
        }
    }

    /// Whether it holds no byte.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Appends it.
    pub fn push(self, out: &mut Vec<u8>) {
        match self {
            Name::Given(name) => out.extend_from_slice(name),
            Name::Header(name) => {
                out.extend_from_slice(PREFIX);
                out.extend(name.iter().map(|byte| if *byte == b'-' { b'_' } else { byte.to_ascii_uppercase() }));
            }
        }
    }
}

/// What the names of parameters made of headers begin with.
pub const PREFIX: &[u8] = b"HTTP_";

/// Whether a header is the one that the parameter `HTTP_{rest}` stands for.
#[must_use]
pub fn names(header: &[u8], rest: &[u8]) -> bool {
    let same = |h: u8, p: u8| h.eq_ignore_ascii_case(&p) || (h == b'-' && p == b'_');
    header.len() == rest.len() && header.iter().zip(rest).all(|(h, p)| same(*h, *p))
}

/// How a protocol writes a parameter.
pub trait Pairs {
    /// Appends a parameter whose value `value` appends.
    fn push(out: &mut Vec<u8>, name: Name<'_>, value: impl FnOnce(&mut Vec<u8>));
}

/// Finds the status of a head that [`ResponseHead::parse_cgi`] has read, and evaluates its framing: the status line, the field
/// `Status`, 302 where there is a `Location`, or 200.
///
/// # Errors
/// A status that is none, and what [`ResponseHead::frame`] refuses.
pub fn finish(head: &mut ResponseHead, buf: &[u8], to_head: bool) -> Result<Framed, ResponseError> {
    if head.line.code == 0 {
        let status = head.header(Known::Status).map(|field| field.value);
        let (code, text) = match status {
            Some(value) => {
                let text = value.of(buf);
                let code = text.get(..3).and_then(digits).ok_or(ResponseError::InvalidStatus { value })?;
                // Code and reason go to the client as they are; the reason of a bare code is ours.
                (code, if text.len() > 3 { value } else { Span::default() })
            }
            None if head.header(Known::Location).is_some() => (302, Span::default()),
            None => (200, Span::default()),
        };
        // A client would take the response behind a 1xx for another one.
        if code < 200 && code != 101 {
            return Err(ResponseError::InvalidStatus { value: status.unwrap_or_default() });
        }
        head.set_line(code, text);
    }
    head.frame(buf, to_head)
}

fn digits(text: &[u8]) -> Option<u16> {
    text.iter().try_fold(0, |n, byte| byte.is_ascii_digit().then(|| n * 10 + u16::from(byte - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::h1::response::{Body, Limits, Status};

    fn parsed(text: &[u8], status_line: bool) -> Result<(u16, Vec<u8>, Framed), ResponseError> {
        let mut head = ResponseHead::new();
        let Status::Complete { len } = head.parse_cgi(text, &Limits::default(), status_line)? else { panic!("not whole") };
        assert_eq!(len, text.len());
        let framed = finish(&mut head, text, false)?;
        Ok((head.line.code, head.line.text.of(text).to_vec(), framed))
    }

    #[test]
    fn a_head_that_comes_again_is_read_the_same_way_by_who_reads_it_so() {
        let text = b"HTTP/1.1 404 No\r\nStatus: 201 Made\r\nContent-Length: 3\r\n\r\nabc";
        let mut head = ResponseHead::new();
        for status_line in [true, true, false, false, true] {
            head.reset();
            head.parse_cgi(text, &Limits::default(), status_line).unwrap();
            finish(&mut head, text, false).unwrap();
            assert_eq!(head.line.code, if status_line { 404 } else { 201 });
            head.reset();
            head.parse(text, &Limits::default()).unwrap();
            assert_eq!((head.line.code, head.frame(text, false).unwrap().body), (404, Body::Length(3)));
        }
        let text = b"Status: 201 Made\r\nContent-Length: 3\r\n\r\nabc";
        for to_head in [false, false, true, false] {
            head.reset();
            assert_eq!(head.parse_cgi(text, &Limits::default(), false), Ok(Status::Complete { len: text.len() - 3 }));
            let framed = finish(&mut head, text, to_head).unwrap();
            assert_eq!((head.line.code, head.line.text.of(text)), (201, &b"201 Made"[..]));
            assert_eq!(framed.body, if to_head { Body::None } else { Body::Length(3) });
        }
    }

    #[test]
    fn where_the_status_comes_from() {
        for (text, line, code, reason) in [
            ("Status: 404 Not Here\r\nX: y\r\n\r\n", false, 404, "404 Not Here"),
            ("Status: 404\n\n", false, 404, ""),
            ("Location: /x\r\n\r\n", false, 302, ""),
            ("Location: /x\r\nStatus: 301 Moved\r\n\r\n", false, 301, "301 Moved"),
            ("X: y\r\n\r\n", true, 200, ""),
            ("HTTP/1.0 403 No\r\nX: y\r\n\r\n", true, 403, "403 No"),
            ("HTTP/1.0 403 No\r\nX: y\r\n\r\n", false, 200, ""),
            ("HTTP/x\r\nStatus: 403\r\n\r\n", true, 403, ""),
            ("\r\n", false, 200, ""),
        ] {
            let (got, text_got, _) = parsed(text.as_bytes(), line).unwrap();
            assert_eq!((got, text_got.as_slice()), (code, reason.as_bytes()), "{text}");
        }
    }

    #[test]
    fn a_status_that_is_none() {
        for (text, shown) in [("Status: 4x4\n\n", "4x4"), ("Status: \n\n", ""), ("Status: 12\n\n", "12"), ("Status: 100 Go\n\n", "100 Go")]
        {
            let error = parsed(text.as_bytes(), false).unwrap_err();
            assert_eq!(error.message(text.as_bytes()), format!("upstream sent invalid status \"{shown}\"").into_bytes());
        }
    }

    #[test]
    fn framing() {
        assert_eq!(parsed(b"Content-Length: 5\n\n", true).unwrap().2.body, Body::Length(5));
        assert_eq!(parsed(b"Status: 304\nContent-Length: 5\n\n", true).unwrap().2.body, Body::None);
        assert_eq!(parsed(b"X: y\n\n", true).unwrap().2.body, Body::UntilClose);
        assert!(parsed(b"Content-Length: 5\nContent-Length: 5\n\n", true).is_err());
    }

    #[test]
    fn names_of_headers() {
        let mut out = Vec::new();
        Name::Header(b"X-Real-ip").push(&mut out);
        assert_eq!(out, b"HTTP_X_REAL_IP");
        assert_eq!(Name::Header(b"X-Real-ip").len(), out.len());
        assert!(names(b"X-Real-IP", b"x_real_ip") && names(b"Host", b"HOST") && !names(b"Host", b"HOS"));
    }
}
