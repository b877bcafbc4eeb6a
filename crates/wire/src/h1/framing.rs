//! The length of the body, persistence of the connection, and the host: decided once, from the whole head, before anything else looks at it
//! (RFC 9112 sections 6 and 9).

use super::error::HeadError;
use super::header::HeaderSpan;
use super::host;
use super::method::Method;
use super::request::Head;
use super::version::Version;
use crate::known::Known;
use crate::span::Span;

/// The body that follows a request head.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Framing {
    /// No body.
    #[default]
    None,
    /// Exactly this many bytes; 0 when `Content-Length: 0` was sent.
    Length(u64),
    /// Chunks (see [`crate::chunked`]).
    Chunked,
}

/// What the `Connection` headers ask for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ConnectionOption {
    /// Nothing: the version decides.
    #[default]
    Default,
    /// `close` stands in the value.
    Close,
    /// `keep-alive` does.
    KeepAlive,
}

/// How long a message's body is, and whether the connection persists after it (RFC 9112, 6.3 and 9.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Framed {
    /// The body.
    pub body: Framing,
    /// What `Connection` said.
    pub connection: ConnectionOption,
    /// The client may send another request on this connection.
    pub keep_alive: bool,
    /// There is an `Upgrade` header.
    pub upgrade: bool,
    /// `Expect: 100-continue` was sent in HTTP/1.1.
    pub expects_continue: bool,
    /// The name of the server asked for, without port and trailing dot; empty when none was.
    pub host: Span,
    /// The port named with it; 0 when none was.
    pub port: u16,
    /// The host holds capitals and must be lower-cased.
    pub host_upper: bool,
}

/// Headers that may stand only once, `Host` apart; the order is that of the slots below.
pub(crate) const UNIQUE: [Known; 11] = [
    Known::ContentLength,
    Known::TransferEncoding,
    Known::ContentRange,
    Known::Expect,
    Known::Authorization,
    Known::ProxyAuthorization,
    Known::IfModifiedSince,
    Known::IfUnmodifiedSince,
    Known::IfMatch,
    Known::IfNoneMatch,
    Known::IfRange,
];

/// Evaluates `head`, which was parsed from `buf`. `allow_connect` is false unless the server tunnels.
///
/// # Errors
/// Every contradiction that two servers could read differently; see [`HeadError`].
pub fn frame(head: &Head, buf: &[u8], allow_connect: bool) -> Result<Framed, HeadError> {
    let mut framed = Framed::default();
    if let Some(span) = head.host {
        set_host(&mut framed, span, buf).ok_or(HeadError::InvalidHostInLine)?;
    }
    if head.version.is_09() {
        return Ok(framed);
    }
    let seen = collect(head, buf, &mut framed)?;
    if seen.host.is_none() && head.version > Version::HTTP_10 {
        return Err(HeadError::NoHost);
    }
    framed.body = body(head, buf, &seen)?;
    framed.keep_alive = match framed.connection {
        ConnectionOption::Close => false,
        ConnectionOption::KeepAlive => true,
        ConnectionOption::Default => head.version > Version::HTTP_10,
    };
    match head.method {
        Method::Connect if head.version != Version::HTTP_11 || !allow_connect => Err(HeadError::Connect),
        Method::Connect if !matches!(framed.body, Framing::None | Framing::Length(0)) => Err(HeadError::ConnectBody),
        Method::Trace => Err(HeadError::Trace),
        _ => Ok(framed),
    }
}

#[derive(Default)]
struct FramingFields {
    host: Option<HeaderSpan>,
    /// Where each stands among the headers, plus one; 0 for none.
    unique: [u32; UNIQUE.len()],
}

fn collect(head: &Head, buf: &[u8], framed: &mut Framed) -> Result<FramingFields, HeadError> {
    let mut seen = FramingFields::default();
    for (place, &header) in head.headers.iter().enumerate().filter(|(_, header)| header.known != Known::Other) {
        let value = header.value.of(buf);
        match header.known {
            Known::Host => {
                if let Some(first) = seen.host {
                    return Err(HeadError::DuplicateHost { this: header, first });
                }
                seen.host = Some(header);
                if head.host.is_some() {
                    host::validate(value).ok_or(HeadError::InvalidHost)?;
                } else {
                    set_host(framed, header.value, buf).ok_or(HeadError::InvalidHost)?;
                }
            }
            Known::Connection => {
                if contains(value, b"close") {
                    framed.connection = ConnectionOption::Close;
                } else if contains(value, b"keep-alive") {
                    framed.connection = ConnectionOption::KeepAlive;
                }
            }
            Known::Upgrade => framed.upgrade = true,
            known => {
                let slot = UNIQUE.iter().position(|&unique| unique == known);
                if let Some(slot) = slot.and_then(|at| seen.unique.get_mut(at)) {
                    if let Some(&first) = at(head, *slot) {
                        return Err(HeadError::DuplicateHeader { this: header, first });
                    }
                    *slot = u32::try_from(place + 1).unwrap_or(u32::MAX);
                }
                framed.expects_continue |=
                    known == Known::Expect && head.version > Version::HTTP_10 && value.eq_ignore_ascii_case(b"100-continue");
            }
        }
    }
    Ok(seen)
}

/// The header whose place plus one is `slot`.
fn at(head: &Head, slot: u32) -> Option<&HeaderSpan> {
    head.headers.get((slot as usize).checked_sub(1)?)
}

fn set_host(framed: &mut Framed, span: Span, buf: &[u8]) -> Option<()> {
    let host = host::validate(span.of(buf))?;
    framed.host = Span::new(span.start as usize, span.start as usize + host.name.len());
    framed.port = host.port;
    framed.host_upper = host.upper;
    Some(())
}

fn body(head: &Head, buf: &[u8], seen: &FramingFields) -> Result<Framing, HeadError> {
    let [length, encoding, ..] = seen.unique;
    let (length, encoding) = (at(head, length), at(head, encoding));
    let length = length.map(|header| content_length(header.value.of(buf)).ok_or(HeadError::InvalidLength)).transpose()?;
    let Some(encoding) = encoding else {
        return Ok(length.map_or(Framing::None, Framing::Length));
    };
    if head.version < Version::HTTP_11 {
        return Err(HeadError::EncodingIn10);
    }
    if !encoding.value.of(buf).eq_ignore_ascii_case(b"chunked") {
        return Err(HeadError::UnknownEncoding { value: encoding.value });
    }
    if length.is_some() {
        return Err(HeadError::LengthAndEncoding);
    }
    Ok(Framing::Chunked)
}

/// The value of a `Content-Length`: digits only, and no more than 2^63 - 1 (RFC 9110, 8.6).
#[must_use]
pub fn content_length(value: &[u8]) -> Option<u64> {
    if value.is_empty() {
        return None;
    }
    let n = value.iter().try_fold(0u64, |n, &byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        n.checked_mul(10)?.checked_add(digit)
    })?;
    i64::try_from(n).is_ok().then_some(n)
}

/// nginx looks for the word anywhere in the value, whatever its case.
pub(super) fn contains(value: &[u8], word: &[u8]) -> bool {
    value.windows(word.len()).any(|window| window.eq_ignore_ascii_case(word))
}
