//! Connections that are handed from one listener of this process to another (`pass`).

use crate::worker::Worker;
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

impl Worker {
    /// Says how connections reach the worker's listeners; the front does, once.
    pub fn set_passing(&self, pass: impl Fn(Box<PassedConnection>) -> Result<(), Box<PassedConnection>> + 'static) {
        // A second front would be a mistake in main; the first one stays.
        let _ = self.passing.set(Box::new(pass));
    }

    /// Gives a connection to the listener on its address, of whichever protocol.
    ///
    /// # Errors
    /// There is no listener; the connection is returned.
    pub fn pass(&self, passed: Box<PassedConnection>) -> Result<(), Box<PassedConnection>> {
        match self.passing.get() {
            Some(pass) => pass(passed),
            None => Err(passed),
        }
    }
}
