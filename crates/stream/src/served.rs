//! A session of `stream` among those of all protocols.

use crate::Connection;
use crate::module::Attach;
use crate::phase::Phase;
use crate::server::Server;
use crate::session::Session;
use crate::variables::Cache;
use base::log::{ErrorLog, Level};
use conf::scope::Config;
use session::address::Address;
use session::paths::Paths;
use session::tls::{Secured, ServerTls};
use session::{Join, Served, Step};
use std::cell::RefCell;
use std::rc::Rc;

impl session::Session for Session {
    fn cache(&self) -> &Cache {
        self.variable_cache()
    }

    fn variable_cycle(&self, name: &str) {
        self.log(Level::Error, format!("cycle while evaluating variable \"{name}\"").as_bytes());
    }
}

impl Served for Session {
    type Server = Server;

    fn connection(&self) -> &Rc<Connection> {
        &self.connection
    }

    fn client(&self) -> &RefCell<Address> {
        &self.client
    }

    fn server_name(&self) -> Box<[u8]> {
        self.server().name.clone()
    }

    fn paths(&self) -> &Paths {
        &self.configuration.paths
    }

    fn worker(&self) -> &session::Worker {
        &self.worker
    }

    fn conf<T: Config>(&self) -> Rc<T> {
        self.conf()
    }

    fn main_conf<T: Config>(&self) -> Rc<T> {
        self.main_conf()
    }

    fn context<T: Default + 'static>(&self) -> Rc<T> {
        self.context()
    }

    fn find_context<T: 'static>(&self) -> Option<Rc<T>> {
        self.find_context()
    }

    fn on_end(&self, f: impl FnOnce(&Rc<Session>) + 'static) {
        self.on_end(f);
    }

    fn log_enabled(&self, level: Level) -> bool {
        self.log_enabled(level)
    }

    fn log(&self, level: Level, message: &[u8]) {
        self.log(level, message);
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

    fn first(&mut self, run: impl Fn(&Rc<Session>) -> Step + 'static) {
        self.phase(Phase::PostAccept, run);
    }

    fn preaccess(&mut self, run: impl Fn(&Rc<Session>) -> Step + 'static) {
        self.phase(Phase::Preaccess, run);
    }

    fn access(&mut self, run: impl Fn(&Rc<Session>) -> Step + 'static) {
        self.phase(Phase::Access, run);
    }

    fn log(&mut self, run: impl Fn(&Rc<Session>) -> Step + 'static) {
        self.phase(Phase::Log, run);
    }
}
