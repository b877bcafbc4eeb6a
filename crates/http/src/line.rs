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
    pub fn descend(&mut self, parent: &Line, uri: &[u8], args: &[u8], method: (Method, &[u8])) {
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
