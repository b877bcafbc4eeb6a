//! The response head under construction.

use crate::headers::Headers;

/// Status, fields with a meaning for filters, and all others in order. Reused between requests.
#[derive(Clone, Debug, Default)]
pub struct Response {
    /// Status code; 0 until set, sent as 200.
    pub status: u16,
    /// A status line of its own (`ngx.status`'s reason, an upstream's line), e.g. `200 Fine`; empty for the standard text.
    pub status_line: Vec<u8>,
    /// Body length in bytes, if known; `None` means chunked or close.
    pub content_length: Option<u64>,
    /// `Content-Type` without charset; empty for none.
    pub content_type: Vec<u8>,
    /// Charset to append to `Content-Type`. [`Response::set_charset`] changes it.
    pub charset: Vec<u8>,
    /// Charset that an upstream asks for (`X-Accel-Charset`).
    pub wanted_charset: Vec<u8>,
    /// What an upstream wrote behind the type, the charset included: it leaves as it came.
    content_type_rest: Vec<u8>,
    /// `Last-Modified` in seconds since the epoch, unless a header of that name is in `headers`.
    pub last_modified: Option<i64>,
    /// All other fields, `Location`, `ETag`, `Server` and `Date` overrides included.
    pub headers: Headers,
    /// Trailer fields.
    pub trailers: Headers,
    /// `Server` was removed: none leaves.
    pub no_server: bool,
    /// `Date` was removed: none leaves.
    pub no_date: bool,
    /// `Location` names a place of this server, so that one that begins with `/` becomes absolute (`absolute_redirect`).
    /// Without, it leaves as code, configuration or an upstream gave it.
    pub location_is_own: bool,
    /// The body can be cut into ranges (`allow_ranges`).
    pub allow_ranges: bool,
    /// It can be cut into one range alone: it is still on its way from an upstream.
    pub single_range: bool,
}

impl Response {
    /// Empties everything, keeping the memory.
    pub fn clear(&mut self) {
        self.status = 0;
        self.status_line.clear();
        self.content_length = None;
        self.content_type.clear();
        self.charset.clear();
        self.wanted_charset.clear();
        self.content_type_rest.clear();
        self.last_modified = None;
        self.headers.clear();
        self.trailers.clear();
        (self.no_server, self.no_date) = (false, false);
        (self.allow_ranges, self.single_range) = (false, false);
        self.location_is_own = false;
    }

    /// For a body that a filter will change: its length, ranges and validators no longer hold.
    pub fn clear_body_facts(&mut self) {
        self.content_length = None;
        self.allow_ranges = false;
        self.headers.remove(b"Accept-Ranges");
        self.headers.remove(b"Content-Length");
    }

    /// Sets status and the standard line.
    pub fn set_status(&mut self, status: u16) {
        self.status = status;
        self.status_line.clear();
    }

    /// Stores a status line other than the standard one.
    pub fn take_status_line(&mut self, line: &[u8]) {
        self.status_line.clear();
        let reason = line.split_at_checked(4).filter(|(code, _)| code.ends_with(b" ")).map(|(_, reason)| reason);
        if reason.is_none() || reason != wire::status::reason(self.status).map(str::as_bytes) {
            self.status_line.extend_from_slice(line);
        }
    }

    /// Sets `Content-Type`, charset apart.
    pub fn set_content_type(&mut self, value: &[u8]) {
        self.content_type.clear();
        self.content_type.extend_from_slice(value);
        self.content_type_rest.clear();
    }

    /// Sets the charset; empty for none.
    pub fn set_charset(&mut self, value: &[u8]) {
        self.charset.clear();
        self.charset.extend_from_slice(value);
        self.content_type_rest.clear();
    }

    /// Takes `text/html; charset=utf-8; a=b` apart for filters; parameters before the charset stay with the type. Unless type or
    /// charset change, it leaves as it came.
    pub fn take_content_type(&mut self, value: &[u8]) {
        self.set_content_type(value);
        let mut from = 0;
        while let Some(at) = memchr::memchr(b';', value.get(from..).unwrap_or_default()) {
            let semicolon = from + at;
            let (kind, rest) = value.split_at_checked(semicolon).unwrap_or_default();
            from = semicolon + 1;
            let parameter = rest.get(1..).unwrap_or_default().trim_ascii_start();
            let Some((_, charset)) = parameter.split_at_checked(8).filter(|(word, _)| word.eq_ignore_ascii_case(b"charset=")) else {
                continue;
            };
            let charset = match charset.strip_prefix(b"\"") {
                Some(quoted) => quoted.split(|b| *b == b'"').next(),
                None => charset.split(|b| *b == b';').next(),
            };
            let kind = kind.trim_ascii_end();
            self.set_content_type(kind);
            self.set_charset(charset.unwrap_or_default().trim_ascii_end());
            self.content_type_rest.extend_from_slice(value.get(kind.len()..).unwrap_or_default());
            return;
        }
    }

    /// What stands behind the type in `Content-Type`, in two parts.
    pub fn content_type_parameters(&self) -> [&[u8]; 2] {
        match (self.content_type_rest.is_empty(), self.charset.is_empty()) {
            (false, _) => [&self.content_type_rest, b""],
            (true, false) => [b"; charset=", &self.charset],
            (true, true) => [b"", b""],
        }
    }

    /// Appends the value of `Content-Type` to `out`.
    pub fn push_content_type(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.content_type);
        self.content_type_parameters().into_iter().for_each(|part| out.extend_from_slice(part));
    }

    /// Names a place of this server in `Location`.
    pub fn redirect_to(&mut self, target: &[u8]) {
        self.headers.set(b"Location", target);
        self.location_is_own = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_another_status_line_is_kept() {
        let mut response = Response::default();
        for (status, line, kept) in [
            (200, "200 OK", ""),
            (404, "404 Not Found", ""),
            (200, "200 Fine", "200 Fine"),
            (200, "200", "200"),
            (200, "200 ", "200 "),
            (299, "299 Odd", "299 Odd"),
            (403, "403.1 Forbidden", "403.1 Forbidden"),
        ] {
            response.status = status;
            response.take_status_line(line.as_bytes());
            assert_eq!(response.status_line, kept.as_bytes());
        }
    }

    #[test]
    fn a_type_is_taken_apart_and_leaves_as_it_came() {
        for (text, kind, charset) in [
            ("text/html; charset=utf-8", "text/html", "utf-8"),
            ("text/html; a=b;CHARSET=\"x\"", "text/html; a=b", "x"),
            ("text/html; charset=\"utf-8\"; a=b", "text/html", "utf-8"),
            ("text/html ;charset=utf-8 ;a=\"b;c\"", "text/html", "utf-8"),
            ("text/plain", "text/plain", ""),
        ] {
            let mut response = Response::default();
            response.take_content_type(text.as_bytes());
            assert_eq!((&*response.content_type, &*response.charset), (kind.as_bytes(), charset.as_bytes()), "{text}");
            let full = |response: &Response| {
                let mut out = Vec::new();
                response.push_content_type(&mut out);
                String::from_utf8(out).unwrap()
            };
            assert_eq!(full(&response), text);
            response.set_charset(b"koi8-r");
            assert_eq!(full(&response), format!("{kind}; charset=koi8-r"));
        }
    }
}
