//! Connections that are handed from one listener of this process to another (`pass`).

use net::stream::Stream;
use session::address::{Address, Proxied};
use std::rc::Rc;

/// A client's connection that another listener shall serve.
pub struct PassedConnection {
    /// The bytes both ways.
    pub stream: Stream,
    /// What has been read of them.
    pub early: Vec<u8>,
    /// `$connection`
    pub id: u64,
    /// The client.
    pub client: Address,
    /// Where it shall come in.
    pub to: Address,
    /// What a PROXY protocol header said.
    pub proxied: Option<Rc<Proxied>>,
    /// When it was accepted, in milliseconds since the epoch.
    pub started_ms: u64,
    /// How often it has been passed on.
    pub times: u8,
}

/// Hands connections to listeners; returns one without a listener.
pub(crate) type PassConnection = Box<dyn Fn(Box<PassedConnection>) -> Result<(), Box<PassedConnection>>>;
