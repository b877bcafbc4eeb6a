//! Validation of a header block as a request (RFC 9113, 8.2 and 8.3), as nginx does it.

use super::priority::Priority;
use crate::h1::framing::UNIQUE;
use crate::h1::host;
use crate::hpack::{Field, Fields};
use crate::known::Known;
use crate::span::Span;

/// A request's head; ranges are into the fields' buffer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestHead {
    /// `:method`.
    pub method: Span,
    /// `:scheme`.
    pub scheme: Span,
    /// `:authority`.
    pub authority: Option<Span>,
    /// The host in `:authority`, without its port, and whether it holds capitals; empty where there is none.
    pub host: (Span, bool),
    /// `:path`.
    pub path: Span,
    /// `:protocol`, of an extended CONNECT (RFC 8441).
    pub protocol: Option<Span>,
    /// How many of the fields are pseudo-headers; they come first.
    pub pseudo: usize,
    /// `content-length`.
    pub content_length: Option<u64>,
    /// The `priority` field.
    pub priority: Option<Priority>,
    /// What is wrong, if anything: such a request is to be answered with [`Malformed::status`].
    pub fault: Option<Malformed>,
}

/// Why a request is malformed. The stream is an error (RFC 9113, 8.1.1) which is answered before it is reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// Upper case, a space, a control byte or a colon in a name.
    Name(Span),
    /// NUL, CR or LF in a value.
    Value(Span, Span),
    /// A pseudo-header behind a field.
    Order,
    /// A pseudo-header of another name.
    UnknownPseudo(Span),
    /// A duplicate one.
    DuplicatePseudo(&'static str),
    /// One without a value.
    EmptyPseudo(&'static str),
    /// One that is missing.
    NoPseudo(&'static str),
    /// `:path` with a value that is no path.
    Path(Span),
    /// `:method` that is no token of capitals.
    Method(Span),
    /// `:scheme` that is no scheme.
    Scheme(Span),
    /// `:authority` that is no host.
    Authority,
    /// A field of HTTP/1's connections (RFC 9113, 8.2.2).
    Connection(&'static str),
    /// `te` other than `trailers`.
    Te,
    /// No host at all.
    NoHost,
    /// `host` that is no host.
    Host,
    /// A duplicate `host`: the second value and the first.
    DuplicateHost(Span, Span),
    /// A field that may stand only once: its name, the second value and the first.
    DuplicateHeader(Span, Span, Span),
    /// `host` differs from `:authority`.
    HostDiffers,
    /// `content-length` that is no number.
    Length,
    /// `content-length` above 0 without content.
    NoContent,
    /// CONNECT, which is not a proxy's here.
    Connect,
    /// TRACE.
    Trace,
    /// More fields than `max_headers`.
    TooMany,
    /// More than all of `large_client_header_buffers` (HTTP/3).
    TooLarge,
    /// A name or value that is larger than one of them (HTTP/3).
    TooLargeLine,
}

impl Malformed {
    /// What to answer; 494 is nginx's own and goes out as 400.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::Connect | Self::Trace => 405,
            Self::TooMany | Self::TooLarge | Self::TooLargeLine => 494,
            _ => 400,
        }
    }

    /// What nginx logs, at the level info; `buf` is the fields' buffer.
    #[must_use]
    pub fn message(self, buf: &[u8]) -> Vec<u8> {
        let quote = |lead: &str, span: Span| [lead.as_bytes(), b"\"", span.of(buf), b"\""].concat();
        match self {
            Self::Name(name) => quote("client sent invalid header name: ", name),
            Self::Value(name, value) => [&quote("client sent header ", name)[..], &quote(" with invalid value: ", value)].concat(),
            Self::UnknownPseudo(name) => quote("client sent unknown pseudo-header ", name),
            Self::DuplicatePseudo(":authority") => b"client sent duplicate \":authority\" header".to_vec(),
            Self::DuplicatePseudo(name) => format!("client sent duplicate {name} header").into_bytes(),
            Self::EmptyPseudo(name) => format!("client sent empty {name} header").into_bytes(),
            Self::NoPseudo(name) => format!("client sent no {name} header").into_bytes(),
            Self::Path(value) => quote("client sent invalid :path header: ", value),
            Self::Method(value) => quote("client sent invalid method: ", value),
            Self::Scheme(value) => quote("client sent invalid :scheme header: ", value),
            Self::DuplicateHost(value, first) => {
                let parts: [&[u8]; 5] =
                    [b"client sent duplicate host header: \"host: ", value.of(buf), b"\", previous value: \"host: ", first.of(buf), b"\""];
                parts.concat()
            }
            Self::DuplicateHeader(name, value, first) => {
                let line = |value: Span| [name.of(buf), b": ", value.of(buf), b"\""].concat();
                [&b"client sent duplicate header line: \""[..], &line(value), b", previous value: \"", &line(first)].concat()
            }
            Self::Connection(name) => format!("client sent \"{name}\" header").into_bytes(),
            other => other.fixed().as_bytes().to_vec(),
        }
    }

    fn fixed(self) -> &'static str {
        match self {
            Self::Order => "client sent out of order pseudo-headers",
            Self::Authority => "client sent invalid \":authority\" header",
            Self::Te => "client sent invalid \"TE\" header",
            Self::NoHost => "client sent neither \":authority\" nor \"Host\" header",
            Self::Host => "client sent invalid host header",
            Self::HostDiffers => "client sent \":authority\" and \"Host\" headers with different values",
            Self::Length => "client sent invalid \"Content-Length\" header",
            Self::NoContent => "client prematurely closed stream",
            Self::Connect => "client sent CONNECT method",
            Self::Trace => "client sent TRACE method",
            Self::TooLarge => "client sent too large header",
            Self::TooLargeLine => "client sent too large field line",
            _ => "client sent too many header lines",
        }
    }
}

/// The names of the static table (RFC 7541, appendix A) that are looked at, a bit for each: those of [`UNIQUE`], and `host`.
const LOOKED_AT: u64 =
    1 << 23 | 1 << 28 | 1 << 30 | 1 << 35 | 1 << 38 | 1 << 39 | 1 << 40 | 1 << 41 | 1 << 42 | 1 << 43 | 1 << 49 | 1 << 57;

/// What a field's name is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameClass {
    /// Small letters, digits and `-`, and `_` where that is allowed.
    Valid,
    /// Dropped under `ignore_invalid_headers on`, with nginx's `client sent invalid header: "name"`.
    Odd,
    /// The request is malformed.
    Bad,
}

/// Looks at a name, without the colon of a pseudo-header.
#[must_use]
pub fn name_class(name: &[u8], underscores: bool) -> NameClass {
    let mut class = NameClass::Valid;
    for &byte in name {
        match byte {
            b'a'..=b'z' | b'-' | b'0'..=b'9' => {}
            b'_' if underscores => {}
            0..=0x20 | 0x7f | b':' | b'A'..=b'Z' => return NameClass::Bad,
            _ => class = NameClass::Odd,
        }
    }
    class
}

/// Configured restrictions on requests.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rules {
    /// Extended CONNECT was offered.
    pub(crate) connect_protocol: bool,
    /// The stream ends with its head.
    pub(crate) end: bool,
}

impl RequestHead {
    /// Checks a block in the order in which nginx does: the first fault counts.
    pub(crate) fn read(fields: &Fields, rules: Rules) -> Self {
        let mut head = Self::default();
        let fault = head.scan(fields, rules).and_then(|()| head.check(fields, rules));
        head.fault = fault.err();
        if head.fault.is_some() {
            // Nobody reads the body, whatever was said of it.
            head.content_length = None;
        }
        head
    }

    /// Method, scheme and path are known and right.
    #[must_use]
    pub fn has_line(&self) -> bool {
        ![self.method, self.scheme, self.path].iter().any(|span| span.is_empty())
    }

    fn scan(&mut self, fields: &Fields, rules: Rules) -> Result<(), Malformed> {
        let buf = fields.bytes();
        let mut regular = false;
        for field in fields.list() {
            let name = check_field(field, buf)?;
            if name.first() == Some(&b':') {
                if regular {
                    return Err(Malformed::Order);
                }
                self.pseudo(name, field, buf, rules)?;
                self.pseudo += 1;
            } else if !regular {
                regular = true;
                self.required(buf, rules)?;
            }
        }
        if !regular {
            self.required(buf, rules)?;
        }
        if fields.overflowed() { Err(Malformed::TooMany) } else { Ok(()) }
    }

    fn pseudo(&mut self, name: &[u8], field: &Field, buf: &[u8], rules: Rules) -> Result<(), Malformed> {
        let value = field.value.of(buf);
        match name {
            b":path" => {
                reject_repeated(":path", self.path, value)?;
                let plain = |byte: &u8| *byte > 0x20 && *byte != 0x7f;
                if value.first() != Some(&b'/') || !value.iter().all(plain) {
                    return Err(Malformed::Path(field.value));
                }
                self.path = field.value;
            }
            b":method" => {
                reject_repeated(":method", self.method, value)?;
                if !value.iter().all(|byte| matches!(byte, b'A'..=b'Z' | b'_' | b'-')) {
                    return Err(Malformed::Method(field.value));
                }
                self.method = field.value;
            }
            b":scheme" => {
                reject_repeated(":scheme", self.scheme, value)?;
                let fine = |(at, byte): (usize, &u8)| {
                    byte.is_ascii_alphabetic() || (at > 0 && (byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b'.')))
                };
                if !value.iter().enumerate().all(fine) {
                    return Err(Malformed::Scheme(field.value));
                }
                self.scheme = field.value;
            }
            b":authority" => {
                if self.authority.is_some() {
                    return Err(Malformed::DuplicatePseudo(":authority"));
                }
                let host = host::validate(value).ok_or(Malformed::Authority)?;
                // A name begins where the authority does.
                let start = field.value.start as usize;
                self.host = (Span::new(start, start + host.name.len()), host.upper);
                self.authority = Some(field.value);
            }
            b":protocol" if rules.connect_protocol => {
                reject_repeated(":protocol", self.protocol.unwrap_or_default(), value)?;
                self.protocol = Some(field.value);
            }
            _ => return Err(Malformed::UnknownPseudo(field.name)),
        }
        Ok(())
    }

    fn required(&self, buf: &[u8], rules: Rules) -> Result<(), Malformed> {
        let method = self.method.of(buf);
        for (name, value) in [(":method", self.method), (":scheme", self.scheme), (":path", self.path)] {
            if value.is_empty() {
                return Err(Malformed::NoPseudo(name));
            }
        }
        if self.protocol.is_some() && (method != b"CONNECT" || !rules.connect_protocol) {
            return Err(Malformed::Method(self.method));
        }
        Ok(())
    }

    /// Fields that mean something to the protocol; the rest is the caller's.
    fn check(&mut self, fields: &Fields, rules: Rules) -> Result<(), Malformed> {
        let (mut host, mut te, mut seen) = (None, 0, 0);
        let mut fault = None;
        let mut first = |found| fault = fault.or(Some(found));
        for field in fields.list().iter().skip(self.pseudo) {
            // Most names of the static table mean nothing to the protocol.
            if field.index > 0 && LOOKED_AT >> (field.index & 63) & 1 == 0 {
                continue;
            }
            let value = field.value.of(fields.bytes());
            let name = field.name.of(fields.bytes());
            if let Some(fault) = repeated(fields, field, &mut seen) {
                first(fault);
            }
            match name {
                b"connection" => first(Malformed::Connection("Connection")),
                b"keep-alive" => first(Malformed::Connection("Keep-Alive")),
                b"proxy-connection" => first(Malformed::Connection("Proxy-Connection")),
                b"transfer-encoding" => first(Malformed::Connection("Transfer-Encoding")),
                b"upgrade" => first(Malformed::Connection("Upgrade")),
                b"te" => {
                    te += 1;
                    if te > 1 || !value.eq_ignore_ascii_case(b"trailers") {
                        first(Malformed::Te);
                    }
                }
                b"host" => match host {
                    Some(before) => first(Malformed::DuplicateHost(field.value, before)),
                    None if host::validate(value).is_none() => first(Malformed::Host),
                    None => host = Some(field.value),
                },
                b"content-length" => {
                    self.content_length = number(value);
                    if self.content_length.is_none() {
                        first(Malformed::Length);
                    }
                }
                b"priority" => self.priority = Some(Priority::parse(value)),
                _ => {}
            }
        }
        if let Some(fault) = fault {
            return Err(fault);
        }
        let buf = fields.bytes();
        match (self.authority, host) {
            (None, None) => return Err(Malformed::NoHost),
            (Some(authority), Some(host)) if authority.of(buf) != host.of(buf) => return Err(Malformed::HostDiffers),
            _ => {}
        }
        if rules.end && self.content_length.is_some_and(|length| length > 0) {
            return Err(Malformed::NoContent);
        }
        match self.method.of(buf) {
            b"CONNECT" if self.protocol.is_none() => Err(Malformed::Connect),
            b"TRACE" => Err(Malformed::Trace),
            _ => Ok(()),
        }
    }
}

/// What is wrong if `field` may stand only once and did so before; `seen` has a bit for each of these.
fn repeated(fields: &Fields, field: &Field, seen: &mut u16) -> Option<Malformed> {
    let buf = fields.bytes();
    let name = field.name.of(buf);
    let known = Known::of(name);
    let bit = 1 << UNIQUE.iter().position(|unique| *unique == known)?;
    if *seen & bit == 0 {
        *seen |= bit;
        return None;
    }
    let first = fields.list().iter().find(|other| other.name.of(buf) == name)?;
    Some(Malformed::DuplicateHeader(field.name, field.value, first.value))
}

fn reject_repeated(name: &'static str, before: Span, value: &[u8]) -> Result<(), Malformed> {
    match (before.is_empty(), value.is_empty()) {
        (false, _) => Err(Malformed::DuplicatePseudo(name)),
        (true, true) => Err(Malformed::EmptyPseudo(name)),
        (true, false) => Ok(()),
    }
}

fn number(value: &[u8]) -> Option<u64> {
    let digits = |all: Option<u64>, byte: &u8| {
        let digit = byte.checked_sub(b'0').filter(|digit| *digit < 10)?;
        all?.checked_mul(10)?.checked_add(u64::from(digit))
    };
    if value.is_empty() { None } else { value.iter().fold(Some(0), digits).filter(|length| *length <= i64::MAX as u64) }
}

/// What holds for each field, in a head and in trailers.
fn check_field<'a>(field: &Field, buf: &'a [u8]) -> Result<&'a [u8], Malformed> {
    let name = field.name.of(buf);
    // Names of the static table are good.
    if field.index == 0 && name_class(name.strip_prefix(b":").unwrap_or(name), true) == NameClass::Bad {
        return Err(Malformed::Name(field.name));
    }
    if memchr::memchr3(0, b'\r', b'\n', field.value.of(buf)).is_some() {
        return Err(Malformed::Value(field.name, field.value));
    }
    Ok(name)
}

/// Trailers have no pseudo-headers (RFC 9113, 8.1), and nothing of a connection.
pub(crate) fn check_trailers(fields: &Fields) -> Result<(), Malformed> {
    for field in fields.list() {
        if check_field(field, fields.bytes())?.first() == Some(&b':') {
            return Err(Malformed::Order);
        }
    }
    if fields.overflowed() { Err(Malformed::TooMany) } else { Ok(()) }
}
