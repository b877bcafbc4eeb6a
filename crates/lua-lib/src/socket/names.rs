//! Resolves a peer that a script names to an address.

use base::authority::{self, Host};
use base::saturated::Saturated;
use lua::Value;
use net::address::SocketAddress;
use resolver::Resolver;
use resolver::settings::Resolving;
use std::ffi::OsStr;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

/// Where a peer is.
pub enum Destination {
    /// At this address.
    At(SocketAddress),
    /// Where a resolver says.
    Named(Name),
}

/// A name to be looked up.
pub struct Name {
    resolver: Rc<Resolver>,
    limit: Duration,
    host: String,
    port: u16,
}

/// The path of `unix:PATH`.
#[must_use]
pub fn unix_path(host: &[u8]) -> Option<PathBuf> {
    let (scheme, path) = host.split_at_checked(5)?;
    scheme.eq_ignore_ascii_case(b"unix:").then(|| PathBuf::from(OsStr::from_bytes(path)))
}

/// A port, unless the number is none.
#[must_use]
pub fn port(number: f64) -> Option<u16> {
    if (0.0..=65535.0).contains(&number) { Some(u16::saturated(number)) } else { None }
}

/// The address that `host` is, with the port that stands behind it or else `port`; none: a name.
///
/// # Errors
/// nginx's words for what is wrong.
fn address(host: &str, port: u16) -> Result<Option<SocketAddr>, &'static str> {
    if host.contains(['/', '?']) {
        return Err("invalid host");
    }
    let authority = authority::parse(host)?;
    match authority.host {
        Host::Ip(ip) => Ok(Some(SocketAddr::new(ip, authority.port.unwrap_or(port)))),
        Host::Name(_) => Ok(None),
    }
}

base::message_error! {
    /// Why a method of a socket failed: what Lua gets beside nil.
    pub struct SocketError;
}

impl From<SocketError> for Value {
    fn from(error: SocketError) -> Self {
        String::from(error).into_bytes().into()
    }
}

/// Finds out where `host` is, as far as that needs no waiting.
///
/// # Errors
/// OpenResty's text: nothing is named, or there is no resolver to ask.
pub fn place(host: &str, port: u16, resolving: &Resolving) -> Result<Destination, SocketError> {
    if let Some(path) = unix_path(host.as_bytes()) {
        return if path.as_os_str().is_empty() {
            Err(format!("failed to parse host name \"{host}\": no path in the unix domain socket").into())
        } else {
            Ok(Destination::At(SocketAddress::Unix(path)))
        };
    }
    if let Some(address) = address(host, port).map_err(|what| format!("failed to parse host name \"{host}\": {what}"))? {
        return Ok(Destination::At(address.into()));
    }
    let Some(resolver) = resolving.usable() else { return Err(format!("no resolver defined to resolve \"{host}\"").into()) };
    Ok(match resolver.known(host.as_bytes()).and_then(|known| known.first()) {
        Some(ip) => Destination::At(SocketAddr::new(ip, port).into()),
        None => Destination::Named(Name { resolver: resolver.clone(), limit: resolving.limit(), host: host.to_owned(), port }),
    })
}

impl Destination {
    /// The address, asked for if need be.
    ///
    /// # Errors
    /// OpenResty's text: why the name has no address.
    pub async fn find(self) -> Result<SocketAddress, SocketError> {
        let name = match self {
            Destination::At(address) => return Ok(address),
            Destination::Named(name) => name,
        };
        let Name { resolver, limit, host, port } = name;
        match resolver.resolve(host.as_bytes(), limit).await {
            Ok(found) => match found.first() {
                Some(ip) => Ok(SocketAddr::new(ip, port).into()),
                None => Err(format!("{host} could not be resolved").into()),
            },
            Err(failure) => Err(format!("{host} could not be resolved ({failure})").into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_may_be_addresses_with_a_port() {
        let rows = [
            ("127.0.0.1", Ok(Some("127.0.0.1:53"))),
            ("127.0.0.1:80", Ok(Some("127.0.0.1:80"))),
            ("::1", Err("invalid port")),
            ("[]", Err("no host")),
            ("[::1]", Ok(Some("[::1]:53"))),
            ("[::1]:80", Ok(Some("[::1]:80"))),
            ("a.test", Ok(None)),
            ("a.test:80", Ok(None)),
            ("", Err("no host")),
            (":80", Err("no host")),
            ("127.0.0.1:", Err("invalid port")),
            ("127.0.0.1:0", Err("invalid port")),
            ("127.0.0.1:+1", Err("invalid port")),
            ("127.0.0.1:65536", Err("invalid port")),
            ("a.test:x", Err("invalid port")),
            ("[a]:1", Err("invalid IPv6 address")),
            ("127.0.0.1/x", Err("invalid host")),
        ];
        for (host, expected) in rows {
            let found = address(host, 53).map(|found| found.map(|address| address.to_string()));
            assert_eq!(found, expected.map(|text| text.map(str::to_owned)), "{host}");
        }
    }
}
