//! What modules ask of a session that stand once for all protocols: `allow` is the same for a request and for a stream.
//!
//! A module that is written for any `S: Client` is compiled once for each protocol, so that nothing is looked up at run
//! time, and a value of one protocol cannot be given to another's session: a row that is made for streams has another type
//! than one that is made for requests. It does not compile:
//!
//! ```compile_fail
//! use session::{Cache, Complex, Session};
//!
//! struct Request(Cache<Request>);
//! struct Stream(Cache<Stream>);
//! # impl Session for Request {
//! #     fn cache(&self) -> &Cache<Request> { &self.0 }
//! #     fn variable_cycle(&self, _: &str) {}
//! # }
//! # impl Session for Stream {
//! #     fn cache(&self) -> &Cache<Stream> { &self.0 }
//! #     fn variable_cycle(&self, _: &str) {}
//! # }
//! fn wrong(value: &Complex<Request>, stream: &Stream) -> Vec<u8> {
//!     value.to_vec(stream)
//! }
//! ```
//!
//! With a stream's own value it does:
//!
//! ```
//! # use session::{Cache, Complex, Session};
//! # struct Stream(Cache<Stream>);
//! # impl Session for Stream {
//! #     fn cache(&self) -> &Cache<Stream> { &self.0 }
//! #     fn variable_cycle(&self, _: &str) {}
//! # }
//! fn right(value: &Complex<Stream>, stream: &Stream) -> Vec<u8> {
//!     value.to_vec(stream)
//! }
//! ```

use crate::address::{Address, Proxied};
use crate::connection::Connection;
use crate::paths::Paths;
use crate::variable::Session;
use crate::worker::Worker;
use base::log::{ErrorLog, Level};
use conf::context::Context;
use conf::scope::Config;
use std::cell::Ref;
use std::rc::Rc;

/// Facts of the client's connection, and the log of what is done for it.
pub trait Client: Session {
    /// Whether proxies may name the client in the protocol's own words (`X-Forwarded-For`).
    const FORWARDS: bool = false;

    /// The servers of its protocol.
    type Server: 'static;

    /// The connection that it came on.
    fn connection(&self) -> &Rc<Connection<Self::Server>>;

    /// `$server_name`
    fn server_name(&self) -> Box<[u8]>;

    /// `$remote_addr`: the connection's peer, or the client behind it (realip).
    fn client(&self) -> Ref<'_, Address>;

    /// Sets the client behind the connection's peer.
    fn set_client(&self, client: Address);

    /// The connection's other end as the kernel sees it.
    fn peer(&self) -> &Address {
        &self.connection().peer
    }

    /// The list of addresses that proxies have left; empty if there is none.
    fn forwarded_for(&self) -> Vec<u8> {
        Vec::new()
    }

    /// What a PROXY protocol header said.
    fn proxied(&self) -> Option<Rc<Proxied>> {
        self.connection().proxy_protocol.borrow().clone()
    }

    /// Whether a line of this level would be written.
    fn log_enabled(&self, level: Level) -> bool;

    /// Writes to the error log with the session's details after the message.
    fn log(&self, level: Level, message: &[u8]);
}

/// A session under its configuration: the names of the protocol's blocks, values by type, the worker.
pub trait Configured: Client {
    /// The protocol's outermost block: `http` or `stream`.
    const OUTERMOST: Context;
    /// The blocks that share the settings of the protocol: `http, server, location` or `stream, server`.
    const BLOCKS: Context;
    /// Its groups of servers: `upstream`.
    const UPSTREAM: Context;

    /// The value of type `T` in force for this session.
    fn conf<T: Config>(&self) -> Rc<T>;

    /// The value of type `T` of the whole protocol.
    fn main_conf<T: Config>(&self) -> Rc<T>;

    /// What the module of type `T` remembers until the session ends, made from `Default` on first use.
    fn session_context<T: Default + 'static>(&self) -> Rc<T>;

    /// The same, if there is anything.
    fn find_lasting<T: 'static>(&self) -> Option<Rc<T>>;

    /// Registers what must happen when the session ends, in reverse order of registration.
    fn on_end(&self, f: impl FnOnce() + 'static);

    /// The worker that serves it.
    fn worker(&self) -> &Worker;

    /// Where relative paths lead.
    fn paths(&self) -> &Paths;
}

/// Writes `message` to an error log, followed by what `context` appends, which debug lines do without.
pub fn write_log(log: &ErrorLog, connection: u64, level: Level, message: &[u8], context: impl FnOnce(&mut Vec<u8>)) {
    // With room for most contexts.
    let mut line = Vec::with_capacity(message.len() + 256);
    line.extend_from_slice(message);
    if level != Level::Debug {
        context(&mut line);
    }
    log.write(level, connection, &line);
}

/// `log_client!(session, Level::Error, "…", …)`: formats only if the level is on.
#[macro_export]
macro_rules! log_client {
    ($session:expr, $level:expr, $($arg:tt)+) => {{
        use $crate::Client as _;
        let (session, level) = (&*$session, $level);
        if session.log_enabled(level) {
            session.log(level, format!($($arg)+).as_bytes());
        }
    }};
}
