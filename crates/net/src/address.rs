//! Addresses to bind or connect to.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use socket2::{Domain, SockAddr};

/// An address of the three families that nginx listens on and connects to. `Display` gives nginx's text:
/// `0.0.0.0:80`, `[::]:80`, `unix:/path`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum SocketAddress {
    /// IPv4 or IPv6 with a port.
    Internet(SocketAddr),
    /// The path of a unix-domain socket.
    Unix(PathBuf),
}

impl SocketAddress {
    /// The address family for socket(2).
    #[must_use]
    pub fn domain(&self) -> Domain {
        match self {
            SocketAddress::Internet(SocketAddr::V4(_)) => Domain::IPV4,
            SocketAddress::Internet(SocketAddr::V6(_)) => Domain::IPV6,
            SocketAddress::Unix(_) => Domain::UNIX,
        }
    }

    /// The form that bind(2) and connect(2) take.
    ///
    /// # Errors
    /// `InvalidInput` for a unix path that is too long or holds NUL.
    pub fn to_socket(&self) -> io::Result<SockAddr> {
        match self {
            SocketAddress::Internet(address) => Ok(SockAddr::from(*address)),
            SocketAddress::Unix(path) => SockAddr::unix(path),
        }
    }

    /// Reads the kernel's form. `None` for other families and for unix sockets without a path.
    #[must_use]
    pub fn from_socket(address: &SockAddr) -> Option<Self> {
        if let Some(internet) = address.as_socket() {
            return Some(SocketAddress::Internet(internet));
        }
        Some(SocketAddress::Unix(address.as_pathname()?.to_owned()))
    }

    /// The IP address; `None` for a unix-domain socket.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            SocketAddress::Internet(address) => Some(address.ip()),
            SocketAddress::Unix(_) => None,
        }
    }
}

impl fmt::Display for SocketAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SocketAddress::Internet(address) => address.fmt(f),
            SocketAddress::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl From<SocketAddr> for SocketAddress {
    fn from(address: SocketAddr) -> Self {
        SocketAddress::Internet(address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_nginxs_and_the_kernels_form_comes_back() {
        let table = [("0.0.0.0:80", "0.0.0.0:80"), ("[::]:8080", "[::]:8080")];
        for (given, text) in table {
            let address = SocketAddress::from(given.parse::<SocketAddr>().unwrap());
            assert_eq!(address.to_string(), text);
            assert_eq!(SocketAddress::from_socket(&address.to_socket().unwrap()), Some(address));
        }
        let unix = SocketAddress::Unix("/run/a.sock".into());
        assert_eq!(unix.to_string(), "unix:/run/a.sock");
        assert_eq!(SocketAddress::from_socket(&unix.to_socket().unwrap()), Some(unix));
        assert!(SocketAddress::Unix("x".repeat(200).into()).to_socket().is_err());
    }
}
