//! Error codes (RFC 9113, 7), and what ends a connection.

use std::borrow::Cow;
use std::fmt;

/// A 32-bit error code as it stands in RST_STREAM and GOAWAY; unknown ones are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrorCode(pub u32);

impl ErrorCode {
    /// Nothing is wrong.
    pub const NO_ERROR: Self = Self(0);
    /// The peer broke the protocol.
    pub const PROTOCOL_ERROR: Self = Self(1);
    /// The endpoint failed for reasons of its own.
    pub const INTERNAL_ERROR: Self = Self(2);
    /// A window was exceeded or overflowed.
    pub const FLOW_CONTROL_ERROR: Self = Self(3);
    /// Settings were not acknowledged in time.
    pub const SETTINGS_TIMEOUT: Self = Self(4);
    /// A frame came for a stream that had ended.
    pub const STREAM_CLOSED: Self = Self(5);
    /// A frame's size is wrong.
    pub const FRAME_SIZE_ERROR: Self = Self(6);
    /// The stream was not looked at; the request may be sent again.
    pub const REFUSED_STREAM: Self = Self(7);
    /// The stream is no longer wanted.
    pub const CANCEL: Self = Self(8);
    /// A header block could not be read.
    pub const COMPRESSION_ERROR: Self = Self(9);
    /// The connection behind CONNECT broke.
    pub const CONNECT_ERROR: Self = Self(10);
    /// The peer asks for more than is reasonable.
    pub const ENHANCE_YOUR_CALM: Self = Self(11);
    /// The connection's TLS does not meet RFC 9113, 9.2.
    pub const INADEQUATE_SECURITY: Self = Self(12);
    /// HTTP/1.1 is wanted instead.
    pub const HTTP_1_1_REQUIRED: Self = Self(13);
}

/// The name of the RFC, or the number of a code that none defines.
impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match *self {
            Self::NO_ERROR => "NO_ERROR",
            Self::PROTOCOL_ERROR => "PROTOCOL_ERROR",
            Self::INTERNAL_ERROR => "INTERNAL_ERROR",
            Self::FLOW_CONTROL_ERROR => "FLOW_CONTROL_ERROR",
            Self::SETTINGS_TIMEOUT => "SETTINGS_TIMEOUT",
            Self::STREAM_CLOSED => "STREAM_CLOSED",
            Self::FRAME_SIZE_ERROR => "FRAME_SIZE_ERROR",
            Self::REFUSED_STREAM => "REFUSED_STREAM",
            Self::CANCEL => "CANCEL",
            Self::COMPRESSION_ERROR => "COMPRESSION_ERROR",
            Self::CONNECT_ERROR => "CONNECT_ERROR",
            Self::ENHANCE_YOUR_CALM => "ENHANCE_YOUR_CALM",
            Self::INADEQUATE_SECURITY => "INADEQUATE_SECURITY",
            Self::HTTP_1_1_REQUIRED => "HTTP_1_1_REQUIRED",
            Self(code) => return write!(f, "{code}"),
        })
    }
}

/// The connection is over. GOAWAY is already written: send what is in the output, then close.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What GOAWAY says.
    pub code: ErrorCode,
    /// What nginx logs, at the level info.
    pub text: Cow<'static, str>,
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
    pub fn new(code: ErrorCode, text: impl Into<Cow<'static, str>>) -> Self {
        Self { code, text: text.into() }
    }

    /// The peer broke the protocol.
    pub fn protocol(text: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorCode::PROTOCOL_ERROR, text)
    }

    /// A frame of this type has a wrong size.
    #[must_use]
    pub fn size(frame: &str, len: usize) -> Self {
        Self::new(ErrorCode::FRAME_SIZE_ERROR, format!("client sent {frame} frame with incorrect length {len}"))
    }

    /// A frame of this type stands on a stream where it must not, or on none.
    #[must_use]
    pub fn identifier(frame: &str) -> Self {
        Self::protocol(format!("client sent {frame} frame with incorrect identifier"))
    }
}

#[cfg(test)]
mod tests {
    use super::{ErrorCode, Failure};

    /// RFC 9113, 7 numbers them from 0 to 13; others stand for themselves.
    #[test]
    fn codes_have_the_names_of_the_rfc() {
        let names = [
            "NO_ERROR",
            "PROTOCOL_ERROR",
            "INTERNAL_ERROR",
            "FLOW_CONTROL_ERROR",
            "SETTINGS_TIMEOUT",
            "STREAM_CLOSED",
            "FRAME_SIZE_ERROR",
            "REFUSED_STREAM",
            "CANCEL",
            "COMPRESSION_ERROR",
            "CONNECT_ERROR",
            "ENHANCE_YOUR_CALM",
            "INADEQUATE_SECURITY",
            "HTTP_1_1_REQUIRED",
            "14",
        ];
        for (code, name) in (0..).zip(names) {
            assert_eq!(ErrorCode(code).to_string(), name);
        }
        assert_eq!(ErrorCode(u32::MAX).to_string(), "4294967295");
    }

    #[test]
    fn a_failure_is_shown_as_it_is_logged() {
        assert_eq!(Failure::size("PING", 7).to_string(), "client sent PING frame with incorrect length 7");
        assert_eq!(Failure::identifier("DATA").to_string(), "client sent DATA frame with incorrect identifier");
    }
}
