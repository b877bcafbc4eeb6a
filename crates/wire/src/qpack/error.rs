//! Errors of field sections and of the encoder and decoder streams.

use std::fmt;

/// Why a field section cannot be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SectionError {
    /// It is no section, or refers to what is not there: QPACK_DECOMPRESSION_FAILED.
    Failed(&'static str),
    /// A string above [`crate::hpack::Limits::string`].
    StringTooLarge,
    /// More than [`crate::hpack::Limits::total`].
    TooLarge,
}

impl fmt::Display for SectionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SectionError::Failed(reason) => reason,
            SectionError::StringTooLarge => "too large string",
            SectionError::TooLarge => "too large field section",
        })
    }
}

impl std::error::Error for SectionError {}

/// Why the peer's encoder or decoder stream ends the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamError {
    /// QPACK_ENCODER_STREAM_ERROR
    Encoder(&'static str),
    /// QPACK_DECODER_STREAM_ERROR
    Decoder(&'static str),
    /// A string above [`crate::hpack::Limits::string`].
    TooLarge,
}

impl fmt::Display for StreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            StreamError::Encoder(reason) | StreamError::Decoder(reason) => reason,
            StreamError::TooLarge => "too large string",
        })
    }
}

impl std::error::Error for StreamError {}
