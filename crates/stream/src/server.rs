//! A server as sessions see it: merged values and flat lists of handlers.

use crate::core::Core;
use crate::phase::Phase;
use crate::session::Session;
use conf::configs::ConfMap;
use conf::scope::Config;
use conf::tree::Span;
use session::tls::ServerTls;
use session::{BoxFuture, Outcome, Step};
use std::rc::Rc;

/// A phase handler with its place in the order of modules.
#[derive(Clone)]
pub struct Handler {
    /// Its place in its phase, from the module's in the registry: lower runs first, whatever the server.
    pub order: u32,
    /// Runs it.
    pub run: Rc<dyn Fn(&Rc<Session>) -> Step>,
}

/// The result of a preread handler, which has inspected [`Session::preread`].
pub enum Preread {
    /// Undecided: it is called again when more bytes were received.
    More,
    /// What comes of it. `Ok` ends the phase, `Declined` leaves it to the next handler.
    Now(Outcome),
    /// Drive this to get it.
    Wait(BoxFuture<Outcome>),
}

/// A handler of the preread phase with its place in the order of modules.
#[derive(Clone)]
pub struct PrereadHandler {
    /// Its place in its phase, from the module's in the registry: lower runs first, whatever the server.
    pub order: u32,
    /// Runs it.
    pub run: Rc<dyn Fn(&Rc<Session>) -> Preread>,
}

/// The handler that does what a server is there for.
pub type ContentHandler = Rc<dyn Fn(&Rc<Session>) -> Step>;

/// A `server { }` in `stream`.
pub struct Server {
    /// `$server_name`: the first name.
    pub name: Box<[u8]>,
    /// Core values, at hand.
    pub core: Rc<Core>,
    /// Values that modules store at the location level of a frame.
    pub values: ConfMap,
    /// Values that modules store at the server level of a frame.
    pub server_values: ConfMap,
    /// Handlers by phase.
    pub phases: [Vec<Handler>; Phase::COUNT],
    /// Handlers of the preread phase.
    pub preread: Vec<PrereadHandler>,
    /// The content handler.
    pub content: Option<ContentHandler>,
    /// Its part in TLS.
    pub tls: ServerTls<Session>,
    /// Where it stands in the configuration.
    pub span: Span,
}

impl Server {
    /// The handlers of a phase.
    pub fn handlers(&self, phase: Phase) -> &[Handler] {
        self.phases.get(phase as usize).map(Vec::as_slice).unwrap_or_default()
    }

    /// The value of type `T`, at whichever level its module keeps it; the default if the type is not registered.
    pub fn conf<T: Config>(&self) -> Rc<T> {
        self.values.share::<T>().or_else(|| self.server_values.share::<T>()).unwrap_or_default()
    }
}
