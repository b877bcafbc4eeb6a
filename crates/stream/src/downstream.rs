//! The connection between a session and its client.

use crate::datagrams::Datagrams;
use net::stream::Stream;
use std::cell::RefCell;
use std::rc::Rc;

/// The way to the client. It stays with the session, which closes it when the log phase is over.
pub enum Downstream {
    /// A connection; `None` while it is being upgraded (TLS).
    Stream(RefCell<Option<Stream>>),
    /// Datagrams.
    Datagrams(Rc<Datagrams>),
}
