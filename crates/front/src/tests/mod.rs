//! Requests and responses of HTTP/1 without a connection: what a head means, and how one is written.

mod arrivals;
mod heads;

use http::connection::Address;
use http::core::ServerCore;
use http::location::{Locations, Match};
use http::module::Parts;
use http::rig::{self, Rig};
use http::root::Endpoint;
use http::{Complex, Core, Request, Server, Variables};
use session::names::{ServerName, ServerNames};
use std::cell::RefCell;
use std::rc::Rc;

/// A server of this name.
fn server(name: &str, core: Core, limits: ServerCore) -> Rc<Server> {
    let own = rig::location("", Match::Unnamed, core, Parts::default());
    rig::server(name, limits, own, Locations::default())
}

/// An address with these servers, the first of which is its default.
fn endpoint(servers: Vec<Rc<Server>>) -> Endpoint {
    let mut names = ServerNames::default();
    for server in &servers {
        names.add(server, &[ServerName::Exact(server.name.clone())]);
    }
    Endpoint {
        default: servers[0].clone(),
        single: servers.len() == 1,
        limits_by_host: servers.iter().any(|server| !server.core.has_limits_of(&servers[0].core)),
        names,
        proxy_protocol: false,
        tls: false,
        requested: 0,
        protocols: 0,
    }
}

/// A request that no client waits for, and what was logged.
fn request(server: Rc<Server>) -> (Rc<Request>, Rc<RefCell<String>>) {
    let Rig { http, worker, lines } = Rig::default();
    let connection = Rc::new(rig::connection(Address::Ip(([127, 0, 0, 1], 80).into())));
    (worker.spare.take_detached(&worker, &http, connection, server), lines)
}

/// A value without variables.
fn complex(text: &str) -> Complex {
    Complex::compile(text.as_bytes(), &mut Variables::default()).unwrap()
}
