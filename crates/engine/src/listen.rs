//! `listen` and `server_name`: which server answers on which address under which name.

pub(crate) mod address;
pub(crate) mod gather;
pub(crate) mod names;
pub(crate) mod options;

use crate::conflicts;
use address::places;
use conf::context::{Arity, Context};
use conf::row::{Cx, Row, Warnings};
use conf::scope::{Config, Frame};
use conf::tree::{Error, Span};
use gather::{AddressGroup, ListenRequest, Shared, gather, session_address, sockets};
use http::Server;
use http::connection::Address;
use http::core::ServerCore;
use http::protocols::{Protocols, ServerProtocols};
use http::root::{Endpoint, Listen};
pub use names::hostname;
use net::address::SocketAddress as SocketPlace;
use net::listener::{Kind, ListenSpec};
use session::names::ServerNames;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::rc::Rc;

/// The number of TLS 1.3, the only one that QUIC has.
const TLS13: u16 = 0x0304;

/// The `listen` directives of a server.
#[derive(Default)]
pub(crate) struct Listens {
    pub(crate) list: Vec<ParsedListen>,
}

/// Opaque outside of this file.
#[derive(Clone)]
pub(crate) struct ParsedListen(ListenRequest);

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
        pairs.map(|(spec, endpoints)| Listen { address: session_address(&spec.address), endpoints: endpoints.clone() }).collect()
    }
}

/// Rows of this file.
pub fn rows() -> Vec<Row> {
    vec![
        Row::new("listen", Context::SERVER, Arity::AtLeast(1), "An address that the server answers on.", listen),
        Row::new("server_name", Context::SERVER, Arity::AtLeast(1), "Names of the server.", server_name),
    ]
}

fn parameter(cx: &Cx<'_>, i: usize, wanted: &mut ListenRequest) -> Result<(), Error> {
    let text = cx.text(i);
    let protocol = cx.global::<Protocols>().named(&text);
    if let Some((bit, protocol)) = protocol {
        wanted.protocols |= bit;
        wanted.alone |= protocol.alone;
        if let Some(instead) = protocol.instead {
            cx.warn(format!("the \"listen ... {text}\" directive is deprecated, use the \"{instead}\" directive instead"));
        }
        return Ok(());
    }
    match text.as_ref() {
        "default" => wanted.default_server = true,
        "quic" => {
            // Each worker has a socket of its own, so that a connection's datagrams come to the worker that has it.
            (wanted.spec.kind, wanted.spec.reuseport, wanted.spec.quic) = (Kind::Datagram, true, true);
        }
        _ if options::parameter(cx, i, wanted)? => {}
        _ => return Err(cx.invalid_parameter(i)),
    }
    Ok(())
}

fn server_name(cx: &mut Cx<'_>) -> Result<(), Error> {
    let mut core = cx.server::<ServerCore>();
    let core = &mut *core;
    names::add(cx, &mut core.names, &mut core.first_name)
}

fn listen(cx: &mut Cx<'_>) -> Result<(), Error> {
    let places = places(cx)?;
    let mut wanted = ListenRequest::new(ListenSpec::new(SocketPlace::Unix(PathBuf::new())), cx.directive.name.span);
    for i in 1..cx.args().len() {
        parameter(cx, i, &mut wanted)?;
    }
    if wanted.spec.kind == Kind::Datagram
        && let Some(name) = not_for_quic(cx, &wanted)
    {
        return Err(cx.error(format!("\"listen\" directive \"{name}\" parameter is incompatible with \"quic\"")));
    }
    for place in places {
        let mut one = wanted.clone();
        one.spec.address = place;
        let mut listens = cx.server::<Listens>();
        let same = |other: &ParsedListen| other.0.spec.address == one.spec.address && other.0.spec.kind == one.spec.kind;
        if listens.list.iter().any(same) {
            return Err(cx.error(format!("a duplicate listen {}", one.spec.address)));
        }
        listens.list.push(ParsedListen(one));
    }
    Ok(())
}

/// The name of a parameter that cannot be combined with `quic`.
fn not_for_quic(cx: &Cx<'_>, wanted: &ListenRequest) -> Option<&'static str> {
    if wanted.protocols != 0 {
        return Some("http2");
    }
    let is_there = |name: &&&str| {
        (1..cx.args().len()).any(|i| cx.arg(i).split(|byte| *byte == b'=').next().is_some_and(|word| word == name.as_bytes()))
    };
    ["fastopen", "backlog", "deferred", "multipath", "ssl", "so_keepalive", "proxy_protocol"].iter().find(is_there).copied()
}

/// A server that listens for TLS must be able to answer a handshake (`ngx_http_ssl_init`).
fn has_certificates(one: &AddressGroup<Server>) -> Result<(), Error> {
    let name = if one.request.spec.kind == Kind::Datagram { "quic" } else { "ssl" };
    let default = one.default.as_ref().or(one.servers.first());
    let Some(server) = default.filter(|_| one.request.tls || name == "quic") else { return Ok(()) };
    match server.tls.handshakes.get() {
        None => Err(Error::new(format!("no \"ssl_certificate\" is defined for the \"listen ... {name}\" directive"), one.request.span)),
        Some(handshakes) if name == "quic" && !handshakes.supports_version(TLS13) => {
            Err(Error::new("\"ssl_protocols\" must enable TLSv1.3 for the \"listen ... quic\" directive", one.request.span))
        }
        Some(_) => Ok(()),
    }
}

/// Groups the servers by address and the addresses by socket.
///
/// # Errors
/// Two default servers or two sets of socket options for one address.
pub fn endpoints(frames: &[Frame], servers: &[Rc<Server>], http: &Frame) -> Result<Endpoints, Error> {
    let mut gathered: Vec<AddressGroup<Server>> = Vec::new();
    let mut places = HashMap::new();
    for (frame, server) in frames.iter().zip(servers) {
        let mut listens = frame.server.take::<Listens>().list;
        if listens.is_empty() {
            listens.push(ParsedListen(default_listen()));
        }
        for ParsedListen(wanted) in listens {
            gather(&mut gathered, &mut places, wanted, server, &mut http.global.get::<Warnings>())?;
        }
    }
    for one in &gathered {
        has_certificates(one)?;
        let names: Vec<_> = one.servers.iter().map(|server| server.core.names.as_slice()).collect();
        conflicts::check(&names, &one.request.spec.address, &mut http.global.get::<Warnings>())?;
    }
    let mut endpoints = Endpoints::default();
    let usual = http.global.get::<Protocols>().defaults();
    for Shared { spec, members } in sockets(&gathered) {
        endpoints.specs.push(spec.clone());
        endpoints
            .listens
            .push(members.iter().map(|one| (session_address(&one.request.spec.address), Rc::new(endpoint(one, usual)))).collect());
    }
    Ok(endpoints)
}

/// `listen *:80` for root, `*:8000` for others, as nginx.
fn default_listen() -> ListenRequest {
    let root = std::fs::metadata("/proc/self").is_ok_and(|m| std::os::unix::fs::MetadataExt::uid(&m) == 0);
    let port = if root { 80 } else { 8000 };
    let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port);
    ListenRequest::new(ListenSpec::new(SocketPlace::Internet(address)), Span::NONE)
}

fn endpoint(one: &AddressGroup<Server>, usual: u32) -> Endpoint {
    let mut names = ServerNames::default();
    for server in &one.servers {
        names.add(server, &server.core.names);
    }
    let default = one.default.clone().or_else(|| one.servers.first().cloned());
    let default = default.unwrap_or_else(|| unreachable!("an address is gathered with its first server"));
    let own = default.conf.share::<ServerProtocols>().unwrap_or_default();
    let asked = one.request.protocols | if one.request.alone { 0 } else { usual };
    let protocols = if one.request.alone { asked } else { asked | own.on };
    Endpoint {
        single: one.servers.len() == 1 && !names.has_regex(),
        limits_by_host: one.servers.iter().any(|server| !server.core.has_limits_of(&default.core)),
        default,
        names,
        proxy_protocol: one.request.proxy_protocol,
        tls: one.request.tls || one.request.spec.kind == Kind::Datagram,
        requested: asked,
        protocols,
    }
}
