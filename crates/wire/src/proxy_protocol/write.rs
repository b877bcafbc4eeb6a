//! Encoding of PROXY protocol headers (HAProxy's `proxy-protocol.txt`).

use super::{V2_HEAD, V2_SIGNATURE};
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// The two ends of a client's connection.
pub type Pair = (SocketAddr, SocketAddr);

/// What TLS with the client is said to be in version 2.
#[derive(Clone, Copy, Debug, Default)]
pub struct TlsRecords<'a> {
    /// The name that the client asked for.
    pub authority: Option<&'a [u8]>,
    /// What is spoken.
    pub alpn: Option<&'a [u8]>,
    /// OpenSSL's name of the version.
    pub version: &'a str,
    /// OpenSSL's name of the suite.
    pub cipher: &'a str,
    /// The common name in the client's certificate.
    pub common_name: Option<&'a str>,
    /// The client has shown a certificate: in this session, or in the one that it resumes.
    pub certificate: Option<TlsClientCertificate>,
}

/// A client's certificate.
#[derive(Clone, Copy, Debug)]
pub struct TlsClientCertificate {
    /// The session is resumed: the certificate was shown before.
    pub resumed: bool,
    /// OpenSSL's code of what is wrong with it; 0 is nothing.
    pub verdict: u32,
}

/// Appends a header of version 1; `None` is a client that has no address.
pub fn version_1(client: Option<SocketAddr>, server: SocketAddr, out: &mut Vec<u8>) {
    let Some(client) = client else {
        out.extend_from_slice(b"PROXY UNKNOWN\r\n");
        return;
    };
    let family = if client.is_ipv4() { "TCP4" } else { "TCP6" };
    // Writing to a Vec cannot fail.
    let _ = write!(out, "PROXY {family} {} {} {} {}\r\n", client.ip(), server.ip(), client.port(), server.port());
}

/// Appends a header of version 2; `None` is a client or a server without an address. `is_datagram` is said of the client.
pub fn version_2(ends: Option<Pair>, is_datagram: bool, tls: Option<&TlsRecords<'_>>, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(V2_SIGNATURE);
    let transport = if is_datagram { 2 } else { 1 };
    match ends.map(|(client, server)| (client, server, v4_ends(client.ip(), server.ip()))) {
        // The sender speaks for itself.
        None => out.extend_from_slice(&[0x20, 0, 0, 0]),
        Some((client, server, Some((from, to)))) => {
            out.extend_from_slice(&[0x21, 0x10 | transport, 0, 0]);
            out.extend_from_slice(&from.octets());
            out.extend_from_slice(&to.octets());
            push_ports(client, server, out);
        }
        Some((client, server, None)) => {
            out.extend_from_slice(&[0x21, 0x20 | transport, 0, 0]);
            for end in [client, server] {
                let ip = match end.ip() {
                    IpAddr::V4(ip) => ip.to_ipv6_mapped(),
                    IpAddr::V6(ip) => ip,
                };
                out.extend_from_slice(&ip.octets());
            }
            push_ports(client, server, out);
        }
    }
    if let Some(tls) = tls {
        push_tls(tls, out);
    }
    // The checksum covers itself as zeroes.
    out.extend_from_slice(&[0x03, 0, 4, 0, 0, 0, 0]);
    let length = out.len() - start - V2_HEAD;
    put(out, start + V2_HEAD - 2, &u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes());
    let sum = crc32c(out.get(start..).unwrap_or_default());
    let end = out.len() - 4;
    put(out, end, &sum.to_be_bytes());
}

fn push_ports(client: SocketAddr, server: SocketAddr, out: &mut Vec<u8>) {
    out.extend_from_slice(&client.port().to_be_bytes());
    out.extend_from_slice(&server.port().to_be_bytes());
}

/// Both ends as IPv4, if both are: also where they are written as IPv6.
fn v4_ends(client: IpAddr, server: IpAddr) -> Option<(Ipv4Addr, Ipv4Addr)> {
    let (mapped, v4) = (|ip: IpAddr| ip.to_canonical(), |ip| if let IpAddr::V4(ip) = ip { Some(ip) } else { None });
    match client.is_ipv6() == server.is_ipv6() {
        true => Some((v4(mapped(client))?, v4(mapped(server))?)),
        false => None,
    }
}

fn push_tls(tls: &TlsRecords<'_>, out: &mut Vec<u8>) {
    for (number, value) in [(0x02, tls.authority), (0x01, tls.alpn)] {
        if let Some(value) = value {
            push_record(number, value, out);
        }
    }
    let mut inner = vec![0x01];
    if let Some(shown) = tls.certificate {
        inner = vec![if shown.resumed { 0x05 } else { 0x07 }];
    }
    // Without a certificate nothing is known of it: OpenSSL's "unspecified".
    inner.extend_from_slice(&tls.certificate.map_or(1, |shown| shown.verdict).to_be_bytes());
    push_record(0x21, tls.version.as_bytes(), &mut inner);
    if let Some(name) = tls.common_name {
        push_record(0x22, name.as_bytes(), &mut inner);
    }
    push_record(0x23, tls.cipher.as_bytes(), &mut inner);
    push_record(0x20, &inner, out);
}

fn push_record(number: u8, value: &[u8], out: &mut Vec<u8>) {
    let length = u16::try_from(value.len()).unwrap_or(u16::MAX);
    out.push(number);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(value.get(..usize::from(length)).unwrap_or(value));
}

fn put(out: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(place) = out.get_mut(at..at + bytes.len()) {
        place.copy_from_slice(bytes);
    }
}

/// The checksum with Castagnoli's polynomial, as iSCSI has it (RFC 3720 appendix B.4).
fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| (crc >> 1) ^ (0x82f6_3b78 & 0u32.wrapping_sub(crc & 1));
    !bytes.iter().fold(u32::MAX, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy_protocol::{Addresses, Status, Tlv, find, parse};

    fn addresses(client: &str, server: &str) -> Pair {
        (client.parse().unwrap(), server.parse().unwrap())
    }

    #[test]
    fn the_checksum_is_the_standards() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
    }

    #[test]
    fn version_1_is_a_line() {
        let mut out = Vec::new();
        let (client, server) = addresses("192.0.2.1:123", "192.0.2.2:80");
        version_1(Some(client), server, &mut out);
        assert_eq!(out, b"PROXY TCP4 192.0.2.1 192.0.2.2 123 80\r\n");
        out.clear();
        version_1(None, server, &mut out);
        assert_eq!(out, b"PROXY UNKNOWN\r\n");
    }

    #[test]
    fn what_is_written_is_read() {
        let tls = TlsRecords {
            authority: Some(b"example.com"),
            alpn: Some(b"h2"),
            version: "TLSv1.3",
            cipher: "TLS_AES_128_GCM_SHA256",
            common_name: Some("me"),
            certificate: Some(TlsClientCertificate { resumed: true, verdict: 18 }),
        };
        for (client, server) in [
            addresses("192.0.2.1:123", "192.0.2.2:80"),
            addresses("[2001:db8::1]:123", "[2001:db8::2]:80"),
            addresses("192.0.2.1:1", "[2001:db8::2]:80"),
        ] {
            let mut out = Vec::new();
            version_2(Some((client, server)), false, Some(&tls), &mut out);
            let Ok(Status::Complete { len, ends: Some(Addresses { client: from, server: to, tlvs }) }) = parse(&out) else {
                panic!("{out:?}")
            };
            assert_eq!((len, from.ip().to_canonical(), from.port(), to), (out.len(), client.ip(), client.port(), server));
            let tlvs = tlvs.of(&out);
            for (name, value) in [("authority", &b"example.com"[..]), ("alpn", b"h2"), ("ssl_version", b"TLSv1.3"), ("ssl_cn", b"me")] {
                assert_eq!(find(tlvs, name), Ok(Some(Tlv::Bytes(value))), "{name}");
            }
            assert_eq!(find(tlvs, "ssl_verify"), Ok(Some(Tlv::Number(18))));
        }
    }

    #[test]
    fn who_has_no_address_speaks_for_himself() {
        let mut out = Vec::new();
        version_2(None, false, None, &mut out);
        assert!(matches!(parse(&out), Ok(Status::Complete { len, ends: None }) if len == out.len()));
        out.clear();
        version_2(Some(addresses("[::ffff:192.0.2.1]:1", "[::ffff:192.0.2.2]:2")), true, None, &mut out);
        assert_eq!(out.get(12..20), Some(&[0x21, 0x12, 0, 19, 192, 0, 2, 1][..]));
    }
}
