//! A request as a session among those of all protocols.

use crate::Cache;
use crate::connection::{Address, Connection};
use crate::location::Server;
use crate::module::Attach;
use crate::phase::Phase;
use crate::request::Request;
use crate::tls::ServerTls;
use base::log::{ErrorLog, Level};
use conf::scope::Config;
use session::paths::Paths;
use session::tls::Secured;
use session::{Join, Served, Session, Step};
use std::cell::RefCell;
use std::rc::Rc;

impl Session for Request {
    fn cache(&self) -> &Cache {
        self.variable_cache()
    }

    fn variable_cycle(&self, name: &str) {
        self.log(Level::Error, format!("cycle while evaluating variable \"{name}\"").as_bytes());
    }
}

impl Served for Request {
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
        &self.http.paths
    }

    fn worker(&self) -> &session::Worker {
        &self.worker
    }

    fn conf<T: Config>(&self) -> Rc<T> {
        self.conf()
    }

    fn main_conf<T: Config>(&self) -> Rc<T> {
        self.http.main.share::<T>().unwrap_or_default()
    }

    fn context<T: Default + 'static>(&self) -> Rc<T> {
        self.context()
    }

    fn find_context<T: 'static>(&self) -> Option<Rc<T>> {
        self.find_context()
    }

    fn on_end(&self, f: impl FnOnce(&Rc<Request>) + 'static) {
        self.on_end(f);
    }

    fn log_enabled(&self, level: Level) -> bool {
        self.log_enabled(level)
    }

    fn log(&self, level: Level, message: &[u8]) {
        self.log(level, message);
    }
}

impl Secured for Request {
    fn tls_of(server: &Server) -> &ServerTls {
        &server.tls
    }
}

impl Join<Request> for Attach<'_> {
    fn conf<T: Config>(&self) -> Rc<T> {
        self.conf()
    }

    fn main_conf<T: Config>(&self) -> Rc<T> {
        self.main_conf()
    }

    fn error_log(&self) -> &ErrorLog {
        self.log
    }

    fn first(&mut self, run: impl Fn(&Rc<Request>) -> Step + 'static) {
        self.phase(Phase::PostRead, run);
    }

    fn preaccess(&mut self, run: impl Fn(&Rc<Request>) -> Step + 'static) {
        self.phase(Phase::Preaccess, run);
    }

    fn access(&mut self, run: impl Fn(&Rc<Request>) -> Step + 'static) {
        self.phase(Phase::Access, run);
    }

    fn log(&mut self, run: impl Fn(&Rc<Request>) -> Step + 'static) {
        self.phase(Phase::Log, run);
    }
}
