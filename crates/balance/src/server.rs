//! A server as the configuration describes it.

use md5::{Digest, Md5};
use net::address::SocketAddress;
use std::fmt::Write;
use std::rc::Rc;

/// Whether a server takes requests at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ServerState {
    /// It does.
    #[default]
    Up,
    /// It takes those only that are bound to it already.
    Draining,
    /// It does not.
    Down,
}

impl ServerState {
    /// What a peer's counter says was set; `None`: nothing was.
    pub(crate) fn set(counter: i64) -> Option<ServerState> {
        match counter {
            1 => Some(ServerState::Up),
            2 => Some(ServerState::Draining),
            3 => Some(ServerState::Down),
            _ => None,
        }
    }
}

/// A server (nginx manual, `server` in `upstream`).
#[derive(Clone, Debug)]
pub struct Server {
    /// Its address.
    pub address: SocketAddress,
    /// The address as the log and `$upstream_addr` show it.
    pub name: Rc<str>,
    /// The server as it is written, which `hash … consistent` spreads over its ring.
    pub source: Rc<str>,
    /// `weight`
    pub weight: i64,
    /// `max_fails`; 0 never disables it
    pub max_fails: u64,
    /// `fail_timeout`, seconds
    pub fail_timeout: i64,
    /// `max_conns`; 0 is unlimited
    pub max_conns: u64,
    /// `slow_start`, milliseconds; 0 begins with the whole weight
    pub slow_start: u64,
    /// `backup`
    pub backup: bool,
    /// `down`, `drain`
    pub state: ServerState,
    /// `route`
    pub route: Option<Rc<str>>,
}

impl Server {
    /// A server with nginx's defaults: weight 1, one failure disables it for ten seconds.
    #[must_use]
    pub fn new(address: SocketAddress) -> Server {
        let name: Rc<str> = address.to_string().into();
        Server {
            address,
            source: name.clone(),
            name,
            weight: 1,
            max_fails: 1,
            fail_timeout: 10,
            max_conns: 0,
            slow_start: 0,
            backup: false,
            state: ServerState::Up,
            route: None,
        }
    }

    /// The same with another address.
    #[must_use]
    pub fn at(&self, address: SocketAddress) -> Server {
        let name = address.to_string().into();
        Server { address, name, ..self.clone() }
    }

    /// What `sticky` calls it: its route, or the MD5 of its address as text.
    #[must_use]
    pub fn id(&self) -> Rc<str> {
        self.route.clone().unwrap_or_else(|| {
            let mut text = String::with_capacity(32);
            for byte in Md5::digest(self.name.as_bytes()) {
                // Writing to a string does not fail.
                let _ = write!(text, "{byte:02x}");
            }
            text.into()
        })
    }
}
