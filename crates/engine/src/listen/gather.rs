//! The listening addresses of all servers, grouped by address, and the addresses grouped by socket.

use conf::row::Warnings;
use conf::tree::{Error, Span};
use net::address::SocketAddress as SocketPlace;
use net::listener::{Kind, ListenSpec};
use session::address::Address;
use std::collections::{HashMap, HashSet};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;

/// One address of one `listen` directive.
#[derive(Clone)]
pub(crate) struct ListenRequest {
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

impl ListenRequest {
    /// What is asked for that changes what is spoken, as bits.
    fn protocol_bits(&self) -> u64 {
        u64::from(self.proxy_protocol) | u64::from(self.tls) << 1 | u64::from(self.protocols) << 2
    }

    /// An address that nothing more is said of.
    pub(crate) fn new(spec: ListenSpec, span: Span) -> ListenRequest {
        ListenRequest {
            spec,
            with_options: false,
            default_server: false,
            proxy_protocol: false,
            tls: false,
            protocols: 0,
            alone: false,
            span,
        }
    }
}

/// One address while its servers are gathered.
pub(crate) struct AddressGroup<V> {
    pub(crate) request: ListenRequest,
    pub(crate) servers: Vec<Rc<V>>,
    pub(crate) default: Option<Rc<V>>,
    /// The protocols that the last `listen` said of it.
    protocol_bits: Option<u64>,
    /// Not all of them said the same.
    changed: bool,
}

/// Adds an address of a server; `places` says where in the list an address is.
pub(crate) fn gather<V>(
    gathered: &mut Vec<AddressGroup<V>>,
    places: &mut HashMap<(SocketPlace, Kind), usize>,
    request: ListenRequest,
    server: &Rc<V>,
    warnings: &mut Warnings,
) -> Result<(), Error> {
    let place = *places.entry((request.spec.address.clone(), request.spec.kind)).or_insert(gathered.len());
    let Some(same) = gathered.get_mut(place) else {
        let default = request.default_server.then(|| server.clone());
        gathered.push(AddressGroup { request, servers: vec![server.clone()], default, protocol_bits: None, changed: false });
        return Ok(());
    };
    let before = same.request.protocol_bits();
    if request.with_options {
        if same.request.with_options {
            return Err(Error::new(format!("duplicate listen options for {}", request.spec.address), request.span));
        }
        same.request.spec = request.spec.clone();
        same.request.with_options = true;
    }
    if request.default_server {
        if same.default.is_some() {
            return Err(Error::new(format!("a duplicate default server for {}", request.spec.address), request.span));
        }
        same.default = Some(server.clone());
    }
    if same.redefines(before, &request) {
        let message = format!("protocol options redefined for {}", request.spec.address);
        warnings.list.push(Error::new(message, request.span));
    }
    same.request.proxy_protocol |= request.proxy_protocol;
    same.request.tls |= request.tls;
    same.request.protocols |= request.protocols;
    same.request.alone |= request.alone;
    same.servers.push(server.clone());
    Ok(())
}

impl<V> AddressGroup<V> {
    /// Whether a further `listen` says other protocols of the address than those before it, in a way that is likely a mistake: one that
    /// only names the address again may leave them out (`ngx_http_add_addresses`). `before` is what was spoken until now.
    fn redefines(&mut self, before: u64, wanted: &ListenRequest) -> bool {
        let now = wanted.protocol_bits();
        let differs = self.protocol_bits.is_some_and(|known| known != now);
        if now & !before != 0 {
            let warns = (self.request.with_options && !wanted.with_options) || self.changed || before & !now != 0;
            (self.protocol_bits, self.changed) = (Some(before), true);
            return warns;
        }
        let removes = before & !now != 0;
        let warns = differs || (wanted.with_options && (removes || self.changed));
        self.protocol_bits = Some(now);
        self.changed |= removes;
        warns
    }
}

/// A socket with the addresses that it answers for.
pub(crate) struct Shared<'a, V> {
    /// What to open.
    pub(crate) spec: &'a ListenSpec,
    /// More specific addresses, and last the socket's own.
    pub(crate) members: Vec<&'a AddressGroup<V>>,
}

/// The sockets: one on the wildcard address answers for the specific addresses of its port that ask for nothing of their own.
pub(crate) fn sockets<V>(gathered: &[AddressGroup<V>]) -> Vec<Shared<'_, V>> {
    let wildcards: HashSet<(SocketAddr, Kind)> = gathered.iter().filter_map(|g| wildcard(&g.request.spec)).collect();
    let covering = |wanted: &ListenRequest| match &wanted.spec.address {
        SocketPlace::Internet(address) if !address.ip().is_unspecified() && !wanted.with_options => {
            wildcards.get(&(any_address(*address), wanted.spec.kind)).copied()
        }
        _ => None,
    };
    let mut covered: HashMap<(SocketAddr, Kind), Vec<&AddressGroup<V>>> = HashMap::new();
    for one in gathered {
        if let Some(own) = covering(&one.request) {
            covered.entry(own).or_default().push(one);
        }
    }
    let own = gathered.iter().filter(|one| covering(&one.request).is_none());
    own.map(|one| {
        let mut members = wildcard(&one.request.spec).and_then(|own| covered.remove(&own)).unwrap_or_default();
        members.push(one);
        Shared { spec: &one.request.spec, members }
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
pub(crate) fn session_address(place: &SocketPlace) -> Address {
    match place {
        SocketPlace::Internet(address) => Address::Ip(*address),
        SocketPlace::Unix(path) => Address::Unix(Some(path.clone())),
    }
}
