//! `HOST[:PORT]` as nginx takes it apart (`ngx_parse_url`), and addresses with or without a port.
//!
//! Request targets and `Host` headers have rules of their own (`wire::h1::host`).

use crate::text::parse_port;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// A host and its port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Authority<'a> {
    /// The host.
    pub host: Host<'a>,
    /// The host as written: an IPv6 address has its brackets.
    pub host_text: &'a str,
    /// The port if one is written.
    pub port: Option<u16>,
}

/// What a host is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host<'a> {
    /// An address.
    Ip(IpAddr),
    /// Anything else; not checked further.
    Name(&'a str),
}

/// Why a text is no `HOST[:PORT]`. Shown in nginx's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthorityError {
    /// Nothing, or nothing before the port.
    NoHost,
    /// A bracket without its partner, or something other than a port behind it.
    InvalidHost,
    /// Brackets around something else than an IPv6 address.
    InvalidIpv6,
    /// The port is not a number between 1 and 65535.
    InvalidPort,
}

impl AuthorityError {
    /// nginx's words.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            AuthorityError::NoHost => "no host",
            AuthorityError::InvalidHost => "invalid host",
            AuthorityError::InvalidIpv6 => "invalid IPv6 address",
            AuthorityError::InvalidPort => "invalid port",
        }
    }
}

impl fmt::Display for AuthorityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl std::error::Error for AuthorityError {}

impl From<AuthorityError> for &'static str {
    fn from(error: AuthorityError) -> &'static str {
        error.text()
    }
}

/// Takes `HOST`, `HOST:PORT`, `[IPv6]` or `[IPv6]:PORT` apart.
///
/// # Errors
/// It is none of these; a bad port comes before a missing host, as in nginx.
pub fn parse(text: &str) -> Result<Authority<'_>, AuthorityError> {
    let (host_text, port) = split(text)?;
    let port = match port {
        Some(port) => Some(parse_port(port.as_bytes()).ok_or(AuthorityError::InvalidPort)?),
        None => None,
    };
    Ok(Authority { host: parse_host(host_text)?, host_text, port })
}

/// Splits the host, with its brackets, from what stands where a port would.
///
/// # Errors
/// [`AuthorityError::InvalidHost`]: the brackets are wrong.
pub fn split(text: &str) -> Result<(&str, Option<&str>), AuthorityError> {
    if !text.starts_with('[') {
        return Ok(text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))));
    }
    let close = text.find(']').ok_or(AuthorityError::InvalidHost)?;
    match text.split_at_checked(close + 1) {
        Some((host, "")) => Ok((host, None)),
        Some((host, behind)) => Ok((host, Some(behind.strip_prefix(':').ok_or(AuthorityError::InvalidHost)?))),
        None => Err(AuthorityError::InvalidHost),
    }
}

/// What a host without its port is.
///
/// # Errors
/// It is empty, or brackets hold no IPv6 address.
pub fn parse_host(text: &str) -> Result<Host<'_>, AuthorityError> {
    if text.is_empty() || text == "[]" {
        return Err(AuthorityError::NoHost);
    }
    if let Some(inner) = brackets_removed(text) {
        return inner.parse::<Ipv6Addr>().map(|ip| Host::Ip(ip.into())).map_err(|_| AuthorityError::InvalidIpv6);
    }
    Ok(text.parse::<Ipv4Addr>().map_or(Host::Name(text), |ip| Host::Ip(ip.into())))
}

/// An address as text; IPv6 may stand in brackets.
#[must_use]
pub fn parse_ip(text: &str) -> Option<IpAddr> {
    match brackets_removed(text) {
        Some(inner) => inner.parse::<Ipv6Addr>().map(IpAddr::V6).ok(),
        None => text.parse().ok(),
    }
}

/// `IP`, `[IPv6]`, `IPv4:PORT` or `[IPv6]:PORT` as nginx takes them (`ngx_parse_addr_port`); the port is 0 where none is written,
/// and only there.
#[must_use]
pub fn parse_socket_address(text: &[u8]) -> Option<SocketAddr> {
    let text = std::str::from_utf8(text).ok()?;
    match parse_ip(text) {
        Some(ip) => Some(SocketAddr::new(ip, 0)),
        None => text.parse().ok().filter(|address: &SocketAddr| address.port() > 0),
    }
}

fn brackets_removed(text: &str) -> Option<&str> {
    text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_ports() {
        let ip = |text: &str| Host::Ip(text.parse().unwrap());
        let table = [
            ("a.test", Ok((Host::Name("a.test"), "a.test", None))),
            ("a.test:80", Ok((Host::Name("a.test"), "a.test", Some(80)))),
            ("127.0.0.1", Ok((ip("127.0.0.1"), "127.0.0.1", None))),
            ("127.0.0.1:65535", Ok((ip("127.0.0.1"), "127.0.0.1", Some(65535)))),
            ("127.1", Ok((Host::Name("127.1"), "127.1", None))),
            ("[::1]", Ok((ip("::1"), "[::1]", None))),
            ("[::1]:0080", Ok((ip("::1"), "[::1]", Some(80)))),
            ("", Err("no host")),
            (":80", Err("no host")),
            (":x", Err("invalid port")),
            ("a.test:", Err("invalid port")),
            ("a.test:0", Err("invalid port")),
            ("a.test:65536", Err("invalid port")),
            ("a.test:+80", Err("invalid port")),
            ("a.test:80:81", Err("invalid port")),
            ("::1", Err("invalid port")),
            ("[::1", Err("invalid host")),
            ("[::1]x", Err("invalid host")),
            ("[::1]x:80", Err("invalid host")),
            ("[::1]:", Err("invalid port")),
            ("[::1]]", Err("invalid host")),
            ("[]", Err("no host")),
            ("[]:80", Err("no host")),
            ("[::g]:1", Err("invalid IPv6 address")),
            ("[127.0.0.1]", Err("invalid IPv6 address")),
        ];
        for (text, expected) in table {
            let found = parse(text).map(|found| (found.host, found.host_text, found.port)).map_err(AuthorityError::text);
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn addresses_with_and_without_a_port() {
        let table = [
            ("127.0.0.1", Some("127.0.0.1:0")),
            ("127.0.0.1:80", Some("127.0.0.1:80")),
            ("127.0.0.1:0", None),
            ("[::1]:0", None),
            ("::1", Some("[::1]:0")),
            ("[::1]", Some("[::1]:0")),
            ("[::1]:80", Some("[::1]:80")),
            ("[127.0.0.1]", None),
            ("127.0.0.1:x", None),
            ("127.0.0.1:+1", None),
            ("a.test", None),
            ("", None),
        ];
        for (text, expected) in table {
            assert_eq!(parse_socket_address(text.as_bytes()), expected.map(|address| address.parse().unwrap()), "{text}");
            let bare = expected.filter(|address| address.ends_with(":0")).is_some();
            assert_eq!(parse_ip(text).is_some(), bare, "{text}");
        }
        assert_eq!(parse_socket_address(b"\xff"), None);
    }
}
