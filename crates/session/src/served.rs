//! What the features that serve more than one protocol ask of a session and of the place where they join.

use crate::address::Address;
use crate::connection::Connection;
use crate::outcome::Step;
use crate::paths::Paths;
use crate::variable::Session;
use crate::worker::Worker;
use base::log::{ErrorLog, Level};
use conf::scope::Config;
use std::cell::RefCell;
use std::rc::Rc;

/// A session that serves a client: an HTTP request, or a session of `stream`.
pub trait Served: Session {
    /// The servers of its protocol.
    type Server: 'static;

    /// The connection that it came on.
    fn connection(&self) -> &Rc<Connection<Self::Server>>;

    /// Who is served: the connection's other end, or who stands behind it (realip).
    fn client(&self) -> &RefCell<Address>;

    /// `$server_name`
    fn server_name(&self) -> Box<[u8]>;

    /// Where relative paths lead.
    fn paths(&self) -> &Paths;

    /// The worker, as far as it is of no protocol.
    fn worker(&self) -> &Worker;

    /// The value of type `T` that is in force here.
    fn conf<T: Config>(&self) -> Rc<T>;

    /// The value of type `T` of the whole protocol.
    fn main_conf<T: Config>(&self) -> Rc<T>;

    /// The module context of type `T`, made from `Default` on first use.
    fn context<T: Default + 'static>(&self) -> Rc<T>;

    /// The module context of type `T`, if there is one.
    fn find_context<T: 'static>(&self) -> Option<Rc<T>>;

    /// Registers what must happen when the session ends, in reverse order of registration.
    fn on_end(&self, f: impl FnOnce(&Rc<Self>) + 'static);

    /// Whether a line of this level would be written.
    fn log_enabled(&self, level: Level) -> bool;

    /// Writes to the error log, with the session's details after the message.
    fn log(&self, level: Level, message: &[u8]);
}

/// `log_served!(session, Level::Error, "…", …)`: formats only if the level is on.
#[macro_export]
macro_rules! log_served {
    ($session:expr, $level:expr, $($arg:tt)+) => {{
        let session = $session;
        if $crate::Served::log_enabled(session, $level) {
            $crate::Served::log(session, $level, format!($($arg)+).as_bytes());
        }
    }};
}

/// The place that a module joins (a location, or a server of `stream`), as far as protocols have it in common.
pub trait Join<S: Session> {
    /// Its merged value of type `T`; the default if the type is not registered.
    fn conf<T: Config>(&self) -> Rc<T>;

    /// The whole protocol's value of type `T`.
    fn main_conf<T: Config>(&self) -> Rc<T>;

    /// The error log in force.
    fn error_log(&self) -> &ErrorLog;

    /// Joins the first phase, where it is found out who the client is.
    fn first(&mut self, run: impl Fn(&Rc<S>) -> Step + 'static);

    /// Joins the phase before access.
    fn preaccess(&mut self, run: impl Fn(&Rc<S>) -> Step + 'static);

    /// Joins the phase that decides about access.
    fn access(&mut self, run: impl Fn(&Rc<S>) -> Step + 'static);

    /// Joins the log phase with what does not wait.
    fn log(&mut self, run: impl Fn(&Rc<S>) -> Step + 'static);
}
