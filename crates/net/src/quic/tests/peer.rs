//! A QUIC client for tests of all layers.

use quinn_proto::ConnectionError;

/// The code of who closed a connection.
pub(crate) fn code(error: &ConnectionError) -> Option<u64> {
    match error {
        ConnectionError::ConnectionClosed(close) => Some(close.error_code.into()),
        ConnectionError::ApplicationClosed(close) => Some(close.error_code.into_inner()),
        _ => None,
    }
}

/// The first datagram of a client whose ClientHello goes on in another one, which never comes.
pub(crate) fn beginning(number: u32) -> Vec<u8> {
    let id = [&[7; 4][..], &number.to_be_bytes()].concat();
    let suite = rustls::crypto::aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256.tls13().unwrap().quic_suite().unwrap();
    let keys = suite.keys(&id, rustls::Side::Client, rustls::quic::Version::V1).local;
    // CRYPTO at offset 0 with the first bytes of a long message, then padding.
    let mut payload = vec![6, 0, 4, 1, 0, 4, 0];
    payload.resize(1158, 0);
    let mut packet = [&[0xc0, 0, 0, 0, 1, 8][..], &id, &[0, 0]].concat();
    packet.extend_from_slice(&(0x4000 | (payload.len() + 17) as u16).to_be_bytes());
    let number_at = packet.len();
    packet.push(0);
    let tag = keys.packet.encrypt_in_place(0, &packet, &mut payload).unwrap();
    packet.extend_from_slice(&payload);
    packet.extend_from_slice(tag.as_ref());
    packet.resize(1200, 0);
    let sample: Vec<u8> = packet[number_at + 4..number_at + 20].to_vec();
    let (head, rest) = packet.split_at_mut(number_at);
    keys.header.encrypt_in_place(&sample, &mut head[0], &mut rest[..1]).unwrap();
    packet
}
