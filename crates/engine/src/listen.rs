//! `listen` and `server_name`: which server answers on which address under which name.

use crate::conflicts::conflicting;
use base::text;
use conf::context::{Arity, Context};
use conf::row::{Cx, Row, Warnings};
use conf::scope::{Config, Frame};
use conf::tree::{Error, Span};
use http::Server;
use http::connection::Address;
use http::core::{ServerCore, ServerName};
use http::protocols::{Protocols, ServerProtocols};
use http::root::{Endpoint, Listen, Names};
use http::{Regex, Variables};
use net::address::SocketAddress as SocketPlace;
use net::listener::{KeepAlive, ListenSpec};
use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::rc::Rc;

/// One address of one `listen` directive.
#[derive(Clone)]
struct Wanted {
    spec: ListenSpec,
    /// Socket options were given: only one server may do that.
    with_options: bool,
    default_server: bool,
    proxy_protocol: bool,
    tls: bool,
    /// Protocols that were asked for.
    protocols: u32,
    /// Nothing but these.
    alone: bool,
    span: Span,
}

/// The `listen` directives of a server.
#[derive(Default)]
pub struct Listens {
    pub(crate) list: Vec<WantedListen>,
}

/// Opaque outside of this file.
#[derive(Clone)]
pub struct WantedListen(Wanted);

impl Config for Listens {
    fn inherit(&mut self, _: &Self) {}
}

/// The listening sockets of the configuration with the servers behind each.
#[derive(Default)]
pub struct Endpoints {
    /// What to open, one per socket.
    pub specs: Vec<ListenSpec>,
    listens: Vec<Vec<(Address, Rc<Endpoint>)>>,
}

impl Endpoints {
    /// One entry per socket, for [`http::Http`].
    pub fn listens(&self) -> Vec<Listen> {
        let pairs = self.specs.iter().zip(&self.listens);
        pairs.map(|(spec, endpoints)| Listen { address: shown(&spec.address), endpoints: endpoints.clone() }).collect()
    }
}

fn shown(place: &SocketPlace) -> Address {
    match place {
        SocketPlace::Internet(address) => Address::Ip(*address),
        SocketPlace::Unix(path) => Address::Unix(Some(path.clone())),
    }
}

/// Rows of this file.
pub fn rows() -> Vec<Row> {
    vec![
        Row::new("listen", Context::SERVER, Arity::AtLeast(1), "An address that the server answers on.", listen),
        Row::new("server_name", Context::SERVER, Arity::AtLeast(1), "Names of the server.", server_name),
    ]
}

fn listen(cx: &mut Cx<'_>) -> Result<(), Error> {
    let places = places(cx)?;
    let mut wanted = Wanted {
        spec: ListenSpec::new(SocketPlace::Unix(PathBuf::new())),
        with_options: false,
        default_server: false,
        proxy_protocol: false,
        tls: false,
        protocols: 0,
        alone: false,
        span: cx.directive.name.span,
    };
    for i in 1..cx.args().len() {
        parameter(cx, i, &mut wanted)?;
    }
    for place in places {
        let mut one = wanted.clone();
        one.spec.address = place;
        let mut listens = cx.server::<Listens>();
        if listens.list.iter().any(|other| other.0.spec.address == one.spec.address) {
            return Err(cx.error(format!("a duplicate listen {}", cx.text(0))));
        }
        listens.list.push(WantedListen(one));
    }
    Ok(())
}

fn places(cx: &Cx<'_>) -> Result<Vec<SocketPlace>, Error> {
    let given = cx.text(0);
    let refused = |why: &str| cx.error_at(0, format!("{why} in \"{given}\" of the \"listen\" directive"));
    if let Some(path) = given.strip_prefix("unix:") {
        if path.is_empty() {
            return Err(refused("no path"));
        }
        return Ok(vec![SocketPlace::Unix(PathBuf::from(path))]);
    }
    let (host, ports) = split_port(&given);
    let ports = match ports {
        None if !host.is_empty() && host.bytes().all(|b| b.is_ascii_digit() || b == b'-') => port_range(host).map(|r| (String::new(), r)),
        None => Some((host.to_owned(), (80, 80))),
        Some(text) => port_range(text).map(|r| (host.to_owned(), r)),
    };
    let Some((host, (first, last))) = ports else { return Err(refused("invalid port")) };
    let mut places = Vec::new();
    for ip in addresses(&host).ok_or_else(|| refused("host not found"))? {
        for port in first..=last {
            let place = SocketPlace::Internet(SocketAddr::new(ip, port));
            if !places.contains(&place) {
                places.push(place);
            }
        }
    }
    Ok(places)
}

fn split_port(text: &str) -> (&str, Option<&str>) {
    let from = text.rfind(']').unwrap_or(0);
    match text.get(from..).and_then(|tail| tail.rfind(':')) {
        Some(colon) => (text.get(..from + colon).unwrap_or_default(), text.get(from + colon + 1..)),
        None => (text, None),
    }
}

fn port_range(text: &str) -> Option<(u16, u16)> {
    let parse = |t: &str| t.parse::<u16>().ok().filter(|p| *p > 0 && t.bytes().all(|b| b.is_ascii_digit()));
    match text.split_once('-') {
        Some((first, last)) => Some((parse(first)?, parse(last)?)).filter(|(a, b)| a <= b),
        None => parse(text).map(|p| (p, p)),
    }
}

fn addresses(host: &str) -> Option<Vec<IpAddr>> {
    if host.is_empty() || host == "*" {
        return Some(vec![IpAddr::V4(Ipv4Addr::UNSPECIFIED)]);
    }
    if let Some(inner) = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
        return inner.parse::<Ipv6Addr>().ok().map(|ip| vec![IpAddr::V6(ip)]);
    }
    if let Ok(ip) = host.parse::<Ipv4Addr>() {
        return Some(vec![IpAddr::V4(ip)]);
    }
    let found: Vec<IpAddr> = (host, 80).to_socket_addrs().ok()?.map(|a| a.ip()).collect();
    (!found.is_empty()).then_some(found)
}

fn parameter(cx: &Cx<'_>, i: usize, wanted: &mut Wanted) -> Result<(), Error> {
    let text = cx.text(i);
    let (name, value) = text.split_once('=').map_or((text.as_ref(), None), |(n, v)| (n, Some(v)));
    let bad = |what: &str| cx.error_at(i, format!("invalid {what} \"{}\"", value.unwrap_or_default()));
    let number = |v: &str| v.parse::<i32>().ok().filter(|n| *n > 0);
    let protocol = cx.global::<Protocols>().named(&text);
    if let Some((bit, protocol)) = protocol {
        wanted.protocols |= bit;
        wanted.alone |= protocol.alone;
        if let Some(instead) = protocol.instead {
            cx.warn(format!("the \"listen ... {text}\" directive is deprecated, use the \"{instead}\" directive instead"));
        }
        return Ok(());
    }
    match (name, value) {
        ("default_server" | "default", None) => {
            wanted.default_server = true;
            return Ok(());
        }
        ("ssl", None) => {
            wanted.tls = true;
            return Ok(());
        }
        ("quic", None) => return Err(cx.unsupported("the \"quic\" parameter")),
        ("proxy_protocol", None) => {
            wanted.proxy_protocol = true;
            return Ok(());
        }
        ("bind", None) => {}
        ("reuseport", None) => wanted.spec.reuseport = true,
        ("deferred", None) => wanted.spec.deferred = true,
        ("backlog", Some(v)) => wanted.spec.backlog = number(v).ok_or_else(|| bad("backlog"))?,
        ("rcvbuf", Some(v)) => wanted.spec.rcvbuf = Some(size(v).ok_or_else(|| bad("rcvbuf"))?),
        ("sndbuf", Some(v)) => wanted.spec.sndbuf = Some(size(v).ok_or_else(|| bad("sndbuf"))?),
        ("fastopen", Some(v)) => wanted.spec.fastopen = Some(number(v).ok_or_else(|| bad("fastopen"))?),
        ("ipv6only", Some("on")) => wanted.spec.ipv6only = true,
        ("ipv6only", Some("off")) => wanted.spec.ipv6only = false,
        ("ipv6only", Some(_)) => return Err(bad("ipv6only flags")),
        ("so_keepalive", Some(v)) => wanted.spec.keepalive = Some(keepalive(v).ok_or_else(|| bad("so_keepalive value:"))?),
        ("setfib" | "accept_filter", Some(_)) => {
            return Err(cx.error_at(i, format!("{name} \"{}\" is not supported on this platform, ignored", value.unwrap_or_default())));
        }
        _ => return Err(cx.invalid_parameter(i)),
    }
    wanted.with_options = true;
    Ok(())
}

fn size(text: &str) -> Option<usize> {
    text::parse_size(text.as_bytes(), false).and_then(|n| usize::try_from(n).ok())
}

fn keepalive(text: &str) -> Option<KeepAlive> {
    let plain = |on| KeepAlive { on, idle: None, interval: None, count: None };
    match text {
        "on" => return Some(plain(true)),
        "off" => return Some(plain(false)),
        _ => {}
    }
    let mut parts = text.split(':');
    let seconds = |part: Option<&str>| -> Option<Option<u32>> {
        match part {
            None | Some("") => Some(None),
            Some(text) => text::parse_time_sec(text.as_bytes()).and_then(|n| u32::try_from(n).ok()).map(Some),
        }
    };
    let (idle, interval) = (seconds(parts.next())?, seconds(parts.next())?);
    let count = match parts.next() {
        None | Some("") => None,
        Some(text) => Some(text.parse().ok()?),
    };
    (parts.next().is_none() && (idle.is_some() || interval.is_some() || count.is_some())).then_some(KeepAlive {
        on: true,
        idle,
        interval,
        count,
    })
}

fn server_name(cx: &mut Cx<'_>) -> Result<(), Error> {
    for (i, word) in cx.args().iter().enumerate() {
        let name = if word.bytes == b"$hostname" { hostname() } else { word.bytes.clone() };
        let parsed = parse_name(cx, i, &name)?;
        let mut core = cx.server::<ServerCore>();
        if core.first_name.is_none() {
            let shown = if let Some(rest) = name.strip_prefix(b".") { rest.to_vec() } else { name.clone() };
            core.first_name = Some(shown.into());
        }
        core.names.extend(parsed);
    }
    Ok(())
}

/// The machine's name, lower-case, as `$hostname`.
pub fn hostname() -> Vec<u8> {
    let text = std::fs::read("/proc/sys/kernel/hostname").unwrap_or_default();
    text.trim_ascii().to_ascii_lowercase()
}

fn parse_name(cx: &Cx<'_>, i: usize, name: &[u8]) -> Result<Vec<ServerName>, Error> {
    let invalid = || cx.error_at(i, format!("server name \"{}\" is invalid", String::from_utf8_lossy(name)));
    let lower = name.to_ascii_lowercase();
    match name {
        [b'~'] => Err(cx.error_at(i, "empty regex in server name \"~\"")),
        [b'~', pattern @ ..] => {
            // nginx matches names in lower case; an expression with capitals can only mean "any case".
            let caseless = pattern.iter().any(u8::is_ascii_uppercase);
            let regex = Regex::new(pattern, caseless, &mut cx.global::<Variables>()).map_err(|e| cx.error_at(i, e))?;
            Ok(vec![ServerName::Regex(Rc::new(regex))])
        }
        _ if name.contains(&b'/') => Err(invalid()),
        [b'*', b'.', ..] => match lower.get(1..) {
            Some(tail) if !tail.contains(&b'*') && tail.len() > 1 => Ok(vec![ServerName::Leading(tail.into())]),
            _ => Err(invalid()),
        },
        [b'.', ..] => match lower.get(1..) {
            Some(rest) if !rest.is_empty() && !rest.contains(&b'*') => {
                Ok(vec![ServerName::Exact(rest.into()), ServerName::Leading(lower.as_slice().into())])
            }
            _ => Err(invalid()),
        },
        [.., b'.', b'*'] => match lower.get(..lower.len() - 1) {
            Some(head) if !head.contains(&b'*') => Ok(vec![ServerName::Trailing(head.into())]),
            _ => Err(invalid()),
        },
        _ if name.contains(&b'*') => Err(invalid()),
        _ => Ok(vec![ServerName::Exact(lower.as_slice().into())]),
    }
}

/// One address while its servers are gathered.
struct Gathered {
    wanted: Wanted,
    servers: Vec<Rc<Server>>,
    default: Option<Rc<Server>>,
}

/// Who listens for TLS must be able to answer a handshake (`ngx_http_ssl_init`).
fn has_certificates(one: &Gathered) -> Result<(), Error> {
    let default = one.default.as_ref().or(one.servers.first());
    if one.wanted.tls && default.is_some_and(|server| server.tls.handshakes.get().is_none()) {
        return Err(Error::new("no \"ssl_certificate\" is defined for the \"listen ... ssl\" directive", one.wanted.span));
    }
    Ok(())
}

/// Groups the servers by address and the addresses by socket.
///
/// # Errors
/// Two default servers or two sets of socket options for one address.
pub fn endpoints(frames: &[Frame], servers: &[Rc<Server>], http: &Frame) -> Result<Endpoints, Error> {
    let mut gathered: Vec<Gathered> = Vec::new();
    let mut places = HashMap::new();
    for (frame, server) in frames.iter().zip(servers) {
        let mut listens = frame.server.take::<Listens>().list;
        if listens.is_empty() {
            listens.push(WantedListen(default_listen()));
        }
        for WantedListen(wanted) in listens {
            gather(&mut gathered, &mut places, wanted, server)?;
        }
    }
    for one in &gathered {
        has_certificates(one)?;
        for name in conflicting(&one.servers) {
            let name = String::from_utf8_lossy(&name);
            let message = format!("conflicting server name \"{name}\" on {}, ignored", one.wanted.spec.address);
            http.global.get::<Warnings>().list.push(Error::new(message, Span::NONE));
        }
    }
    let mut endpoints = Endpoints::default();
    let usual = http.global.get::<Protocols>().usual();
    let wildcards: HashSet<SocketAddr> = gathered.iter().filter_map(|g| wildcard(&g.wanted.spec)).collect();
    // A socket on the wildcard address answers for the specific addresses of its port that ask for nothing of their own.
    let covering = |spec: &Wanted| match &spec.spec.address {
        SocketPlace::Internet(address) if !address.ip().is_unspecified() && !spec.with_options => {
            wildcards.get(&any_address(*address)).copied()
        }
        _ => None,
    };
    let mut covered: HashMap<SocketAddr, Vec<(Address, Rc<Endpoint>)>> = HashMap::new();
    for one in &gathered {
        if let Some(own) = covering(&one.wanted) {
            covered.entry(own).or_default().push((shown(&one.wanted.spec.address), Rc::new(endpoint(one, usual))));
        }
    }
    for one in gathered.iter().filter(|g| covering(&g.wanted).is_none()) {
        let mut list = wildcard(&one.wanted.spec).and_then(|own| covered.remove(&own)).unwrap_or_default();
        list.push((shown(&one.wanted.spec.address), Rc::new(endpoint(one, usual))));
        endpoints.specs.push(one.wanted.spec.clone());
        endpoints.listens.push(list);
    }
    Ok(endpoints)
}

/// The wildcard address of the same family and port.
fn any_address(address: SocketAddr) -> SocketAddr {
    let ip = if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    SocketAddr::new(ip, address.port())
}

fn wildcard(spec: &ListenSpec) -> Option<SocketAddr> {
    match &spec.address {
        SocketPlace::Internet(address) if address.ip().is_unspecified() => Some(*address),
        _ => None,
    }
}

/// `listen *:80` for root, `*:8000` for others, as nginx.
fn default_listen() -> Wanted {
    let root = std::fs::metadata("/proc/self").is_ok_and(|m| std::os::unix::fs::MetadataExt::uid(&m) == 0);
    let port = if root { 80 } else { 8000 };
    Wanted {
        spec: ListenSpec::new(SocketPlace::Internet(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port))),
        with_options: false,
        default_server: false,
        proxy_protocol: false,
        tls: false,
        protocols: 0,
        alone: false,
        span: Span::NONE,
    }
}

/// Adds an address of a server; `places` says where in the list an address is.
fn gather(
    gathered: &mut Vec<Gathered>,
    places: &mut HashMap<SocketPlace, usize>,
    wanted: Wanted,
    server: &Rc<Server>,
) -> Result<(), Error> {
    let place = *places.entry(wanted.spec.address.clone()).or_insert(gathered.len());
    let Some(same) = gathered.get_mut(place) else {
        let default = wanted.default_server.then(|| server.clone());
        gathered.push(Gathered { wanted, servers: vec![server.clone()], default });
        return Ok(());
    };
    if wanted.with_options {
        if same.wanted.with_options {
            return Err(Error::new(format!("duplicate listen options for {}", wanted.spec.address), wanted.span));
        }
        same.wanted.spec = wanted.spec.clone();
        same.wanted.with_options = true;
    }
    if wanted.default_server {
        if same.default.is_some() {
            return Err(Error::new(format!("a duplicate default server for {}", wanted.spec.address), wanted.span));
        }
        same.default = Some(server.clone());
    }
    same.wanted.proxy_protocol |= wanted.proxy_protocol;
    same.wanted.tls |= wanted.tls;
    same.wanted.protocols |= wanted.protocols;
    same.wanted.alone |= wanted.alone;
    same.servers.push(server.clone());
    Ok(())
}

fn endpoint(one: &Gathered, usual: u32) -> Endpoint {
    let mut exact = Names::default();
    let (mut leading, mut trailing, mut regex) = (Names::default(), Names::default(), Vec::new());
    // Of two servers with one name the first counts; nginx warns and does the same.
    let first = |names: &mut Names, name: &[u8], server: &Rc<Server>| {
        names.entry(name.into()).or_insert_with(|| server.clone());
    };
    for server in &one.servers {
        if server.core.names.is_empty() {
            // It has the empty name, which requests without a host look for.
            exact.entry(Box::default()).or_insert_with(|| server.clone());
        }
        for name in &server.core.names {
            match name {
                ServerName::Exact(name) => first(&mut exact, name, server),
                ServerName::Leading(tail) => first(&mut leading, tail, server),
                ServerName::Trailing(head) => first(&mut trailing, head, server),
                ServerName::Regex(expression) => regex.push((expression.clone(), server.clone())),
            }
        }
    }
    let default = one.default.clone().or_else(|| one.servers.first().cloned());
    let default = default.unwrap_or_else(|| unreachable!("an address is gathered with its first server"));
    let own = default.conf.share::<ServerProtocols>().unwrap_or_default();
    let asked = one.wanted.protocols | if one.wanted.alone { 0 } else { usual };
    let protocols = if one.wanted.alone { asked } else { asked | own.on };
    Endpoint {
        single: one.servers.len() == 1 && regex.is_empty(),
        default,
        exact,
        leading,
        trailing,
        regex,
        proxy_protocol: one.wanted.proxy_protocol,
        tls: one.wanted.tls,
        asked,
        protocols,
    }
}
