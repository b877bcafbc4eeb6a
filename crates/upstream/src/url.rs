//! Server addresses and URLs as configurations write them.

use base::authority;
use conf::tree::SettingError;
use net::address::SocketAddress;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// Where an upstream URL points, before any name is resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// A name, or the name of a group.
    Name(Box<[u8]>),
    /// An address; IPv6 stands in brackets in the URL.
    Ip(IpAddr),
    /// The path of a unix-domain socket.
    Unix(PathBuf),
}

/// An upstream URL in its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// Its host.
    pub host: Host,
    /// The port if one is written.
    pub port: Option<u16>,
    /// `$proxy_host`, what the `Host` header says by default.
    pub host_header: Box<[u8]>,
    /// `$proxy_port`; empty for unix-domain sockets.
    pub port_text: Box<[u8]>,
    /// The URI part; empty if there is none.
    pub uri: Box<[u8]>,
    /// It is spoken over TLS.
    pub secure: bool,
}

/// Parses `HOST[:PORT]` or `unix:PATH`, where no URI may follow.
///
/// # Errors
/// As [`parse`].
pub fn parse_address(text: &[u8], default_port: u16) -> Result<Url, &'static str> {
    match unix_path(text) {
        Some(b"") => Err("no path in the unix domain socket"),
        Some(path) => Ok(unix(path, b"")),
        None if memchr::memchr2(b'/', b'?', text).is_some() => Err("invalid host"),
        None => parse(text, default_port),
    }
}

/// Parses `HOST[:PORT][/URI]` or `unix:PATH[:/URI]`, the part behind `http://`.
///
/// # Errors
/// nginx's words for what is wrong: `no host`, `invalid port`, `invalid host`.
pub fn parse(text: &[u8], default_port: u16) -> Result<Url, &'static str> {
    if let Some(path) = unix_path(text) {
        return parse_unix(path);
    }
    let end = memchr::memchr2(b'/', b'?', text).unwrap_or(text.len());
    let (authority, rest) = text.split_at(end);
    let authority = String::from_utf8_lossy(authority);
    let authority = authority::parse(&authority)?;
    let (host, port) = (checked_host(authority.host)?, authority.port);
    let shown = port.filter(|p| *p != default_port);
    let mut host_header = authority.host_text.as_bytes().to_vec();
    if let Some(port) = shown {
        host_header.push(b':');
        base::text::push_number(&mut host_header, u64::from(port));
    }
    let mut port_text = Vec::new();
    base::text::push_number(&mut port_text, u64::from(port.unwrap_or(default_port)));
    let mut uri = rest.to_vec();
    if uri.first() == Some(&b'?') {
        uri.insert(0, b'/');
    }
    Ok(Url { host, port, host_header: host_header.into(), port_text: port_text.into(), uri: uri.into(), secure: false })
}

fn parse_unix(text: &[u8]) -> Result<Url, &'static str> {
    let colon = memchr::memchr(b':', text);
    let path = text.get(..colon.unwrap_or(text.len())).unwrap_or_default();
    if path.is_empty() {
        return Err("no path in the unix domain socket");
    }
    let uri = colon.and_then(|at| text.get(at + 1..)).unwrap_or_default();
    Ok(unix(path, uri))
}

/// What follows `unix:`.
fn unix_path(text: &[u8]) -> Option<&[u8]> {
    text.split_at_checked(5).filter(|(scheme, _)| scheme.eq_ignore_ascii_case(b"unix:")).map(|(_, path)| path)
}

fn unix(path: &[u8], uri: &[u8]) -> Url {
    Url {
        host: Host::Unix(std::ffi::OsStr::from_bytes(path).into()),
        port: None,
        host_header: Box::from(&b"localhost"[..]),
        port_text: Box::default(),
        uri: uri.into(),
        secure: false,
    }
}

fn checked_host(host: authority::Host<'_>) -> Result<Host, &'static str> {
    match host {
        authority::Host::Ip(ip) => Ok(Host::Ip(ip)),
        // The name becomes part of a head, whose line none of these may end. Others are names that nobody has.
        authority::Host::Name(name) if name.bytes().any(|byte| matches!(byte, b'\r' | b'\n' | 0)) => Err("invalid host"),
        authority::Host::Name(name) => Ok(Host::Name(name.as_bytes().into())),
    }
}

/// The addresses behind a URL, names asked from the system's resolver.
///
/// # Errors
/// nginx's text: `host not found in upstream "x"`.
pub fn addresses(url: &Url, default_port: u16) -> Result<Vec<SocketAddress>, SettingError> {
    look_up(url, default_port).ok_or_else(|| {
        let name = if let Host::Name(name) = &url.host { String::from_utf8_lossy(name) } else { Default::default() };
        format!("host not found in upstream \"{name}\"").into()
    })
}

/// As [`addresses`], for those who have words of their own.
#[must_use]
pub fn look_up(url: &Url, default_port: u16) -> Option<Vec<SocketAddress>> {
    use std::net::ToSocketAddrs;
    let port = url.port.unwrap_or(default_port);
    match &url.host {
        Host::Unix(path) => Some(vec![SocketAddress::Unix(path.clone())]),
        Host::Ip(ip) => Some(vec![SocketAddress::Internet(SocketAddr::new(*ip, port))]),
        Host::Name(name) => {
            let name = String::from_utf8_lossy(name);
            let mut found: Vec<SocketAddr> = (name.as_ref(), port).to_socket_addrs().ok()?.collect();
            // IPv4 first, as a resolver without IPv6 would say.
            found.sort_by_key(SocketAddr::is_ipv6);
            found.dedup();
            (!found.is_empty()).then(|| found.into_iter().map(SocketAddress::Internet).collect())
        }
    }
}

impl Url {
    /// The same over TLS.
    #[must_use]
    pub fn over_tls(self) -> Url {
        Url { secure: true, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_in_their_parts() {
        let url = parse(b"backend:8080/a?b", 80).unwrap();
        assert_eq!((&*url.host_header, &*url.port_text, &*url.uri), (&b"backend:8080"[..], &b"8080"[..], &b"/a?b"[..]));
        let url = parse(b"[::1]", 80).unwrap();
        assert_eq!((url.host, &*url.host_header), (Host::Ip("::1".parse().unwrap()), &b"[::1]"[..]));
        let url = parse(b"a:80?x", 80).unwrap();
        assert_eq!((&*url.host_header, &*url.uri), (&b"a"[..], &b"/?x"[..]));
        let url = parse(b"unix:/tmp/s.sock:/uri", 80).unwrap();
        assert_eq!((url.host, &*url.host_header, &*url.uri), (Host::Unix("/tmp/s.sock".into()), &b"localhost"[..], &b"/uri"[..]));
        for (bad, why) in
            [("", "no host"), ("/x", "no host"), ("a:0", "invalid port"), ("a:99999", "invalid port"), ("[::1", "invalid host")]
        {
            assert_eq!(parse(bad.as_bytes(), 80).unwrap_err(), why, "{bad}");
        }
    }

    #[test]
    fn servers_of_groups() {
        let resolve = |text: &[u8]| addresses(&parse(text, 80).unwrap(), 80);
        let list = resolve(b"127.0.0.1").unwrap();
        assert_eq!(list.first().map(ToString::to_string).as_deref(), Some("127.0.0.1:80"));
        assert!(resolve(b"nothing.invalid").unwrap_err().to_string().starts_with("host not found in upstream"));
    }
}
