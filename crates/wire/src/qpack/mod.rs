//! Header compression of HTTP/3 (RFC 9204) without input and output.
//!
//! A field section never changes a table; what does comes on streams of its own, so a section may have to wait for that. Integers, the
//! Huffman code and the table's entries are those of [`crate::hpack`].

mod decoder;
mod encoder;
mod error;
mod names;

#[cfg(test)]
mod tests;

pub use decoder::{Decoder, Section};
pub use encoder::Encoder;
pub use error::{SectionError, StreamError};
pub use names::STATIC;
