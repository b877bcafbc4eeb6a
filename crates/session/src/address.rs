//! The two ends of a connection, as nginx shows them.

use std::net::SocketAddr;
use std::path::PathBuf;

/// An address as nginx shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// IPv4 or IPv6.
    Ip(SocketAddr),
    /// A unix socket; clients have no path.
    Unix(Option<PathBuf>),
}

/// Appends an address of IPv4.
fn push_dotted(octets: [u8; 4], out: &mut Vec<u8>) {
    let mut text = [0; 16];
    let mut slots = text.iter_mut();
    let mut put = |byte| {
        if let Some(slot) = slots.next() {
            *slot = byte;
        }
    };
    for octet in octets {
        if octet >= 100 {
            put(b'0' + octet / 100);
        }
        if octet >= 10 {
            put(b'0' + octet / 10 % 10);
        }
        put(b'0' + octet % 10);
        put(b'.');
    }
    // Without the last dot.
    let length = 15 - slots.len();
    out.extend_from_slice(text.get(..length).unwrap_or_default());
}

impl Address {
    /// `$remote_addr`: the address without port, `unix:` for unix sockets.
    pub fn push_host(&self, out: &mut Vec<u8>) {
        if let Address::Ip(SocketAddr::V4(address)) = self {
            // The usual case, on the way of every request that a proxy forwards: no formatting machinery.
            return push_dotted(address.ip().octets(), out);
        }
        use std::io::Write;
        // Writing to a Vec cannot fail.
        let _ = match self {
            Address::Ip(address) => match address.ip().to_canonical() {
                // A mapped address is a v4 client on a dual-stack socket; nginx shows it as it is.
                ip if address.is_ipv6() && ip.is_ipv4() => write!(out, "::ffff:{ip}"),
                ip => write!(out, "{ip}"),
            },
            Address::Unix(_) => write!(out, "unix:"),
        };
    }

    /// The address with its port, `unix:` and the path for unix sockets: as `listen` writes it.
    pub fn push_whole(&self, out: &mut Vec<u8>) {
        use std::io::Write;
        // Writing to a Vec cannot fail.
        let _ = match self {
            Address::Ip(address) => write!(out, "{address}"),
            Address::Unix(path) => write!(out, "unix:{}", path.as_deref().unwrap_or_else(|| "".as_ref()).display()),
        };
    }

    /// The port; `None` for unix sockets.
    pub fn port(&self) -> Option<u16> {
        match self {
            Address::Ip(address) => Some(address.port()),
            Address::Unix(_) => None,
        }
    }
}

/// The client's connection to the balancer, as a PROXY protocol header describes it.
#[derive(Debug)]
pub struct Proxied {
    /// The client.
    pub client: SocketAddr,
    /// The address that the client connected to.
    pub server: SocketAddr,
    /// The records of version 2, for `wire::proxy_protocol::find`.
    pub tlvs: Box<[u8]>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_written_as_the_standard_library_does() {
        for text in ["0.0.0.0", "127.0.0.1", "10.99.100.255", "255.255.255.255", "192.0.2.10", "::1", "2001:db8::7"] {
            let mut out = b"x".to_vec();
            Address::Ip(SocketAddr::new(text.parse().unwrap(), 80)).push_host(&mut out);
            assert_eq!(out, format!("x{text}").as_bytes());
        }
    }

    #[test]
    fn addresses_with_ports_and_without() {
        let ip = |text: &str| Address::Ip(text.parse().unwrap());
        let rows = [
            (ip("192.0.2.1:80"), "192.0.2.1", "192.0.2.1:80", Some(80)),
            (ip("[2001:db8::1]:443"), "2001:db8::1", "[2001:db8::1]:443", Some(443)),
            // A client of IPv4 on a socket for both.
            (ip("[::ffff:192.0.2.1]:80"), "::ffff:192.0.2.1", "[::ffff:192.0.2.1]:80", Some(80)),
            (Address::Unix(Some("/run/a.sock".into())), "unix:", "unix:/run/a.sock", None),
            (Address::Unix(None), "unix:", "unix:", None),
        ];
        for (address, host, whole, port) in rows {
            let (mut short, mut long) = (Vec::new(), Vec::new());
            address.push_host(&mut short);
            address.push_whole(&mut long);
            assert_eq!((String::from_utf8_lossy(&short), String::from_utf8_lossy(&long)), (host.into(), whole.into()));
            assert_eq!(address.port(), port, "{whole}");
        }
    }
}
