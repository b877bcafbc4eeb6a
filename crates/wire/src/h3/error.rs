//! Error codes (RFC 9114, 8.1 and RFC 9204, 6), and what ends a connection.

use crate::h2::budget::Flood;
use crate::qpack::StreamError;
use std::borrow::Cow;
use std::fmt;

/// A code as it stands in RESET_STREAM, STOP_SENDING and CONNECTION_CLOSE; unknown ones are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code(pub u64);

impl Code {
    /// Nothing is wrong.
    pub const NO_ERROR: Self = Self(0x100);
    /// The peer broke the protocol, and no other code says how.
    pub const GENERAL_PROTOCOL_ERROR: Self = Self(0x101);
    /// The endpoint failed for reasons of its own.
    pub const INTERNAL_ERROR: Self = Self(0x102);
    /// A stream that must not be there.
    pub const STREAM_CREATION_ERROR: Self = Self(0x103);
    /// A stream has ended that the connection needs.
    pub const CLOSED_CRITICAL_STREAM: Self = Self(0x104);
    /// A frame where it must not be.
    pub const FRAME_UNEXPECTED: Self = Self(0x105);
    /// A frame whose content or size is wrong.
    pub const FRAME_ERROR: Self = Self(0x106);
    /// The peer asks for more than is reasonable.
    pub const EXCESSIVE_LOAD: Self = Self(0x107);
    /// An identifier is used wrongly.
    pub const ID_ERROR: Self = Self(0x108);
    /// The SETTINGS frame is malformed or holds a setting that must not be there.
    pub const SETTINGS_ERROR: Self = Self(0x109);
    /// The control stream does not begin with settings.
    pub const MISSING_SETTINGS: Self = Self(0x10a);
    /// The request was not looked at; it may be sent again.
    pub const REQUEST_REJECTED: Self = Self(0x10b);
    /// The request or its response is no longer wanted.
    pub const REQUEST_CANCELLED: Self = Self(0x10c);
    /// The stream ended before the request was whole.
    pub const REQUEST_INCOMPLETE: Self = Self(0x10d);
    /// The message is malformed.
    pub const MESSAGE_ERROR: Self = Self(0x10e);
    /// The connection behind CONNECT broke.
    pub const CONNECT_ERROR: Self = Self(0x10f);
    /// HTTP/1.1 is wanted instead.
    pub const VERSION_FALLBACK: Self = Self(0x110);
    /// A field section cannot be decoded.
    pub const DECOMPRESSION_FAILED: Self = Self(0x200);
    /// The encoder stream is wrong.
    pub const ENCODER_STREAM_ERROR: Self = Self(0x201);
    /// The decoder stream is wrong.
    pub const DECODER_STREAM_ERROR: Self = Self(0x202);
}

/// The name of the RFC, or the number of a code that none defines.
impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match *self {
            Self::NO_ERROR => "H3_NO_ERROR",
            Self::GENERAL_PROTOCOL_ERROR => "H3_GENERAL_PROTOCOL_ERROR",
            Self::INTERNAL_ERROR => "H3_INTERNAL_ERROR",
            Self::STREAM_CREATION_ERROR => "H3_STREAM_CREATION_ERROR",
            Self::CLOSED_CRITICAL_STREAM => "H3_CLOSED_CRITICAL_STREAM",
            Self::FRAME_UNEXPECTED => "H3_FRAME_UNEXPECTED",
            Self::FRAME_ERROR => "H3_FRAME_ERROR",
            Self::EXCESSIVE_LOAD => "H3_EXCESSIVE_LOAD",
            Self::ID_ERROR => "H3_ID_ERROR",
            Self::SETTINGS_ERROR => "H3_SETTINGS_ERROR",
            Self::MISSING_SETTINGS => "H3_MISSING_SETTINGS",
            Self::REQUEST_REJECTED => "H3_REQUEST_REJECTED",
            Self::REQUEST_CANCELLED => "H3_REQUEST_CANCELLED",
            Self::REQUEST_INCOMPLETE => "H3_REQUEST_INCOMPLETE",
            Self::MESSAGE_ERROR => "H3_MESSAGE_ERROR",
            Self::CONNECT_ERROR => "H3_CONNECT_ERROR",
            Self::VERSION_FALLBACK => "H3_VERSION_FALLBACK",
            Self::DECOMPRESSION_FAILED => "QPACK_DECOMPRESSION_FAILED",
            Self::ENCODER_STREAM_ERROR => "QPACK_ENCODER_STREAM_ERROR",
            Self::DECODER_STREAM_ERROR => "QPACK_DECODER_STREAM_ERROR",
            Self(code) => return write!(f, "{code:#x}"),
        })
    }
}

/// The connection is over: what is in the buffers may still be sent, then CONNECTION_CLOSE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What CONNECTION_CLOSE says.
    pub code: Code,
    /// What is logged, at the level info.
    pub text: Cow<'static, str>,
    /// nginx's reason phrase.
    pub reason: &'static str,
}

/// What is logged, at the level info.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Failure {}

impl Failure {
    /// A failure with this code and text.
    pub fn new(code: Code, text: impl Into<Cow<'static, str>>) -> Self {
        Self { code, text: text.into(), reason: "stream error" }
    }

    /// A frame stands where it must not.
    pub(super) fn unexpected(kind: u64) -> Self {
        Self::new(Code::FRAME_UNEXPECTED, format!("client sent unexpected frame of type {kind:#x}"))
    }

    /// The length of a frame is wrong.
    pub(super) fn size(frame: &str) -> Self {
        Self::new(Code::FRAME_ERROR, format!("client sent {frame} frame with incorrect length"))
    }
}

impl From<Flood> for Failure {
    fn from(_: Flood) -> Self {
        Self { code: Code::EXCESSIVE_LOAD, text: "http3 flood detected".into(), reason: "HTTP/3 flood detected" }
    }
}

impl From<StreamError> for Failure {
    fn from(error: StreamError) -> Self {
        match error {
            StreamError::Encoder(text) => Self::new(Code::ENCODER_STREAM_ERROR, text),
            StreamError::Decoder(text) => Self::new(Code::DECODER_STREAM_ERROR, text),
            StreamError::TooLarge => Self::new(Code::EXCESSIVE_LOAD, "client sent too large field line"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Code;

    /// RFC 9114, 8.1 and RFC 9204, 6.
    #[test]
    fn codes_have_the_names_of_the_rfcs() {
        let cases = [
            (0x100, "H3_NO_ERROR"),
            (0x101, "H3_GENERAL_PROTOCOL_ERROR"),
            (0x107, "H3_EXCESSIVE_LOAD"),
            (0x10b, "H3_REQUEST_REJECTED"),
            (0x110, "H3_VERSION_FALLBACK"),
            (0x200, "QPACK_DECOMPRESSION_FAILED"),
            (0x201, "QPACK_ENCODER_STREAM_ERROR"),
            (0x202, "QPACK_DECODER_STREAM_ERROR"),
            (0x111, "0x111"),
            (0, "0x0"),
        ];
        for (code, name) in cases {
            assert_eq!(Code(code).to_string(), name);
        }
    }
}
