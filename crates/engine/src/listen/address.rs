//! The address of a `listen` directive, which may expand to several.

use base::authority;
use conf::row::Cx;
use conf::tree::Error;
use net::address::SocketAddress as SocketPlace;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::path::PathBuf;

/// The addresses that the first argument names.
///
/// # Errors
/// nginx's texts.
pub(crate) fn places(cx: &Cx<'_>) -> Result<Vec<SocketPlace>, Error> {
    let given = cx.text(0);
    let refused = |why: &str| cx.error_at(0, format!("{why} in \"{given}\" of the \"listen\" directive"));
    if let Some(path) = given.strip_prefix("unix:") {
        if path.is_empty() {
            return Err(refused("no path in the unix domain socket"));
        }
        return Ok(vec![SocketPlace::Unix(PathBuf::from(path))]);
    }
    if given.contains('/') {
        return Err(refused("invalid host"));
    }
    let (host, ports) = authority::split(&given).map_err(|error| refused(error.text()))?;
    let ports = match ports {
        None if !host.is_empty() && host.bytes().all(|b| b.is_ascii_digit() || b == b'-') => port_range(host).map(|r| ("*".to_owned(), r)),
        None => Some((host.to_owned(), (80, 80))),
        Some(text) => port_range(text).map(|r| (host.to_owned(), r)),
    };
    let Some((host, (first, last))) = ports else { return Err(refused("invalid port")) };
    if first > last {
        return Err(refused("invalid port range"));
    }
    let mut places = Vec::new();
    for ip in addresses(&host).map_err(refused)? {
        for port in first..=last {
            let place = SocketPlace::Internet(SocketAddr::new(ip, port));
            if !places.contains(&place) {
                places.push(place);
            }
        }
    }
    Ok(places)
}

fn port_range(text: &str) -> Option<(u16, u16)> {
    let parse = |text: &str| base::text::parse_port(text.as_bytes());
    match text.split_once('-') {
        Some((first, last)) => Some((parse(first)?, parse(last)?)),
        None => parse(text).map(|p| (p, p)),
    }
}

fn addresses(host: &str) -> Result<Vec<IpAddr>, &'static str> {
    if host.is_empty() {
        return Err("no host");
    }
    if host == "*" {
        return Ok(vec![IpAddr::V4(Ipv4Addr::UNSPECIFIED)]);
    }
    let name = match authority::parse_host(host)? {
        authority::Host::Ip(ip) => return Ok(vec![ip]),
        authority::Host::Name(name) => name,
    };
    let found: Vec<IpAddr> = (name, 80).to_socket_addrs().map_err(|_| "host not found")?.map(|address| address.ip()).collect();
    if found.is_empty() { Err("host not found") } else { Ok(found) }
}
