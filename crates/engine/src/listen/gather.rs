//! The addresses of all servers, gathered by address, and the addresses by socket.

use conf::tree::{Error, Span};
use net::address::SocketAddress as SocketPlace;
use net::listener::{Kind, ListenSpec};
use session::address::Address;
use std::collections::{HashMap, HashSet};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;

/// One address of one `listen` directive.
#[derive(Clone)]
pub(crate) struct Wanted {
    pub(crate) spec: ListenSpec,
    /// Socket options were given: only one server may do that.
    pub(crate) with_options: bool,
    pub(crate) default_server: bool,
    pub(crate) proxy_protocol: bool,
    pub(crate) tls: bool,
    /// Protocols that were asked for.
    pub(crate) protocols: u32,
    /// Nothing but these.
    pub(crate) alone: bool,
    pub(crate) span: Span,
}

impl Wanted {
    /// An address that nothing more is said of.
    pub(crate) fn new(spec: ListenSpec, span: Span) -> Wanted {
        Wanted { spec, with_options: false, default_server: false, proxy_protocol: false, tls: false, protocols: 0, alone: false, span }
    }
}

/// One address while its servers are gathered.
pub(crate) struct Gathered<V> {
    pub(crate) wanted: Wanted,
    pub(crate) servers: Vec<Rc<V>>,
    pub(crate) default: Option<Rc<V>>,
}

/// Adds an address of a server; `places` says where in the list an address is.
pub(crate) fn gather<V>(
    gathered: &mut Vec<Gathered<V>>,
    places: &mut HashMap<(SocketPlace, Kind), usize>,
    wanted: Wanted,
    server: &Rc<V>,
) -> Result<(), Error> {
    let place = *places.entry((wanted.spec.address.clone(), wanted.spec.kind)).or_insert(gathered.len());
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

/// A socket with the addresses that it answers for.
pub(crate) struct Shared<'a, V> {
    /// What to open.
    pub(crate) spec: &'a ListenSpec,
    /// More specific addresses, and last the socket's own.
    pub(crate) members: Vec<&'a Gathered<V>>,
}

/// The sockets: one on the wildcard address answers for the specific addresses of its port that ask for nothing of their own.
pub(crate) fn sockets<V>(gathered: &[Gathered<V>]) -> Vec<Shared<'_, V>> {
    let wildcards: HashSet<(SocketAddr, Kind)> = gathered.iter().filter_map(|g| wildcard(&g.wanted.spec)).collect();
    let covering = |wanted: &Wanted| match &wanted.spec.address {
        SocketPlace::Internet(address) if !address.ip().is_unspecified() && !wanted.with_options => {
            wildcards.get(&(any_address(*address), wanted.spec.kind)).copied()
        }
        _ => None,
    };
    let mut covered: HashMap<(SocketAddr, Kind), Vec<&Gathered<V>>> = HashMap::new();
    for one in gathered {
        if let Some(own) = covering(&one.wanted) {
            covered.entry(own).or_default().push(one);
        }
    }
    let own = gathered.iter().filter(|one| covering(&one.wanted).is_none());
    own.map(|one| {
        let mut members = wildcard(&one.wanted.spec).and_then(|own| covered.remove(&own)).unwrap_or_default();
        members.push(one);
        Shared { spec: &one.wanted.spec, members }
    })
    .collect()
}

/// The wildcard address of the same family and port.
fn any_address(address: SocketAddr) -> SocketAddr {
    let ip = if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    SocketAddr::new(ip, address.port())
}

fn wildcard(spec: &ListenSpec) -> Option<(SocketAddr, Kind)> {
    match &spec.address {
        SocketPlace::Internet(address) if address.ip().is_unspecified() => Some((*address, spec.kind)),
        _ => None,
    }
}

/// An address as sessions see it.
pub(crate) fn shown(place: &SocketPlace) -> Address {
    match place {
        SocketPlace::Internet(address) => Address::Ip(*address),
        SocketPlace::Unix(path) => Address::Unix(Some(path.clone())),
    }
}
