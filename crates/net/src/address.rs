//! Where a socket is bound or connected to.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use socket2::{Domain, SockAddr};

/// An address of the three families that nginx listens on and connects to. `Display` gives nginx's text:
/// `0.0.0.0:80`, `[::]:80`, `unix:/path`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Address {
    /// IPv4 or IPv6 with a port.
    Internet(SocketAddr),
    /// The path of a unix-domain socket.
    Unix(PathBuf),
}

impl Address {
    /// The address family for socket(2).
    #[must_use]
    pub fn domain(&self) -> Domain {
        match self {
            Address::Internet(SocketAddr::V4(_)) => Domain::IPV4,
            Address::Internet(SocketAddr::V6(_)) => Domain::IPV6,
            Address::Unix(_) => Domain::UNIX,
        }
    }

    /// The form that bind(2) and connect(2) take.
    ///
    /// # Errors
    /// `InvalidInput` for a unix path that is too long or holds NUL.
    pub fn to_socket(&self) -> io::Result<SockAddr> {
        match self {
            Address::Internet(address) => Ok(SockAddr::from(*address)),
            Address::Unix(path) => SockAddr::unix(path),
        }
    }

    /// Reads the kernel's form. `None` for other families and for unix sockets without a path.
    #[must_use]
    pub fn from_socket(address: &SockAddr) -> Option<Self> {
        if let Some(internet) = address.as_socket() {
            return Some(Address::Internet(internet));
        }
        Some(Address::Unix(address.as_pathname()?.to_owned()))
    }

    /// The IP address; `None` for a unix-domain socket.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Address::Internet(address) => Some(address.ip()),
            Address::Unix(_) => None,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Internet(address) => address.fmt(f),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Address::Internet(address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_nginxs_and_the_kernels_form_comes_back() {
        let table = [("0.0.0.0:80", "0.0.0.0:80"), ("[::]:8080", "[::]:8080")];
        for (given, text) in table {
            let address = Address::from(given.parse::<SocketAddr>().unwrap());
            assert_eq!(address.to_string(), text);
            assert_eq!(Address::from_socket(&address.to_socket().unwrap()), Some(address));
        }
        let unix = Address::Unix("/run/a.sock".into());
        assert_eq!(unix.to_string(), "unix:/run/a.sock");
        assert_eq!(Address::from_socket(&unix.to_socket().unwrap()), Some(unix));
        assert!(Address::Unix("x".repeat(200).into()).to_socket().is_err());
    }
}
