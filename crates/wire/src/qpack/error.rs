//! Errors of field sections and of the encoder and decoder streams.

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
