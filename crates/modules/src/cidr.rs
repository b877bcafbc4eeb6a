//! Networks in CIDR notation, addresses in text, and the client address behind trusted proxies.

use base::authority::parse_socket_address;
use session::Address;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// A network in CIDR notation (RFC 4632), or all unix sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cidr {
    /// IPv4: address and prefix length.
    V4(u32, u8),
    /// IPv6: address and prefix length.
    V6(u128, u8),
    /// `unix:`
    Unix,
}

/// The bits of an IPv4 address that a prefix keeps.
pub(crate) fn mask_v4(bits: u32, prefix: u8) -> u32 {
    if prefix == 0 { 0 } else { bits & (u32::MAX << (32 - u32::from(prefix.min(32)))) }
}

/// The bits of an IPv6 address that a prefix keeps.
pub(crate) fn mask_v6(bits: u128, prefix: u8) -> u128 {
    if prefix == 0 { 0 } else { bits & (u128::MAX << (128 - u32::from(prefix.min(128)))) }
}

impl Cidr {
    /// Parses `1.2.3.0/24`, `2001:db8::/32`, or an address alone. Bits below the prefix are cleared, as nginx does.
    pub(crate) fn parse(text: &[u8]) -> Option<Cidr> {
        Cidr::parse_exactly(text).map(|(cidr, _)| cidr)
    }

    /// As [`Cidr::parse`] for a configuration, with nginx's warning of bits that were cleared.
    pub(crate) fn read(text: &[u8], warn: impl FnOnce(String)) -> Option<Cidr> {
        let (cidr, exact) = Cidr::parse_exactly(text)?;
        if !exact {
            warn(format!("low address bits of {} are meaningless", String::from_utf8_lossy(text)));
        }
        Some(cidr)
    }

    /// The network, and whether no bits had to be cleared.
    fn parse_exactly(text: &[u8]) -> Option<(Cidr, bool)> {
        let text = std::str::from_utf8(text).ok()?;
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(base::text::parse_number(prefix.as_bytes())?)),
            None => (text, None),
        };
        match address.parse::<IpAddr>().ok()? {
            IpAddr::V4(v4) => {
                let prefix = u8::try_from(prefix.unwrap_or(32)).ok().filter(|p| *p <= 32)?;
                let bits = mask_v4(v4.to_bits(), prefix);
                Some((Cidr::V4(bits, prefix), bits == v4.to_bits()))
            }
            IpAddr::V6(v6) => {
                let prefix = u8::try_from(prefix.unwrap_or(128)).ok().filter(|p| *p <= 128)?;
                let bits = mask_v6(v6.to_bits(), prefix);
                Some((Cidr::V6(bits, prefix), bits == v6.to_bits()))
            }
        }
    }

    /// The network of one address.
    pub(crate) fn of(ip: IpAddr) -> Cidr {
        match ip {
            IpAddr::V4(v4) => Cidr::V4(v4.to_bits(), 32),
            IpAddr::V6(v6) => Cidr::V6(v6.to_bits(), 128),
        }
    }

    /// Whether the address is in the network. An IPv4 client of an IPv6 socket counts as IPv4.
    pub(crate) fn contains(self, address: &Address) -> bool {
        match (self, numeric(address)) {
            (Cidr::Unix, None) => true,
            (Cidr::V4(network, prefix), Some(IpAddr::V4(v4))) => mask_v4(v4.to_bits(), prefix) == network,
            (Cidr::V6(network, prefix), Some(IpAddr::V6(v6))) => mask_v6(v6.to_bits(), prefix) == network,
            _ => false,
        }
    }
}

/// The address as a number, a mapped one as IPv4; `None` for unix sockets.
pub(crate) fn numeric(address: &Address) -> Option<IpAddr> {
    match address {
        Address::Ip(SocketAddr::V4(v4)) => Some(IpAddr::V4(*v4.ip())),
        Address::Ip(SocketAddr::V6(v6)) => Some(v6.ip().to_ipv4_mapped().map_or(IpAddr::V6(*v6.ip()), IpAddr::V4)),
        Address::Unix(_) => None,
    }
}

/// Parses an address with or without a port, and `unix:`; a missing port is 0.
pub(crate) fn parse_address(text: &[u8]) -> Option<Address> {
    if text.starts_with(b"unix:") {
        return Some(Address::Unix(None));
    }
    parse_socket_address(text).map(Address::Ip)
}

/// The client that trusted proxies name in a list such as `X-Forwarded-For`: the last address, or with `recursive`
/// the last that is not trusted. `None` if `peer` is not trusted or nothing usable is there.
pub(crate) fn forwarded(peer: &Address, list: &[u8], proxies: &[Cidr], recursive: bool) -> Option<Address> {
    let trusted = |address: &Address| proxies.iter().any(|cidr| cidr.contains(address));
    if !trusted(peer) {
        return None;
    }
    let mut found: Option<Address> = None;
    for item in list.rsplit(|b| matches!(b, b' ' | b',')).filter(|item| !item.is_empty()) {
        if let Some(address) = &found
            && (!recursive || !trusted(address))
        {
            break;
        }
        match parse_address(item) {
            Some(address) => found = Some(address),
            None => break,
        }
    }
    found
}

/// `0.0.0.0` to `255.255.255.255` as text, for messages.
pub(crate) fn show_v4(bits: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> Address {
        parse_address(text.as_bytes()).unwrap()
    }

    #[test]
    fn networks() {
        let mut warned = Vec::new();
        for text in ["10.1.2.3/8", "10.0.0.0/8", "10.1.2.3", "2001:db8::1/32", "::1"] {
            assert!(Cidr::read(text.as_bytes(), |warning| warned.push(warning)).is_some());
        }
        let expected = ["10.1.2.3/8", "2001:db8::1/32"].map(|text| format!("low address bits of {text} are meaningless"));
        assert_eq!(warned, expected);
        let net = Cidr::parse(b"10.1.2.3/8").unwrap();
        assert_eq!(net, Cidr::V4(10 << 24, 8));
        assert!(net.contains(&ip("10.255.0.1")));
        assert!(net.contains(&ip("[::ffff:10.0.0.1]:80")));
        assert!(!net.contains(&ip("11.0.0.1")));
        assert!(Cidr::parse(b"0.0.0.0/0").unwrap().contains(&ip("1.1.1.1")));
        assert!(Cidr::parse(b"2001:db8::/32").unwrap().contains(&ip("2001:db8::1")));
        assert!(Cidr::Unix.contains(&Address::Unix(None)));
        assert_eq!(Cidr::parse(b"10.0.0.0/33"), None);
        assert_eq!(Cidr::parse(b"localhost"), None);
    }

    #[test]
    fn addresses() {
        assert_eq!(ip("1.2.3.4:5").port(), Some(5));
        assert_eq!(ip("[::1]").port(), Some(0));
        assert_eq!(parse_address(b"unix:/x"), Some(Address::Unix(None)));
        assert_eq!(parse_address(b"x"), None);
    }

    #[test]
    fn clients_behind_proxies() {
        let proxies = [Cidr::parse(b"127.0.0.0/8").unwrap(), Cidr::parse(b"10.0.0.0/8").unwrap()];
        let peer = ip("127.0.0.1:9");
        assert_eq!(forwarded(&peer, b"1.1.1.1, 10.0.0.1", &proxies, false), Some(ip("10.0.0.1")));
        assert_eq!(forwarded(&peer, b"1.1.1.1, 10.0.0.1", &proxies, true), Some(ip("1.1.1.1")));
        assert_eq!(forwarded(&peer, b"2.2.2.2,1.1.1.1", &proxies, true), Some(ip("1.1.1.1")));
        assert_eq!(forwarded(&peer, b"bad, 10.0.0.1", &proxies, true), Some(ip("10.0.0.1")));
        assert_eq!(forwarded(&peer, b"bad", &proxies, true), None);
        assert_eq!(forwarded(&ip("9.9.9.9"), b"1.1.1.1", &proxies, true), None);
    }
}
