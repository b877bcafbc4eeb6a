//! The finished `http { }` of one generation: immutable, shared.

use crate::Variables;
use crate::connection::Address;
use crate::location::Server;
use crate::request::Request;
use conf::configs::ConfMap;
use session::names::ServerNames;
use std::rc::Rc;

pub use session::paths::{MainContext, Paths, os_path};

/// The servers that share a listening address.
pub struct Endpoint {
    /// Server for requests whose host names none.
    pub default: Rc<Server>,
    /// Every name leads to the default server: nothing to look up.
    pub single: bool,
    /// The servers by their names.
    pub names: ServerNames<Request, Server>,
    /// Not all servers say the same of a head's size and of its lines.
    pub limits_by_host: bool,
    /// Connections begin with a PROXY protocol header.
    pub proxy_protocol: bool,
    /// Connections are TLS.
    pub tls: bool,
    /// What `listen` says of protocols: bits of [`crate::protocols::Protocols`].
    pub requested: u32,
    /// What may be spoken where no name was given: what the default server says is with it.
    pub protocols: u32,
}

/// The endpoints of one listening socket: a wildcard socket may stand for several addresses.
pub struct Listen {
    /// Address of the socket.
    pub address: Address,
    /// Endpoints of more specific addresses on the same port, and last the socket's own.
    pub endpoints: Vec<(Address, Rc<Endpoint>)>,
}

impl Listen {
    /// The servers behind `local`, an address of this machine: those of that address alone, or else those of any.
    pub fn endpoint(&self, local: &Address) -> Option<Rc<Endpoint>> {
        let specific = self.endpoints.iter().find(|(address, _)| address == local);
        specific.or(self.endpoints.last()).map(|(_, endpoint)| endpoint.clone())
    }
}

/// Location-level values as `http` itself says them, kept in [`Http::main`]: in force where there is no request.
pub struct Defaults(pub ConfMap);

/// The `http { }` block of one generation, immutable.
pub struct Http {
    /// All variables.
    pub variables: Rc<Variables>,
    /// Main-level values of modules.
    pub main: ConfMap,
    /// The servers in the order of the file.
    pub servers: Vec<Rc<Server>>,
    /// One entry per listening socket, in the order of the listeners' specifications.
    pub listens: Vec<Listen>,
    /// Where relative paths lead.
    pub paths: Rc<Paths>,
}

impl Http {
    /// The address to listen on by which connections to `local` come.
    pub fn listening(&self, local: &Address) -> Option<&Address> {
        let fits = |address: &&Address| match (address, local) {
            (Address::Ip(listen), Address::Ip(local)) => {
                listen.port() == local.port() && (listen.ip() == local.ip() || listen.ip().is_unspecified())
            }
            (listen, local) => *listen == local,
        };
        self.listens.iter().map(|listen| &listen.address).find(fits)
    }
}
