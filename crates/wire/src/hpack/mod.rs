//! Header compression of HTTP/2 (RFC 7541), with the parts that HTTP/3's QPACK shares: integers, the Huffman code.

pub(crate) mod decoder;
pub(crate) mod encoder;
pub(crate) mod huffman;
pub mod integer;
mod list;
pub mod tables;

#[cfg(test)]
mod tests;

pub use decoder::{Decoder, Field, Fields, HpackError, Limits};
pub use encoder::Encoder;
pub use list::FieldList;
