//! Setting header fields by name from code and directives (`ngx.header`, `ngx.req.set_header`, `more_set_headers`): fields that the server
//! itself acts on keep their meaning, however they are set.

use crate::headers::Headers;
use crate::request::Request;
use crate::response::Response;
use base::text;
use std::borrow::Cow;
use std::fmt;

/// The value cannot stand in that field: `Content-Length` that is no number, `Host` that is no host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadValue;

impl fmt::Display for BadValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("invalid value of a header field")
    }
}

impl std::error::Error for BadValue {}

/// Response fields of which nginx keeps one only, so that adding replaces.
const SINGLE: [&[u8]; 10] =
    [b"Server", b"Date", b"Content-Encoding", b"Location", b"Refresh", b"Content-Range", b"Accept-Ranges", b"Expires", b"E-Tag", b"ETag"];

/// Request fields of which nginx keeps one only.
const SINGLE_IN: [&[u8]; 22] = [
    b"Host",
    b"Connection",
    b"If-Modified-Since",
    b"If-Unmodified-Since",
    b"If-Match",
    b"If-None-Match",
    b"User-Agent",
    b"Referer",
    b"Content-Length",
    b"Content-Type",
    b"Range",
    b"If-Range",
    b"Transfer-Encoding",
    b"Expect",
    b"Upgrade",
    b"Accept-Encoding",
    b"Via",
    b"Authorization",
    b"Keep-Alive",
    b"X-Real-IP",
    b"Depth",
    b"Date",
];

fn is_one_of(name: &[u8], list: &[&[u8]]) -> bool {
    list.iter().any(|known| known.eq_ignore_ascii_case(name))
}

/// Bytes that may stand in a field's name (RFC 9110, 5.6.2); the others leave percent-encoded.
fn in_name(byte: u8) -> bool {
    const ODD: &[u8] = b"\"(),/:;<=>?@[\\]{}";
    const TABLE: [bool; 256] = {
        let mut table = [false; 256];
        let mut byte = 0x21;
        while byte < 0x7f {
            table[byte] = true;
            byte += 1;
        }
        let mut i = 0;
        while i < ODD.len() {
            table[ODD[i] as usize] = false;
            i += 1;
        }
        table
    };
    TABLE.get(usize::from(byte)).copied().unwrap_or(false)
}

/// Bytes that may stand in a field's value: no control byte but the tab.
fn in_value(byte: u8) -> bool {
    byte == b'\t' || (byte >= 0x20 && byte != 0x7f)
}

/// A value as it may leave. Nearly all may as they are, and without a way out of the loop many bytes are looked at at once.
fn safe_value(value: &[u8]) -> Cow<'_, [u8]> {
    let bad = value.iter().fold(0, |bad, byte| bad | u8::from(*byte < 0x20) & u8::from(*byte != b'\t') | u8::from(*byte == 0x7f));
    if bad == 0 { Cow::Borrowed(value) } else { escaped(value, in_value) }
}

fn escaped(text: &[u8], keep: impl Fn(u8) -> bool) -> Cow<'_, [u8]> {
    if text.iter().all(|byte| keep(*byte)) {
        return Cow::Borrowed(text);
    }
    let digit = |n: u8| if n < 10 { b'0' + n } else { b'A' + n - 10 };
    let mut out = Vec::with_capacity(text.len() + 6);
    for &byte in text {
        if keep(byte) {
            out.push(byte);
        } else {
            out.extend_from_slice(&[b'%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
    Cow::Owned(out)
}

/// Sets, adds or (with an empty value) removes a field in a plain list.
fn store(headers: &mut Headers, name: &[u8], value: &[u8], add: bool) {
    if value.is_empty() {
        if !add {
            headers.remove(name);
        }
    } else if add {
        headers.push(name, value);
    } else {
        headers.set(name, value);
    }
}

impl Response {
    /// Sets the field `name` to `value`, or adds a field with `add`; an empty value removes the field.
    /// Unsafe bytes leave percent-encoded.
    ///
    /// # Errors
    /// `Content-Length` that is not a decimal number.
    pub fn set_field(&mut self, name: &[u8], value: &[u8], add: bool) -> Result<(), BadValue> {
        let name = &*escaped(name, in_name);
        let value = &*safe_value(value);
        if name.eq_ignore_ascii_case(b"Content-Type") {
            self.set_content_type(value);
            self.set_charset(b"");
            return Ok(());
        }
        if name.eq_ignore_ascii_case(b"Content-Length") {
            self.headers.remove(b"Content-Length");
            self.content_length = match value {
                [] => None,
                digits => Some(text::parse_number(digits).ok_or(BadValue)?),
            };
            return Ok(());
        }
        if name.eq_ignore_ascii_case(b"Last-Modified") {
            self.last_modified = wire::date::parse(value);
            store(&mut self.headers, name, value, false);
            return Ok(());
        }
        if name.eq_ignore_ascii_case(b"Server") {
            self.no_server = value.is_empty();
        } else if name.eq_ignore_ascii_case(b"Date") {
            self.no_date = value.is_empty();
        } else if name.eq_ignore_ascii_case(b"Location") {
            self.location_is_own = false;
        }
        store(&mut self.headers, name, value, add && !is_one_of(name, &SINGLE));
        Ok(())
    }

    /// Appends the values of the field `name` to `out` through `each`, those that the server keeps apart included.
    pub fn field(&self, name: &[u8], mut each: impl FnMut(&[u8])) {
        if name.eq_ignore_ascii_case(b"Content-Length")
            && let Some(length) = self.content_length
        {
            let mut digits = Vec::with_capacity(20);
            text::push_number(&mut digits, length);
            return each(&digits);
        }
        if name.eq_ignore_ascii_case(b"Content-Type") && !self.content_type.is_empty() {
            let mut full = Vec::new();
            self.push_content_type(&mut full);
            return each(&full);
        }
        if name.eq_ignore_ascii_case(b"Last-Modified")
            && !self.headers.contains(name)
            && let Some(time) = self.last_modified
        {
            return each(&wire::date::http(time));
        }
        for value in self.headers.get_all(name) {
            each(value);
        }
    }
}

impl Request {
    /// Sets a field of the request's head, as [`Response::set_field`] does for the response.
    ///
    /// # Errors
    /// `Host` that is no host name, `Content-Length` that is not a number.
    pub fn set_input_field(&self, name: &[u8], value: &[u8], add: bool) -> Result<(), BadValue> {
        let name = &*escaped(name, in_name);
        let value = &*safe_value(value);
        if name.eq_ignore_ascii_case(b"Host") {
            let mut host = Vec::new();
            if !value.is_empty() {
                push_host(value, &mut host).ok_or(BadValue)?;
            }
            self.line.borrow_mut().host = host;
            session::variable::by_name::forget_by_name(self, "host");
        } else if name.eq_ignore_ascii_case(b"Content-Length") && !value.is_empty() {
            text::parse_number(value).ok_or(BadValue)?;
        }
        let add = add && !is_one_of(name, &SINGLE_IN);
        if add && value.is_empty() {
            // Beside others it is a field like they are.
            self.headers.borrow_mut().push(name, value);
        } else {
            store(&mut self.headers.borrow_mut(), name, value, add);
        }
        Ok(())
    }
}

/// Appends `value` without port and final dot, in lower case; `None` if it is no host (`ngx_http_validate_host`).
fn push_host(value: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let mut length = value.len();
    if value.first() == Some(&b'[') {
        if let Some(end) = value.iter().position(|b| *b == b']') {
            length = end + 1;
        }
    } else if let Some(colon) = value.iter().position(|b| *b == b':') {
        length = colon;
    }
    if value.iter().any(|b| matches!(b, b'/' | 0)) || value.windows(2).any(|pair| pair == b"..") {
        return None;
    }
    let mut host = value.get(..length)?;
    if let [rest @ .., b'.'] = host {
        host = rest;
    }
    if host.is_empty() {
        return None;
    }
    out.extend(host.iter().map(u8::to_ascii_lowercase));
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(response: &Response, name: &[u8]) -> Vec<String> {
        let mut all = Vec::new();
        response.field(name, |value| all.push(String::from_utf8_lossy(value).into_owned()));
        all
    }

    #[test]
    fn special_fields_keep_their_meaning() {
        let mut response = Response::default();
        response.set_field(b"content-length", b"42", false).unwrap();
        assert_eq!(response.content_length, Some(42));
        assert_eq!(values(&response, b"Content-Length"), ["42"]);
        assert_eq!(response.set_field(b"Content-Length", b"x", false), Err(BadValue));
        response.set_field(b"Content-Type", b"text/css; charset=a", false).unwrap();
        assert_eq!(response.content_type, b"text/css; charset=a");
        assert!(response.headers.is_empty());
        response.set_field(b"Last-Modified", b"Thu, 18 Nov 2010 11:27:35 GMT", false).unwrap();
        assert_eq!(response.last_modified, Some(1_290_079_655));
    }

    #[test]
    fn adding_depends_on_the_field() {
        let mut response = Response::default();
        for (name, count) in [(&b"Location"[..], 1), (b"Cache-Control", 2), (b"X-A", 2)] {
            response.set_field(name, b"one", true).unwrap();
            response.set_field(name, b"two", true).unwrap();
            assert_eq!(values(&response, name).len(), count);
            response.set_field(name, b"", false).unwrap();
            assert!(values(&response, name).is_empty());
        }
    }

    #[test]
    fn unsafe_bytes_are_escaped() {
        let mut response = Response::default();
        response.set_field(b"X a:", b"one\r\ntwo\x7f\t", false).unwrap();
        assert_eq!(response.headers.iter().next(), Some((&b"X%20a%3A"[..], &b"one%0D%0Atwo%7F\t"[..])));
    }

    #[test]
    fn hosts() {
        let host = |text: &[u8]| {
            let mut out = Vec::new();
            push_host(text, &mut out).map(|()| String::from_utf8_lossy(&out).into_owned())
        };
        assert_eq!(host(b"A.Example.:81").as_deref(), Some("a.example"));
        assert_eq!(host(b"[::1]:80").as_deref(), Some("[::1]"));
        assert_eq!(host(b"a/b"), None);
        assert_eq!(host(b"a..b"), None);
        assert_eq!(host(b":80"), None);
    }
}
