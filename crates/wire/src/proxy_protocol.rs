//! The PROXY protocol, versions 1 and 2: what a balancer says about a client before the client's own bytes
//! (HAProxy's `proxy-protocol.txt`).
//!
//! A sender may not begin with anything else, so the first byte that fits neither version refuses the connection. A
//! header may arrive in pieces; its length is bounded before a byte of it is believed.

pub mod write;

use crate::span::Span;
use crate::uri::hex;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The longest line of version 1, line end included (section 2.1).
const V1_MAX: usize = 107;
/// The longest header of version 2 that is accepted: as much as nginx reads for TLS and stream connections.
const V2_MAX: usize = 4096;
/// Signature, version and command, family and transport, length (section 2.2).
const V2_HEAD: usize = 16;
const V1_SIGNATURE: &[u8] = b"PROXY ";
const V2_SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// The two ends of the client's connection, as a header describes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// The client.
    pub client: SocketAddr,
    /// The address it connected to.
    pub server: SocketAddr,
    /// Where in the input the type-length-value records of version 2 stand.
    pub tlvs: Span,
}

/// The state of reading a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// More bytes must come.
    Partial,
    /// The header is whole.
    Complete {
        /// Its length; what follows are the client's bytes.
        len: usize,
        /// `None` where the sender speaks for itself (`LOCAL`) or of a protocol that is none of ours (`UNKNOWN`).
        ends: Option<Addresses>,
    },
}

/// The connection does not begin with a header; it must be closed without a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyError {
    /// No header, or one that contradicts itself.
    Broken,
    /// Version 2's signature with another version.
    Version(u8),
    /// Longer than is accepted.
    TooLarge,
}

impl ProxyError {
    /// nginx's log line; `data` is what was parsed.
    #[must_use]
    pub fn message(self, data: &[u8]) -> String {
        match self {
            ProxyError::Broken => {
                let line = data.split(|b| matches!(b, b'\r' | b'\n')).next().unwrap_or_default();
                let shown = line.get(..V1_MAX).unwrap_or(line);
                format!("broken header: \"{}\"", String::from_utf8_lossy(shown))
            }
            other => other.to_string(),
        }
    }
}

/// [`ProxyError::message`] without what it quotes.
impl fmt::Display for ProxyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ProxyError::Broken => f.write_str("broken header"),
            ProxyError::Version(version) => write!(f, "unknown PROXY protocol version: {version}"),
            ProxyError::TooLarge => f.write_str("header is too large"),
        }
    }
}

impl std::error::Error for ProxyError {}

/// Looks at all bytes that a connection has sent so far.
///
/// # Errors
/// [`ProxyError`].
pub fn parse(data: &[u8]) -> Result<Status, ProxyError> {
    let begins = |signature: &[u8]| data.iter().zip(signature).all(|(a, b)| a == b);
    if begins(V2_SIGNATURE) {
        if data.len() < V2_HEAD { Ok(Status::Partial) } else { version_2(data) }
    } else if begins(V1_SIGNATURE) {
        version_1(data)
    } else {
        Err(ProxyError::Broken)
    }
}

fn version_1(data: &[u8]) -> Result<Status, ProxyError> {
    let window = data.get(..V1_MAX).unwrap_or(data);
    let Some(end) = window.iter().position(|&b| b == b'\n') else {
        // What cannot become a header is not waited for.
        let family = window.get(V1_SIGNATURE.len()..).unwrap_or_default();
        let fits = |word: &&[u8]| family.iter().zip(word.iter()).all(|(a, b)| a == b);
        let may_become = [&b"TCP4 "[..], b"TCP6 ", b"UNKNOWN"].iter().any(fits);
        return if data.len() < V1_MAX && may_become { Ok(Status::Partial) } else { Err(ProxyError::Broken) };
    };
    let len = end + 1;
    let line = window.get(V1_SIGNATURE.len()..end).and_then(|line| line.strip_suffix(b"\r")).ok_or(ProxyError::Broken)?;
    if line == b"UNKNOWN" || line.starts_with(b"UNKNOWN ") {
        return Ok(Status::Complete { len, ends: None });
    }
    let text = std::str::from_utf8(line).map_err(|_| ProxyError::Broken)?;
    let ends = tcp(text).ok_or(ProxyError::Broken)?;
    Ok(Status::Complete { len, ends: Some(ends) })
}

/// `TCP4 client server port port`
fn tcp(line: &str) -> Option<Addresses> {
    let mut words = line.split(' ');
    // The client may be known by another header, and then it and the server need not be of one family; nginx sends such lines.
    words.next().filter(|word| matches!(*word, "TCP4" | "TCP6"))?;
    let mut address = || words.next()?.parse::<IpAddr>().ok();
    let (client, server) = (address()?, address()?);
    let mut port = || words.next().filter(|w| w.bytes().all(|b| b.is_ascii_digit()))?.parse::<u16>().ok();
    let (from, to) = (port()?, port()?);
    let ends = Addresses { client: SocketAddr::new(client, from), server: SocketAddr::new(server, to), tlvs: Span::default() };
    words.next().is_none().then_some(ends)
}

fn version_2(data: &[u8]) -> Result<Status, ProxyError> {
    let Some(&[command, family, high, low]) = data.get(V2_SIGNATURE.len()..V2_HEAD) else { return Ok(Status::Partial) };
    if command >> 4 != 2 {
        return Err(ProxyError::Version(command >> 4));
    }
    let len = V2_HEAD + usize::from(u16::from_be_bytes([high, low]));
    if len > V2_MAX {
        return Err(ProxyError::TooLarge);
    }
    let Some(body) = data.get(V2_HEAD..len) else { return Ok(Status::Partial) };
    let (is_proxy, is_stream) = (command & 15 == 1, family & 15 == 1);
    if !is_proxy || !is_stream {
        return Ok(Status::Complete { len, ends: None });
    }
    let found = match family >> 4 {
        1 => pair::<4>(body).map(|(a, b, ports)| (IpAddr::from(Ipv4Addr::from(a)), IpAddr::from(Ipv4Addr::from(b)), ports, 12)),
        2 => pair::<16>(body).map(|(a, b, ports)| (IpAddr::from(Ipv6Addr::from(a)), IpAddr::from(Ipv6Addr::from(b)), ports, 36)),
        _ => return Ok(Status::Complete { len, ends: None }),
    };
    let (client, server, (from, to), size) = found.ok_or(ProxyError::Broken)?;
    let ends =
        Addresses { client: SocketAddr::new(client, from), server: SocketAddr::new(server, to), tlvs: Span::new(V2_HEAD + size, len) };
    Ok(Status::Complete { len, ends: Some(ends) })
}

/// Two addresses of `N` bytes and two ports.
#[allow(clippy::type_complexity, reason = "one caller takes it apart at once")]
fn pair<const N: usize>(body: &[u8]) -> Option<([u8; N], [u8; N], (u16, u16))> {
    let (client, rest) = body.split_first_chunk::<N>()?;
    let (server, rest) = rest.split_first_chunk::<N>()?;
    let (from, rest) = rest.split_first_chunk::<2>()?;
    let (to, _) = rest.split_first_chunk::<2>()?;
    Some((*client, *server, (u16::from_be_bytes(*from), u16::from_be_bytes(*to))))
}

/// Why a record could not be looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlvError {
    /// A record is longer than what holds it.
    Broken,
    /// The name is no number after `0x`.
    Invalid,
    /// The name is none of those that have a number.
    Unknown,
}

impl fmt::Display for TlvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TlvError::Broken => "truncated TLV",
            TlvError::Invalid => "invalid TLV type",
            TlvError::Unknown => "unknown TLV name",
        })
    }
}

impl std::error::Error for TlvError {}

/// What a name leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tlv<'a> {
    /// The bytes of a record.
    Bytes(&'a [u8]),
    /// A number: the result of the client's certificate check.
    Number(u32),
}

/// A record by the name that nginx gives it in `$proxy_protocol_tlv_name`: `alpn`, `authority`, `unique_id`, `ssl`,
/// `netns`, `ssl_version`, `ssl_cn`, `ssl_cipher`, `ssl_sig_alg`, `ssl_key_alg`, `ssl_verify`, or a number as `0x..` and
/// `ssl_0x..`. `None`: the sender did not say.
///
/// # Errors
/// [`TlvError`].
pub fn find<'a>(tlvs: &'a [u8], name: &str) -> Result<Option<Tlv<'a>>, TlvError> {
    let Some(inner) = name.strip_prefix("ssl_") else {
        return Ok(lookup(tlvs, number(name, OUTER)?)?.map(Tlv::Bytes));
    };
    let Some(ssl) = lookup(tlvs, 0x20)? else { return Ok(None) };
    // A byte of flags and the result of the certificate check stand before the records inside.
    let Some((&[_, a, b, c, d], records)) = ssl.split_first_chunk::<5>() else { return Err(TlvError::Broken) };
    if inner == "verify" {
        return Ok(Some(Tlv::Number(u32::from_be_bytes([a, b, c, d]))));
    }
    Ok(lookup(records, number(inner, INNER)?)?.map(Tlv::Bytes))
}

const OUTER: &[(&str, u64)] = &[("alpn", 1), ("authority", 2), ("unique_id", 5), ("ssl", 0x20), ("netns", 0x30)];
const INNER: &[(&str, u64)] = &[("version", 0x21), ("cn", 0x22), ("cipher", 0x23), ("sig_alg", 0x24), ("key_alg", 0x25)];

fn number(name: &str, names: &[(&str, u64)]) -> Result<u64, TlvError> {
    if let Some(digits) = name.strip_prefix("0x") {
        let add = |sum: u64, byte: u8| Some(sum.checked_mul(16)? + u64::from(hex(byte)?));
        return digits.bytes().try_fold(0, add).filter(|_| !digits.is_empty()).ok_or(TlvError::Invalid);
    }
    names.iter().find(|(known, _)| *known == name).map(|(_, number)| *number).ok_or(TlvError::Unknown)
}

fn lookup(mut tlvs: &[u8], wanted: u64) -> Result<Option<&[u8]>, TlvError> {
    while !tlvs.is_empty() {
        let (&[kind, high, low], rest) = tlvs.split_first_chunk::<3>().ok_or(TlvError::Broken)?;
        let (value, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes([high, low]))).ok_or(TlvError::Broken)?;
        if u64::from(kind) == wanted {
            return Ok(Some(value));
        }
        tlvs = rest;
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(data: &[u8]) -> Option<(String, String)> {
        match parse(data).unwrap() {
            Status::Complete { ends, .. } => ends.map(|e| (e.client.to_string(), e.server.to_string())),
            Status::Partial => panic!("partial"),
        }
    }

    fn v2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let length = u16::try_from(body.len()).unwrap().to_be_bytes();
        [V2_SIGNATURE, &[command, family], &length, body].concat()
    }

    #[test]
    fn lines_of_version_1() {
        let (client, server) = ends(b"PROXY TCP4 192.0.2.1 192.0.2.2 123 5678\r\nGET").unwrap();
        assert_eq!((&*client, &*server), ("192.0.2.1:123", "192.0.2.2:5678"));
        assert_eq!(ends(b"PROXY TCP6 2001:Db8::1 ::2 1 2\r\n").unwrap().0, "[2001:db8::1]:1");
        let (client, server) = ends(b"PROXY TCP6 2001:db8::1 127.0.0.1 1 2\r\n").unwrap();
        assert_eq!((&*client, &*server), ("[2001:db8::1]:1", "127.0.0.1:2"));
        assert_eq!(ends(b"PROXY UNKNOWN\r\n"), None);
        assert_eq!(ends(b"PROXY UNKNOWN 1 2 3\r\n"), None);
        for bad in [
            "GET / HTTP/1.0\r\n",
            "PROXY TCP4 1.1.1.1 1.1.1.1 1 65536\r\n",
            "PROXY TCP4 1.1.1.1 1.1.1.1 1 +2\r\n",
            "PROXY TCP4 1.1.1.1 1.1.1.1 1 2 3\r\n",
            "PROXY TCP4 1.1.1.1 1.1.1.1 1 2\n",
            "PROXY UDP4 1.1.1.1 1.1.1.1 1 2\r\n",
            "PROXY UNKNOWNX\r\n",
            "PROXY \r\n",
            "PROXY I",
            "PROXY TCP5",
        ] {
            assert_eq!(parse(bad.as_bytes()), Err(ProxyError::Broken), "{bad}");
        }
        for begun in ["PR", "PROXY ", "PROXY T", "PROXY TCP6 2001:", "PROXY UNKNOWN 1 2"] {
            assert_eq!(parse(begun.as_bytes()), Ok(Status::Partial), "{begun}");
        }
    }

    #[test]
    fn length_is_bounded() {
        let long = [b"PROXY UNKNOWN ".as_slice(), &[b'x'; V1_MAX]].concat();
        assert_eq!(parse(&long), Err(ProxyError::Broken));
        assert_eq!(parse(long.get(..V1_MAX - 1).unwrap()), Ok(Status::Partial));
        let huge = v2(0x21, 0x11, &vec![0; V2_MAX]);
        assert_eq!(parse(huge.get(..V2_HEAD).unwrap()), Err(ProxyError::TooLarge));
    }

    #[test]
    fn version_2_of_both_families() {
        let four = v2(0x21, 0x11, &[192, 0, 2, 1, 192, 0, 2, 2, 0, 123, 0x16, 0x2e, 1, 0, 1, b'a']);
        assert_eq!(ends(&four).unwrap(), ("192.0.2.1:123".to_owned(), "192.0.2.2:5678".to_owned()));
        let Ok(Status::Complete { len, ends: Some(found) }) = parse(&four) else { panic!() };
        assert_eq!((len, found.tlvs.of(&four)), (four.len(), &b"\x01\0\x01a"[..]));
        let mut six = [0; 36];
        (six[15], six[31], six[33], six[35]) = (1, 2, 3, 4);
        assert_eq!(ends(&v2(0x21, 0x21, &six)).unwrap(), ("[::1]:3".to_owned(), "[::2]:4".to_owned()));
        assert_eq!(ends(&v2(0x20, 0, b"")), None);
        assert_eq!(ends(&v2(0x21, 0x31, &[0; 216])), None);
        assert_eq!(parse(&v2(0x21, 0x11, &[0; 11])), Err(ProxyError::Broken));
        assert_eq!(parse(&v2(0x31, 0x11, b"")), Err(ProxyError::Version(3)));
    }

    #[test]
    fn records_by_name_and_number() {
        let tlvs = b"\x01\0\x02h2\x20\0\x0c\x01\0\0\0\xff\x22\0\x04a.de\xae\0\0";
        let bytes = |name: &str| find(tlvs, name);
        assert_eq!(bytes("alpn"), Ok(Some(Tlv::Bytes(b"h2"))));
        assert_eq!(bytes("0x001"), Ok(Some(Tlv::Bytes(b"h2"))));
        assert_eq!(bytes("ssl_cn"), Ok(Some(Tlv::Bytes(b"a.de"))));
        assert_eq!(bytes("ssl_0x22"), Ok(Some(Tlv::Bytes(b"a.de"))));
        assert_eq!(bytes("ssl_verify"), Ok(Some(Tlv::Number(255))));
        assert_eq!(bytes("0xae"), Ok(Some(Tlv::Bytes(b""))));
        assert_eq!(bytes("netns"), Ok(None));
        assert_eq!(bytes("0x"), Err(TlvError::Invalid));
        assert_eq!(bytes("0xg"), Err(TlvError::Invalid));
        assert_eq!(bytes("name"), Err(TlvError::Unknown));
        assert_eq!(find(b"\x01\0\x09h2", "alpn"), Err(TlvError::Broken));
        assert_eq!(find(b"\x20\0\x01x", "ssl_cn"), Err(TlvError::Broken));
    }
}
