//! Why a request head is refused: the status and nginx's words for the log.

use super::header::HeaderSpan;
use crate::span::Span;
use std::fmt;

/// A refused request head. Ranges point into the buffer that was parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadError {
    /// The method holds something other than capitals, `_` and `-`.
    InvalidMethod,
    /// The request line or its target breaks the grammar.
    InvalidRequest,
    /// A major version above 1.
    InvalidVersion,
    /// HTTP/0.9 knows only GET.
    InvalidMethod09,
    /// The request line does not fit a large header buffer.
    LongUri,
    /// A line is not a header field.
    InvalidHeader {
        /// The line up to the offending byte.
        before: Span,
        /// The offending byte.
        byte: u8,
    },
    /// A header line does not fit the header buffers.
    LongHeader {
        /// The line so far.
        line: Span,
    },
    /// All headers together do not fit the header buffers.
    LargeRequest,
    /// More lines than `max_headers`.
    ManyHeaders,
    /// The host of an absolute target is not one.
    InvalidHostInLine,
    /// The value of `Host` is not a host.
    InvalidHost,
    /// A second `Host`.
    DuplicateHost {
        /// The line refused.
        this: HeaderSpan,
        /// The first line.
        first: HeaderSpan,
    },
    /// A second line of a header that may stand only once.
    DuplicateHeader {
        /// The line refused.
        this: HeaderSpan,
        /// The first line.
        first: HeaderSpan,
    },
    /// HTTP/1.1 without `Host` (RFC 9112, 3.2).
    NoHost,
    /// `Content-Length` is not a decimal number that fits 63 bits (RFC 9112, 6.3).
    InvalidLength,
    /// `Transfer-Encoding` in HTTP/1.0 (RFC 9112, 6.1).
    EncodingIn10,
    /// `Content-Length` and `Transfer-Encoding` together (RFC 9112, 6.3).
    LengthAndEncoding,
    /// A transfer coding other than `chunked` alone.
    UnknownEncoding {
        /// The value of the header.
        value: Span,
    },
    /// CONNECT where it is not allowed.
    Connect,
    /// CONNECT with a body.
    ConnectBody,
    /// TRACE is never served.
    Trace,
}

impl HeadError {
    /// The status to answer with, in nginx's numbers: 494 is shown to clients as 400.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::InvalidVersion => 505,
            Self::LongUri => 414,
            Self::LongHeader { .. } | Self::LargeRequest | Self::ManyHeaders => 494,
            Self::UnknownEncoding { .. } => 501,
            Self::Connect | Self::Trace => 405,
            _ => 400,
        }
    }

    /// True when the client should be read from for a while after the response (`lingering_close`),
    /// because it is still sending.
    #[must_use]
    pub fn lingers(&self) -> bool {
        matches!(self, Self::LongHeader { .. } | Self::LargeRequest | Self::ManyHeaders | Self::LengthAndEncoding)
    }

    /// What the server was doing, for the ` while ACTION` that nginx puts behind the message.
    #[must_use]
    pub fn action(&self) -> &'static str {
        match self {
            Self::InvalidMethod
            | Self::InvalidRequest
            | Self::InvalidVersion
            | Self::InvalidMethod09
            | Self::LongUri
            | Self::InvalidHostInLine => "reading client request line",
            _ => "reading client request headers",
        }
    }

    /// nginx's line for the error log, at level info, without the action. `buf` is the buffer that was parsed; bytes
    /// from it are quoted as they are.
    #[must_use]
    pub fn message(&self, buf: &[u8]) -> Vec<u8> {
        match self {
            Self::InvalidHeader { before, byte } => {
                let mut out = b"client sent invalid header line: \"".to_vec();
                out.extend_from_slice(before.of(buf));
                out.extend_from_slice(format!("\\x{byte:02x}...\"").as_bytes());
                out
            }
            Self::LongHeader { line } => {
                let line = line.of(buf);
                let mut out = b"client sent too long header line: \"".to_vec();
                out.extend_from_slice(line.get(..LOG_LIMIT).unwrap_or(line));
                out.extend_from_slice(b"...\"");
                out
            }
            Self::DuplicateHost { this, first } => duplicate(b"client sent duplicate host header: \"", *this, *first, buf),
            Self::DuplicateHeader { this, first } => duplicate(b"client sent duplicate header line: \"", *this, *first, buf),
            Self::UnknownEncoding { value } => {
                let mut out = b"client sent unknown \"Transfer-Encoding\": \"".to_vec();
                out.extend_from_slice(value.of(buf));
                out.push(b'"');
                out
            }
            other => other.to_string().into_bytes(),
        }
    }
}

/// [`HeadError::message`] without what it quotes.
impl fmt::Display for HeadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InvalidMethod => "client sent invalid method",
            Self::InvalidVersion => "client sent invalid version",
            Self::InvalidMethod09 => "client sent invalid method in HTTP/0.9 request",
            Self::LongUri => "client sent too long URI",
            Self::LargeRequest => "client sent too large request",
            Self::ManyHeaders => "client sent too many header lines",
            Self::InvalidHostInLine => "client sent invalid host in request line",
            Self::InvalidHost => "client sent invalid host header",
            Self::NoHost => "client sent HTTP/1.1 request without \"Host\" header",
            Self::InvalidLength => "client sent invalid \"Content-Length\" header",
            Self::EncodingIn10 => "client sent HTTP/1.0 request with \"Transfer-Encoding\" header",
            Self::LengthAndEncoding => "client sent \"Content-Length\" and \"Transfer-Encoding\" headers at the same time",
            Self::Connect => "client sent CONNECT method",
            Self::ConnectBody => "client sent CONNECT request with body",
            Self::Trace => "client sent TRACE method",
            Self::InvalidRequest => "client sent invalid request",
            Self::InvalidHeader { .. } => "client sent invalid header line",
            Self::LongHeader { .. } => "client sent too long header line",
            Self::DuplicateHost { .. } => "client sent duplicate host header",
            Self::DuplicateHeader { .. } => "client sent duplicate header line",
            Self::UnknownEncoding { .. } => "client sent unknown \"Transfer-Encoding\"",
        })
    }
}

impl std::error::Error for HeadError {}

/// nginx quotes at most its log line less 300 bytes.
const LOG_LIMIT: usize = 2048 - 300;

fn duplicate(lead: &[u8], this: HeaderSpan, first: HeaderSpan, buf: &[u8]) -> Vec<u8> {
    let mut out = lead.to_vec();
    for (between, span) in [(&b""[..], this.name), (b": ", this.value), (b"\", previous value: \"", first.name), (b": ", first.value)] {
        out.extend_from_slice(between);
        out.extend_from_slice(span.of(buf));
    }
    out.push(b'"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::known::Known;

    /// What is shown without the buffer is what is logged, up to what it quotes; the status is nginx's.
    #[test]
    fn messages_quote_the_buffer_behind_what_is_shown() {
        let buf = b"Host: a";
        let (name, value) = (Span::new(0, 4), Span::new(6, 7));
        let line = HeaderSpan { name, value, known: Known::of(b"host"), valid: true, control: false };
        let cases = [
            (HeadError::InvalidVersion, 505, ""),
            (HeadError::LongUri, 414, ""),
            (HeadError::ManyHeaders, 494, ""),
            (HeadError::Trace, 405, ""),
            (HeadError::InvalidHeader { before: name, byte: 0 }, 400, ": \"Host\\x00...\""),
            (HeadError::LongHeader { line: name }, 494, ": \"Host...\""),
            (HeadError::DuplicateHost { this: line, first: line }, 400, ": \"Host: a\", previous value: \"Host: a\""),
            (HeadError::UnknownEncoding { value }, 501, ": \"a\""),
        ];
        for (error, status, quoted) in cases {
            assert_eq!((error.status(), String::from_utf8(error.message(buf)).unwrap()), (status, format!("{error}{quoted}")), "{error:?}");
        }
    }
}
