//! What log lines say of the peer of a socket. They are few, so it is put together for them alone.

use net::address::SocketAddress;
use std::fmt;
use std::net::IpAddr;

/// `, upstream: HOST:PORT(ADDRESS)`; nothing as long as there is no peer.
#[derive(Debug, Default)]
pub struct Label(Option<Peer>);

#[derive(Debug)]
struct Peer {
    host: String,
    /// None: the host is the path of a unix-domain socket.
    address: Option<(u16, IpAddr)>,
}

impl Label {
    /// That of a peer which code calls `host`, and which has this address.
    #[must_use]
    pub fn new(host: &str, port: u16, address: &SocketAddress) -> Label {
        let address = match address {
            SocketAddress::Internet(to) => Some((port, to.ip())),
            SocketAddress::Unix(_) => None,
        };
        Label(Some(Peer { host: host.to_owned(), address }))
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            None => Ok(()),
            Some(Peer { host, address: Some((port, ip)) }) => write!(f, ", upstream: {host}:{port}({ip})"),
            Some(Peer { host, address: None }) => write!(f, ", upstream: {host}({host})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_are_called_as_code_calls_them() {
        let internet = SocketAddress::Internet("192.0.2.1:81".parse().unwrap());
        let cases = [
            (Label::default(), ""),
            (Label::new("example.org", 80, &internet), ", upstream: example.org:80(192.0.2.1)"),
            (Label::new("unix:/a", 0, &SocketAddress::Unix("/a".into())), ", upstream: unix:/a(unix:/a)"),
        ];
        for (label, expected) in cases {
            assert_eq!(label.to_string(), expected);
        }
    }
}
