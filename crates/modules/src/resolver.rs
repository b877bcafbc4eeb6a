//! `resolver`, `resolver_timeout`: name servers for names that are looked up while requests run (nginx manual,
//! `ngx_http_core_module`; `local=` is OpenResty's).

use base::authority::{self, Host};
use base::errno::describe;
use conf::context::Arity;
use conf::row::{self, Cx, Row};
use conf::tree::Error;
use http::{Levels, Module, Request};
use resolver::settings::{Resolving, log_trouble};
use resolver::{Resolver, Settings};
use session::paths::MainContext;
use session::{Configured, Join};
use shm::Zones;
use std::net::{SocketAddr, ToSocketAddrs};
use std::rc::Rc;
use std::time::Duration;

/// The resolver of a location.
pub const MODULE: Module = Module {
    rows: rows::<Request>,
    levels: Levels::location_only::<Resolving>,
    attach: |place| attach::<Request>(place),
    ..Module::named("resolver")
};

/// The resolver of a server of `stream`.
pub const STREAM: stream::Module = stream::Module {
    rows: rows::<stream::Session>,
    levels: Levels::location_only::<Resolving>,
    attach: |place| attach::<stream::Session>(place),
    ..stream::Module::named("resolver")
};

/// The port of name servers.
const PORT: u16 = 53;
const SYSTEM: &str = "/etc/resolv.conf";

fn rows<S: Configured>() -> Vec<Row> {
    let here = S::BLOCKS | S::UPSTREAM;
    vec![
        Row::new("resolver", here, Arity::AtLeast(1), "Name servers for names found at run time.", resolver),
        row::time_ms("resolver_timeout", here, "How long a name may take.", |own: &mut Resolving| &mut own.timeout),
    ]
}

fn attach<S: Configured>(place: &mut impl Join<S>) -> Result<(), Error> {
    if let Some(resolver) = &place.conf::<Resolving>().resolver {
        log_trouble(resolver, place.error_log());
    }
    Ok(())
}

fn resolver(cx: &mut Cx<'_>) -> Result<(), Error> {
    if cx.location::<Resolving>().resolver.is_some() {
        return Err(cx.duplicate());
    }
    let mut settings = Settings::default();
    for i in 0..cx.args().len() {
        parameter(cx, i, &mut settings)?;
    }
    if !settings.ipv4 && !settings.ipv6 {
        return Err(cx.error("\"ipv4\" and \"ipv6\" cannot both be \"off\""));
    }
    cx.location::<Resolving>().resolver = Some(Rc::new(Resolver::new(settings)));
    Ok(())
}

fn parameter(cx: &Cx<'_>, i: usize, settings: &mut Settings) -> Result<(), Error> {
    let word = cx.text(i);
    // nginx writes this one with a colon.
    let invalid = || cx.error_at(i, format!("invalid parameter: {word}"));
    let seconds = |text: &str| base::text::parse_time_sec(text.as_bytes()).map(Duration::from_secs).ok_or_else(invalid);
    let switch = |text: &str| match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(invalid()),
    };
    match word.split_once('=') {
        Some(("valid", text)) => settings.valid = Some(seconds(text)?),
        Some(("stale", text)) => settings.stale = seconds(text)?,
        Some(("ipv4", text)) => settings.ipv4 = switch(text)?,
        Some(("ipv6", text)) => settings.ipv6 = switch(text)?,
        Some(("local", "off")) => {}
        Some(("local", "on")) => from_file(cx, i, SYSTEM, settings)?,
        Some(("local", path)) => from_file(cx, i, path, settings)?,
        Some(("status_zone", "")) => return Err(invalid()),
        Some(("status_zone", name)) => {
            let zone = cx.global::<Zones>().meters.claim(&resolver::status::ZONES, name);
            settings.status_zone =
                Some(zone.map_err(|error| cx.error_at(i, format!("mapping shared memory zone \"{name}\" failed: {error}")))?);
        }
        _ => settings.servers.extend(servers(&word).map_err(|what| cx.error_at(i, format!("{what} in resolver \"{word}\"")))?),
    }
    Ok(())
}

/// The addresses of `HOST[:PORT]`.
fn servers(text: &str) -> Result<Vec<SocketAddr>, &'static str> {
    let server = authority::parse(text)?;
    let port = server.port.unwrap_or(PORT);
    match server.host {
        Host::Ip(ip) => Ok(vec![SocketAddr::new(ip, port)]),
        Host::Name(name) => Ok((name, port).to_socket_addrs().map_err(|_| "host not found")?.collect()),
    }
}

/// Adds the name servers of a file like `/etc/resolv.conf`.
fn from_file(cx: &Cx<'_>, i: usize, path: &str, settings: &mut Settings) -> Result<(), Error> {
    let path = cx.global::<MainContext>().paths.resolve_conf(path.as_bytes());
    let text =
        std::fs::read(&path).map_err(|error| cx.error_at(i, format!("open() \"{}\" failed {}", path.display(), describe(&error))))?;
    settings.servers.extend(name_servers(&String::from_utf8_lossy(&text)));
    Ok(())
}

fn name_servers(text: &str) -> Vec<SocketAddr> {
    let mut found = Vec::new();
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        if words.next() != Some("nameserver") {
            continue;
        }
        // An address of one network card alone (`fe80::1%eth0`) has a name that a server here cannot use.
        if let Some(ip) = words.next().and_then(|word| word.parse().ok()) {
            found.push(SocketAddr::new(ip, PORT));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_with_and_without_ports() {
        let one = |text| servers(text).map(|list| list.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(one("127.0.0.1").unwrap(), ["127.0.0.1:53"]);
        assert_eq!(one("127.0.0.1:5353").unwrap(), ["127.0.0.1:5353"]);
        assert_eq!(one("[::1]").unwrap(), ["[::1]:53"]);
        assert_eq!(one("[::1]:5353").unwrap(), ["[::1]:5353"]);
        assert_eq!(one("127.0.0.1:0").unwrap_err(), "invalid port");
        assert_eq!(one("127.0.0.1:x").unwrap_err(), "invalid port");
        assert_eq!(one("127.0.0.1:+53").unwrap_err(), "invalid port");
        assert_eq!(one(":53").unwrap_err(), "no host");
        assert_eq!(one("[::g]").unwrap_err(), "invalid IPv6 address");
        assert_eq!(one("::1").unwrap_err(), "invalid port");
        assert_eq!(one("nothing.invalid").unwrap_err(), "host not found");
    }

    #[test]
    fn the_systems_file() {
        let list = name_servers("# nameserver 1.1.1.1\nsearch a.b\nnameserver 10.0.0.1\n nameserver\t::1 # x\nnameserver fe80::1%eth0\n");
        assert_eq!(list.iter().map(ToString::to_string).collect::<Vec<_>>(), ["10.0.0.1:53", "[::1]:53"]);
    }
}
