//! A `stream` session as an instance of the traits of all protocols.

use crate::module::Attach;
use crate::phase::Phase;
use crate::session::{Connection, Server, Session};
use crate::variables::Cache;
use base::log::{ErrorLog, Level};
use conf::context::Context;
use conf::scope::Config;
use session::address::Address;
use session::join::SharedPhase;
use session::paths::Paths;
use session::tls::{Secured, ServerTls};
use session::{Client, Configured, Join, Step};
use std::cell::Ref;
use std::rc::Rc;

impl session::Session for Session {
    fn cache(&self) -> &Cache {
        self.variable_cache()
    }

    fn variable_cycle(&self, name: &str) {
        self.log(Level::Error, format!("cycle while evaluating variable \"{name}\"").as_bytes());
    }
}

impl Client for Session {
    type Server = Server;

    fn connection(&self) -> &Rc<Connection> {
        &self.connection
    }

    fn server_name(&self) -> Box<[u8]> {
        self.server().name.clone()
    }

    fn client(&self) -> Ref<'_, Address> {
        self.client.borrow()
    }

    fn set_client(&self, client: Address) {
        self.client.replace(client);
    }

    fn log_enabled(&self, level: Level) -> bool {
        self.log_enabled(level)
    }

    fn log(&self, level: Level, message: &[u8]) {
        self.log(level, message);
    }
}

impl Configured for Session {
    const OUTERMOST: Context = Context::STREAM;
    const BLOCKS: Context = Context::STREAM.union(Context::STREAM_SERVER);
    const UPSTREAM: Context = Context::STREAM_UPSTREAM;

    fn conf<T: Config>(&self) -> Rc<T> {
        self.conf()
    }

    fn main_conf<T: Config>(&self) -> Rc<T> {
        self.main_conf()
    }

    fn session_context<T: Default + 'static>(&self) -> Rc<T> {
        self.context()
    }

    fn find_lasting<T: 'static>(&self) -> Option<Rc<T>> {
        self.find_context()
    }

    fn on_end(&self, f: impl FnOnce() + 'static) {
        self.on_end(|_| f());
    }

    fn worker(&self) -> &session::Worker {
        &self.worker
    }

    fn paths(&self) -> &Paths {
        &self.configuration.paths
    }
}

impl Secured for Session {
    fn tls_of(server: &Server) -> &ServerTls<Session> {
        &server.tls
    }
}

impl Join<Session> for Attach<'_> {
    fn conf<T: Config>(&self) -> Rc<T> {
        self.conf()
    }

    fn main_conf<T: Config>(&self) -> Rc<T> {
        self.main_conf()
    }

    fn error_log(&self) -> &ErrorLog {
        self.log
    }

    fn join(&mut self, phase: SharedPhase, run: impl Fn(&Rc<Session>) -> Step + 'static) {
        let phase = match phase {
            SharedPhase::First => Phase::PostAccept,
            SharedPhase::Preaccess => Phase::Preaccess,
            SharedPhase::Access => Phase::Access,
            SharedPhase::Log => Phase::Log,
        };
        self.phase(phase, run);
    }
}
