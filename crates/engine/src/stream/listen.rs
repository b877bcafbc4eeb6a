//! `listen` and `server_name` in `stream`: which server answers on which address under which name.

use crate::conflicts;
use crate::listen::address::places;
use crate::listen::gather::{AddressGroup, ListenRequest, Shared, gather, session_address, sockets};
use crate::listen::{names, options};
use conf::context::{Arity, Context};
use conf::row::{Cx, Row, Warnings};
use conf::scope::Frame;
use conf::tree::Error;
use net::address::SocketAddress;
use net::listener::{DEFAULT_BACKLOG, Kind, ListenSpec};
use session::names::ServerNames;
use std::collections::HashMap;
use std::path::PathBuf;
use std::rc::Rc;
use stream::variables::ServerName;
use stream::{Endpoint, Listen, Server};

/// The addresses of a server, in its server scope.
#[derive(Default)]
struct Listens {
    list: Vec<ListenRequest>,
}

/// The names of a server, likewise.
#[derive(Default)]
pub(super) struct Names {
    /// In order.
    pub(super) list: Vec<ServerName>,
    /// The first one as written.
    pub(super) first: Option<Box<[u8]>>,
}

pub(super) fn rows() -> Vec<Row> {
    vec![Row::new("listen", Context::STREAM_SERVER, Arity::AtLeast(1), "An address that the server answers on.", listen)]
}

/// Whether a server has no address.
pub(super) fn is_missing(frame: &Frame) -> bool {
    frame.server.get::<Listens>().list.is_empty()
}

fn listen(cx: &mut Cx<'_>) -> Result<(), Error> {
    let places = places(cx)?;
    let mut wanted = ListenRequest::new(ListenSpec::new(SocketAddress::Unix(PathBuf::new())), cx.directive.name.span);
    let mut foreign = None;
    for i in 1..cx.args().len() {
        match cx.arg(i) {
            b"udp" => wanted.spec.kind = Kind::Datagram,
            _ if options::parameter(cx, i, &mut wanted)? => foreign = foreign.or_else(|| not_for_datagrams(cx.arg(i))),
            _ => return Err(cx.invalid_parameter(i)),
        }
    }
    if let (Kind::Datagram, Some(name)) = (wanted.spec.kind, foreign) {
        return Err(cx.error(format!("\"listen\" directive \"{name}\" parameter is incompatible with \"udp\"")));
    }
    for place in places {
        let mut one = wanted.clone();
        one.spec.address = place;
        let mut listens = cx.frame.server.get::<Listens>();
        if listens.list.iter().any(|other| other.spec.address == one.spec.address && other.spec.kind == one.spec.kind) {
            return Err(cx.error(format!("a duplicate listen {}", one.spec.address)));
        }
        listens.list.push(one);
    }
    Ok(())
}

/// The name of a parameter that a socket for datagrams cannot have.
fn not_for_datagrams(parameter: &[u8]) -> Option<&'static str> {
    let name = parameter.split(|byte| *byte == b'=').next().unwrap_or_default();
    let names = ["fastopen", "backlog", "deferred", "multipath", "ssl", "so_keepalive", "proxy_protocol"];
    names.into_iter().find(|known| known.as_bytes() == name)
}

pub(super) fn server_name(cx: &mut Cx<'_>) -> Result<(), Error> {
    let mut names = cx.frame.server.get::<Names>();
    let names = &mut *names;
    names::add(cx, &mut names.list, &mut names.first)
}

/// The sockets to open, and what responses on each.
///
/// # Errors
/// Two default servers or two sets of socket options for one address.
pub(super) fn listens(servers: &[(&Frame, Rc<Server>)], stream: &Frame) -> Result<(Vec<ListenSpec>, Vec<Listen>), Error> {
    let (mut gathered, mut known): (Vec<AddressGroup<Server>>, _) = (Vec::new(), HashMap::new());
    for (frame, server) in servers {
        for wanted in frame.server.take::<Listens>().list {
            gather(&mut gathered, &mut known, wanted, server, &mut stream.global.get::<Warnings>())?;
        }
    }
    for one in &gathered {
        has_certificates(one)?;
        let names: Vec<_> = one.servers.iter().map(|server| server.names.as_slice()).collect();
        conflicts::check(&names, &one.request.spec.address, &mut stream.global.get::<Warnings>())?;
    }
    let (mut specs, mut listens) = (Vec::new(), Vec::new());
    for Shared { spec, members } in sockets(&gathered) {
        let endpoints =
            members.iter().filter_map(|one| Some((session_address(&one.request.spec.address), Rc::new(endpoint(one)?)))).collect();
        // A queue has no meaning where nobody connects.
        let backlog = if spec.kind == Kind::Datagram { DEFAULT_BACKLOG } else { spec.backlog };
        specs.push(ListenSpec { backlog, ..spec.clone() });
        listens.push(Listen { address: session_address(&spec.address), kind: spec.kind, endpoints });
    }
    Ok((specs, listens))
}

/// A server that listens for TLS must be able to answer a handshake (`ngx_stream_ssl_init`).
fn has_certificates(one: &AddressGroup<Server>) -> Result<(), Error> {
    let default = one.default.as_ref().or(one.servers.first());
    if one.request.tls && default.is_some_and(|server| server.tls.handshakes.get().is_none()) {
        return Err(Error::new("no \"ssl_certificate\" is defined for the \"listen ... ssl\" directive", one.request.span));
    }
    Ok(())
}

fn endpoint(one: &AddressGroup<Server>) -> Option<Endpoint> {
    let mut names = ServerNames::default();
    for server in &one.servers {
        names.add(server, &server.names);
    }
    Some(Endpoint {
        default: one.default.clone().or_else(|| one.servers.first().cloned())?,
        single: one.servers.len() == 1 && !names.has_regex(),
        names,
        proxy_protocol: one.request.proxy_protocol,
        tls: one.request.tls,
    })
}
