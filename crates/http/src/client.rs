//! A request as an instance of the session traits of all protocols.

use crate::Cache;
use crate::connection::{Address, Connection};
use crate::location::Server;
use crate::module::Attach;
use crate::phase::Phase;
use crate::request::Request;
use crate::root::Paths;
use crate::tls::ServerTls;
use base::log::{ErrorLog, Level};
use conf::context::Context;
use conf::scope::Config;
use session::join::SharedPhase;
use session::tls::Secured;
use session::{Client, Configured, Join, Session, Step};
use std::cell::Ref;
use std::rc::Rc;

impl Session for Request {
    fn cache(&self) -> &Cache {
        self.variable_cache()
    }

    fn variable_cycle(&self, name: &str) {
        self.log(Level::Error, format!("cycle while evaluating variable \"{name}\"").as_bytes());
    }
}

impl Client for Request {
    const FORWARDS: bool = true;
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

    fn forwarded_for(&self) -> Vec<u8> {
        let headers = self.headers.borrow();
        let lines: Vec<&[u8]> = headers.get_all(b"x-forwarded-for").collect();
        lines.join(&b","[..])
    }

    fn log_enabled(&self, level: Level) -> bool {
        self.log_enabled(level)
    }

    fn log(&self, level: Level, message: &[u8]) {
        self.log(level, message);
    }
}

impl Configured for Request {
    const OUTERMOST: Context = Context::HTTP;
    const BLOCKS: Context = Context::HTTP_ALL;
    const UPSTREAM: Context = Context::UPSTREAM;

    fn conf<T: Config>(&self) -> Rc<T> {
        self.conf()
    }

    fn main_conf<T: Config>(&self) -> Rc<T> {
        self.http.main.share::<T>().unwrap_or_default()
    }

    /// Subrequests remember with the client's request.
    fn session_context<T: Default + 'static>(&self) -> Rc<T> {
        root(self).client_context()
    }

    fn find_lasting<T: 'static>(&self) -> Option<Rc<T>> {
        root(self).find_lasting()
    }

    fn on_end(&self, f: impl FnOnce() + 'static) {
        self.on_end(|_| f());
    }

    fn worker(&self) -> &session::Worker {
        &self.worker
    }

    fn paths(&self) -> &Paths {
        &self.http.paths
    }
}

/// The client's request above a subrequest.
fn root(request: &Request) -> &Request {
    let mut at = request;
    while let Some(parent) = &at.parent {
        at = parent;
    }
    at
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

    fn join(&mut self, phase: SharedPhase, run: impl Fn(&Rc<Request>) -> Step + 'static) {
        let phase = match phase {
            SharedPhase::First => Phase::PostRead,
            SharedPhase::Preaccess => Phase::Preaccess,
            SharedPhase::Access => Phase::Access,
            SharedPhase::Log => Phase::Log,
        };
        self.phase(phase, run);
    }
}
