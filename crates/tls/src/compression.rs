//! Compressed certificates (RFC 8879). rustls caches the result, so compression is rare.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use rustls::CertificateCompressionAlgorithm;
use rustls::compress::{CertCompressor, CompressionFailed, CompressionLevel};

/// By zlib.
#[derive(Debug)]
pub(crate) struct Zlib;

impl CertCompressor for Zlib {
    fn compress(&self, input: Vec<u8>, level: CompressionLevel) -> Result<Vec<u8>, CompressionFailed> {
        let level = match level {
            CompressionLevel::Interactive => Compression::fast(),
            CompressionLevel::Amortized => Compression::best(),
        };
        let mut encoder = ZlibEncoder::new(Vec::new(), level);
        encoder.write_all(&input).and_then(|()| encoder.finish()).map_err(|_| CompressionFailed)
    }

    fn algorithm(&self) -> CertificateCompressionAlgorithm {
        CertificateCompressionAlgorithm::Zlib
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;

    #[test]
    fn what_is_compressed_is_smaller_and_can_be_read() {
        let content = b"certificate ".repeat(100);
        for level in [CompressionLevel::Interactive, CompressionLevel::Amortized] {
            let packed = Zlib.compress(content.clone(), level).unwrap();
            let mut read = Vec::new();
            flate2::read::ZlibDecoder::new(&packed[..]).read_to_end(&mut read).unwrap();
            assert!(read == content && packed.len() < content.len() / 2);
        }
    }
}
