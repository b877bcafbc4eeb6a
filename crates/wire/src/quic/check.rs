//! Invariants that hold for the bytes of any datagram.

use super::crypto::{CryptoStream, LONGEST};
use super::header::{Header, initials};
use super::varint;

/// Headers and packets stay within the datagram, and a message is the same in whatever pieces it comes.
pub fn quic_datagram(data: &[u8]) {
    if let Some((number, rest)) = varint::take(data) {
        let mut again = Vec::new();
        varint::put(&mut again, number);
        assert!(again.len() <= data.len() - rest.len());
        assert_eq!(varint::take(&again), Some((number, &[][..])));
    }
    for length in [0, 8, 20] {
        if let Some(header) = Header::parse(data, length) {
            assert!(header.destination().len() < data.len());
        }
    }
    let mut sum = 0;
    for initial in initials(data) {
        assert!(initial.number_at <= initial.packet.len());
        sum += initial.packet.len();
    }
    assert!(sum <= data.len());
    let mut stream = CryptoStream::new();
    let result = stream.read(data);
    assert!(stream.bytes().len() <= LONGEST);
    if let Some(message) = stream.message() {
        assert!(message.len() >= 4 && stream.bytes().starts_with(message));
        assert!(!stream.is_hopeless());
        if result.is_ok() {
            // What comes again changes nothing.
            let before = message.to_vec();
            assert!(stream.read(data).is_ok());
            assert_eq!(stream.message().map(<[u8]>::len), Some(before.len()));
        }
    }
}
