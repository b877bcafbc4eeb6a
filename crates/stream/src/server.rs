//! A server as sessions see it: merged values and flat lists of handlers.
//!
//! Sessions know their servers, whose handlers take sessions. So that this file need not know that one, `S` stands for it.

use crate::core::Core;
use crate::phase::Phase;
use conf::configs::ConfMap;
use conf::scope::Config;
use conf::tree::Span;
use session::names::ServerName;
use session::tls::ServerTls;
use session::{BoxFuture, Outcome, Step};
use std::rc::Rc;

/// A phase handler with its place in the order of modules.
pub struct Handler<S> {
    /// Its place in its phase, from the module's in the registry: lower runs first, whatever the server.
    pub order: u32,
    /// Runs it.
    pub run: Rc<dyn Fn(&Rc<S>) -> Step>,
}

impl<S> Clone for Handler<S> {
    fn clone(&self) -> Self {
        Handler { order: self.order, run: self.run.clone() }
    }
}

/// The result of a preread handler, which has inspected [`Session::preread`](crate::Session::preread).
pub enum Preread {
    /// Undecided: it is called again when more bytes were received.
    More,
    /// What comes of it. `Ok` ends the phase, `Declined` leaves it to the next handler.
    Now(Outcome),
    /// Drive this to get it.
    Wait(BoxFuture<Outcome>),
}

/// A handler of the preread phase with its place in the order of modules.
pub struct PrereadHandler<S> {
    /// Its place in its phase, from the module's in the registry: lower runs first, whatever the server.
    pub order: u32,
    /// Runs it.
    pub run: Rc<dyn Fn(&Rc<S>) -> Preread>,
}

impl<S> Clone for PrereadHandler<S> {
    fn clone(&self) -> Self {
        PrereadHandler { order: self.order, run: self.run.clone() }
    }
}

/// The handler that does what a server is there for.
pub type ContentHandler<S> = Rc<dyn Fn(&Rc<S>) -> Step>;

/// A `server { }` in `stream`.
pub struct Server<S> {
    /// `$server_name`: the first name.
    pub name: Box<[u8]>,
    /// `server_name`, in order
    pub names: Vec<ServerName<S>>,
    /// Core values, at hand.
    pub core: Rc<Core>,
    /// Values that modules store at the location level of a frame.
    pub values: ConfMap,
    /// Values that modules store at the server level of a frame.
    pub server_values: ConfMap,
    /// Handlers by phase.
    pub phases: [Vec<Handler<S>>; Phase::COUNT],
    /// Handlers of the preread phase.
    pub preread: Vec<PrereadHandler<S>>,
    /// The content handler.
    pub content: Option<ContentHandler<S>>,
    /// Its part in TLS.
    pub tls: ServerTls<S>,
    /// Where it stands in the configuration.
    pub span: Span,
}

impl<S> Server<S> {
    /// The handlers of a phase.
    pub fn handlers(&self, phase: Phase) -> &[Handler<S>] {
        self.phases.get(phase as usize).map(Vec::as_slice).unwrap_or_default()
    }

    /// The value of type `T`, at whichever level its module keeps it; the default if the type is not registered.
    pub fn conf<T: Config>(&self) -> Rc<T> {
        self.values.share::<T>().or_else(|| self.server_values.share::<T>()).unwrap_or_default()
    }
}
