//! The finished `stream { }` of one generation: immutable, shared. `S` is a session, as in [`Server`].

use crate::server::Server;
use conf::configs::ConfMap;
use net::listener::Kind;
use session::address::Address;
use session::names::ServerNames;
use session::paths::Paths;
use session::variable::Variables;
use std::rc::Rc;

/// The servers that share a listening address.
pub struct Endpoint<S> {
    /// Server for clients that name none.
    pub default: Rc<Server<S>>,
    /// There is only this one: nothing to look up.
    pub single: bool,
    /// The servers by their names.
    pub names: ServerNames<S, Server<S>>,
    /// Connections begin with a PROXY protocol header.
    pub proxy_protocol: bool,
    /// Connections are TLS.
    pub tls: bool,
}

/// The endpoints of one listening socket: a wildcard socket may stand for several addresses.
pub struct Listen<S> {
    /// Address of the socket.
    pub address: Address,
    /// Connections or datagrams.
    pub kind: Kind,
    /// Endpoints of more specific addresses on the same port, and last the socket's own.
    pub endpoints: Vec<(Address, Rc<Endpoint<S>>)>,
}

impl<S> Listen<S> {
    /// What answers at an address of this machine to which a client came.
    pub fn endpoint(&self, local: &Address) -> Option<&Rc<Endpoint<S>>> {
        let specific = self.endpoints.iter().find(|(address, _)| address == local);
        specific.or(self.endpoints.last()).map(|(_, endpoint)| endpoint)
    }
}

/// The whole of `stream { }`.
pub struct Configuration<S> {
    /// All variables.
    pub variables: Rc<Variables<S>>,
    /// Main-level values of modules.
    pub main: ConfMap,
    /// What `stream` itself says, at the level of locations: for code that runs for no session.
    pub outer: ConfMap,
    /// The servers in the order of the file.
    pub servers: Vec<Rc<Server<S>>>,
    /// One entry per listening socket, in the order of the listeners' specifications.
    pub listens: Vec<Listen<S>>,
    /// Where relative paths lead.
    pub paths: Rc<Paths>,
}
