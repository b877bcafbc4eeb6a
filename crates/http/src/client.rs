//! A request as the modules see it that stand once for all protocols.

use crate::connection::{Address, Proxied};
use crate::request::Request;
use crate::root::Paths;
use base::log::Level;
use conf::context::Context;
use conf::scope::Config;
use session::{Client, Configured};
use std::cell::Ref;
use std::rc::Rc;

impl Client for Request {
    const FORWARDS: bool = true;

    fn client(&self) -> Ref<'_, Address> {
        self.client.borrow()
    }

    fn set_client(&self, client: Address) {
        self.client.replace(client);
    }

    fn peer(&self) -> &Address {
        &self.connection.peer
    }

    fn forwarded_for(&self) -> Vec<u8> {
        let headers = self.headers.borrow();
        let lines: Vec<&[u8]> = headers.get_all(b"x-forwarded-for").collect();
        lines.join(&b","[..])
    }

    fn proxied(&self) -> Option<Rc<Proxied>> {
        self.connection.proxy_protocol.borrow().clone()
    }

    fn log_enabled(&self, level: Level) -> bool {
        Request::log_enabled(self, level)
    }

    fn log(&self, level: Level, message: &[u8]) {
        Request::log(self, level, message);
    }
}

impl Configured for Request {
    const OUTERMOST: Context = Context::HTTP;
    const BLOCKS: Context = Context::HTTP_ALL;
    const UPSTREAM: Context = Context::UPSTREAM;

    fn conf<T: Config>(&self) -> Rc<T> {
        Request::conf(self)
    }

    /// Subrequests remember with the client's request.
    fn lasting<T: Default + 'static>(&self) -> Rc<T> {
        let mut main = self;
        while let Some(parent) = &main.parent {
            main = parent;
        }
        Request::lasting(main)
    }

    fn on_end(&self, f: impl FnOnce() + 'static) {
        Request::on_end(self, |_| f());
    }

    fn worker(&self) -> &session::Worker {
        &self.worker
    }

    fn paths(&self) -> &Paths {
        &self.http.paths
    }
}
