//! A server of a group as stored in its zone: from the configuration, from DNS or from an operator.

use crate::server::Server;
use std::rc::Rc;

/// Which state of which record a member is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) record: usize,
    /// The number that it had when it joined.
    pub(crate) joined: u64,
    /// How often it was changed since.
    pub(crate) revision: u64,
}

/// A server, or a name that stands for servers.
#[derive(Clone, Debug)]
pub struct Member {
    /// Its number, which nothing changes.
    pub id: u64,
    /// The number of the name that it was found under.
    pub parent: Option<u64>,
    /// What is said of it; the address of a name is empty.
    pub server: Server,
    /// It is a name.
    pub name: Option<Name>,
    pub(crate) identity: Identity,
    /// Identity of the name that it is or was found under.
    pub(crate) of_name: u64,
    /// Until when the name's answer holds, milliseconds.
    pub(crate) valid_ms: u64,
}

/// What a name is looked up as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// The name itself.
    pub host: Rc<str>,
    /// The service at that name.
    pub service: Option<Rc<str>>,
    /// The port, where no service tells it.
    pub port: u16,
}

impl Member {
    /// A server that is to join a group.
    #[must_use]
    pub fn new(server: Server) -> Member {
        Member { id: 0, parent: None, server, name: None, identity: Identity::default(), of_name: 0, valid_ms: 0 }
    }
}
