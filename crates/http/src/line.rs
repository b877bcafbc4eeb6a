//! The request line and values derived from it.

use crate::method::Method;

/// Protocol version of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Version {
    /// `GET /` without a version: the answer has no head.
    Http09,
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    #[default]
    Http11,
    /// HTTP/2
    Http2,
    /// HTTP/3
    Http3,
}

impl Version {
    /// As `$server_protocol` shows it.
    pub fn name(self) -> &'static str {
        match self {
            Version::Http09 => "HTTP/0.9",
            Version::Http10 => "HTTP/1.0",
            Version::Http11 => "HTTP/1.1",
            Version::Http2 => "HTTP/2.0",
            Version::Http3 => "HTTP/3.0",
        }
    }
}

/// The request line in its parts. Buffers are reused between requests.
#[derive(Clone, Debug, Default)]
pub struct Line {
    /// As received, without the line end (`$request`).
    pub text: Vec<u8>,
    /// The method as a bit.
    pub method: Method,
    /// The method's name.
    pub method_name: Vec<u8>,
    /// Target as received (`$request_uri`, nginx's unparsed URI).
    pub raw_uri: Vec<u8>,
    /// Decoded and normalised path (`$uri`); changes by rewrites.
    pub uri: Vec<u8>,
    /// Query string without `?` (`$args`).
    pub args: Vec<u8>,
    /// Version.
    pub version: Version,
    /// Host of an absolute target, or the `Host` header, validated, lower-case, without port (`$host`); may be empty.
    pub host: Vec<u8>,
    /// The path had percent-escapes.
    pub quoted: bool,
    /// The path had a `+`.
    pub plus: bool,
    /// The path had to be normalised.
    pub complex: bool,
    /// `raw_uri` still says what `uri` and `args` say; rewriting either ends that.
    pub raw_is_valid: bool,
    /// The query string was set, perhaps to nothing: it is found then.
    pub args_are_set: bool,
    /// A `proxy_pass` URI may replace the location's prefix; a rewrite with `break` ends that.
    pub location_is_valid: bool,
}

impl Line {
    /// Empties everything, keeping the memory.
    pub fn clear(&mut self) {
        for buffer in [&mut self.text, &mut self.method_name, &mut self.raw_uri, &mut self.uri, &mut self.args, &mut self.host] {
            buffer.clear();
        }
        self.method = Method::NONE;
        self.version = Version::default();
        (self.quoted, self.plus, self.complex) = (false, false, false);
        (self.raw_is_valid, self.location_is_valid, self.args_are_set) = (true, true, false);
    }

    /// Becomes a copy of `other` in its own memory.
    pub fn copy_from(&mut self, other: &Line) {
        let Line {
            text,
            method,
            method_name,
            raw_uri,
            uri,
            args,
            version,
            host,
            quoted,
            plus,
            complex,
            raw_is_valid,
            location_is_valid,
            args_are_set,
        } = other;
        for (own, from) in [
            (&mut self.text, text),
            (&mut self.method_name, method_name),
            (&mut self.raw_uri, raw_uri),
            (&mut self.uri, uri),
            (&mut self.args, args),
            (&mut self.host, host),
        ] {
            own.clone_from(from);
        }
        (self.method, self.version) = (*method, *version);
        (self.quoted, self.plus, self.complex) = (*quoted, *plus, *complex);
        (self.raw_is_valid, self.location_is_valid, self.args_are_set) = (*raw_is_valid, *location_is_valid, *args_are_set);
    }

    /// Becomes the line of a subrequest of the request that `parent` is the line of.
    pub(crate) fn derive(&mut self, parent: &Line, uri: &[u8], args: &[u8], method: (Method, &[u8])) {
        self.text.clone_from(&parent.text);
        self.raw_uri.clone_from(&parent.raw_uri);
        self.host.clone_from(&parent.host);
        self.version = parent.version;
        (self.quoted, self.plus, self.complex) = (parent.quoted, parent.plus, parent.complex);
        self.set_uri(uri);
        self.set_args(args);
        self.location_is_valid = true;
        self.method = method.0;
        self.method_name.clear();
        self.method_name.extend_from_slice(method.1);
    }

    /// Extension of the path's last segment, without the dot; empty if it has none.
    pub fn extension(&self) -> &[u8] {
        // Mostly a few bytes from the end: no vector search pays.
        let Some(at) = self.uri.iter().rposition(|byte| matches!(byte, b'.' | b'/')) else { return &[] };
        match self.uri.get(at) {
            Some(b'.') if at > 0 && self.uri.get(at - 1) != Some(&b'/') => self.uri.get(at + 1..).unwrap_or_default(),
            _ => &[],
        }
    }

    /// Replaces the path, as a rewrite does.
    pub fn set_uri(&mut self, uri: &[u8]) {
        self.uri.clear();
        self.uri.extend_from_slice(uri);
        self.raw_is_valid = false;
    }

    /// Replaces the query string.
    pub fn set_args(&mut self, args: &[u8]) {
        self.args.clear();
        self.args.extend_from_slice(args);
        (self.raw_is_valid, self.args_are_set) = (false, false);
    }

    /// Replaces the query string by what code or a directive says, which is there even if it is empty.
    pub fn give_args(&mut self, args: &[u8]) {
        self.set_args(args);
        self.args_are_set = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extensions_are_those_of_the_last_segment() {
        let rows = [
            ("/a.html", "html"),
            ("/a.tar.gz", "gz"),
            ("/a.b/c", ""),
            ("/a.b/c.d", "d"),
            ("/a.", ""),
            ("/", ""),
            ("", ""),
            ("a.html", "html"),
            // A name that begins with a dot has none.
            ("/.html", ""),
            ("/a/.b", ""),
            (".html", ""),
            ("/..html", "html"),
        ];
        for (uri, expected) in rows {
            let line = Line { uri: uri.as_bytes().to_vec(), ..Line::default() };
            assert_eq!(String::from_utf8_lossy(line.extension()), expected, "{uri:?}");
        }
    }

    /// A line as a client sent it.
    fn received() -> Line {
        let mut line = Line::default();
        line.clear();
        line.text = b"POST /a%20b?c HTTP/1.0".to_vec();
        (line.method, line.method_name) = (Method::POST, b"POST".to_vec());
        (line.raw_uri, line.uri, line.args) = (b"/a%20b?c".to_vec(), b"/a b".to_vec(), b"c".to_vec());
        (line.version, line.host) = (Version::Http10, b"a.test".to_vec());
        (line.quoted, line.plus, line.complex, line.args_are_set) = (true, true, true, true);
        line
    }

    #[test]
    fn a_copy_and_nothing_else_is_left_of_what_was_there() {
        let line = received();
        let mut copy = Line { uri: b"/of/before".to_vec(), location_is_valid: false, ..Line::default() };
        copy.copy_from(&line);
        assert_eq!(format!("{copy:?}"), format!("{line:?}"));
        copy.clear();
        let mut empty = Line::default();
        empty.clear();
        assert_eq!(format!("{copy:?}"), format!("{empty:?}"));
        assert!(empty.raw_is_valid && empty.location_is_valid);
    }

    #[test]
    fn changes_of_path_and_arguments_end_what_the_client_said_of_them() {
        let rows: [(&str, fn(&mut Line), &str, &str, bool); 3] = [
            ("path", |line| line.set_uri(b"/x"), "/x", "c", true),
            ("arguments", |line| line.set_args(b""), "/a b", "", false),
            ("arguments that are given", |line| line.give_args(b""), "/a b", "", true),
        ];
        for (what, change, uri, args, set) in rows {
            let mut line = received();
            change(&mut line);
            assert_eq!((&*line.uri, &*line.args), (uri.as_bytes(), args.as_bytes()), "{what}");
            assert!(!line.raw_is_valid, "{what}");
            assert_eq!(line.args_are_set, set, "{what}");
            assert_eq!(line.raw_uri, b"/a%20b?c", "{what}: what came stays for the log");
        }
    }

    #[test]
    fn a_subrequest_has_its_own_path_and_method_and_the_rest_of_its_parent() {
        let parent = received();
        let mut line = Line { args_are_set: true, ..Line::default() };
        line.derive(&parent, b"/sub", b"d", (Method::PUT, b"PUT"));
        assert_eq!((&*line.uri, &*line.args, line.method, &*line.method_name), (&b"/sub"[..], &b"d"[..], Method::PUT, &b"PUT"[..]));
        assert_eq!((&line.text, &line.raw_uri, &line.host, line.version), (&parent.text, &parent.raw_uri, &parent.host, Version::Http10));
        assert!(!line.raw_is_valid && line.location_is_valid && !line.args_are_set);
    }

    #[test]
    fn versions_are_in_order() {
        let all = [Version::Http09, Version::Http10, Version::Http11, Version::Http2, Version::Http3];
        assert!(all.is_sorted());
        assert_eq!(all.map(Version::name), ["HTTP/0.9", "HTTP/1.0", "HTTP/1.1", "HTTP/2.0", "HTTP/3.0"]);
    }
}
