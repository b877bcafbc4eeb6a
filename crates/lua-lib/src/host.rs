//! What code runs for, as libraries see it: a request, a connection, a timer, the start of a process.

use crate::machine::Machine;
use crate::resources::Resources;
use crate::runtime::Runtime;
use crate::socket::hub::Hub;
use crate::socket::secure::settings::SecureOptions;
use crate::socket::settings::SocketOptions;
use base::log::Level;
use lua::{CallContext, Raise};
use resolver::settings::Resolving;
use session::Worker;
use std::cell::RefCell;
use std::rc::Rc;

/// The host of a run. Code that runs Lua implements it, and exposes itself as `dyn Host` in [`lua::Host::provide`] and [`lua::Host::share`].
pub trait Host: lua::Host {
    /// Settings and worker-wide state of Lua.
    fn runtime(&self) -> &Rc<Runtime>;

    /// The virtual machine that runs the code.
    fn machine(&self) -> &Rc<Machine>;

    /// The worker; none in the master and in threads.
    fn worker(&self) -> Option<&Rc<Worker>>;

    /// Whether a line of this level would be written.
    fn log_enabled(&self, level: Level) -> bool;

    /// Writes to the error log, with what the code runs for. `context` stands in lines of code without a request.
    fn log(&self, level: Level, message: &[u8], context: &str);

    /// What the code has opened, and what is closed with what it runs for.
    fn resources(&self) -> &Rc<Resources>;

    /// What is closed only with the client's own request, where this one is a part of that.
    fn lasting_resources(&self) -> Rc<Resources> {
        self.resources().clone()
    }

    /// How debug lines name a request: its URI with its arguments; none where there is no request.
    fn title(&self) -> Option<Vec<u8>>;

    /// Makes hosts of code that this host's code leaves for later, such as a timer's function.
    fn host_factory(&self) -> HostFactory;

    /// What stands before log lines of code, sockets and threads, where lines tell one protocol's code from another's.
    fn log_prefix(&self) -> &'static str {
        ""
    }

    /// As [`Host::log`], behind that.
    fn log_prefixed(&self, level: Level, message: &[u8], context: &str) {
        match self.log_prefix() {
            "" => self.log(level, message, context),
            prefix => self.log(level, &[prefix.as_bytes(), message].concat(), context),
        }
    }

    /// Output being put together; reused from call to call.
    fn scratch(&self) -> &RefCell<Vec<u8>>;

    /// The worker's sockets; none where there is no worker.
    fn hub(&self) -> Option<&Rc<Hub>>;

    /// What `lua_socket_*` says here.
    fn socket_options(&self) -> Rc<SocketOptions>;

    /// What `lua_ssl_*` says here.
    fn secure_options(&self) -> Rc<SecureOptions>;

    /// What `resolver` and `resolver_timeout` say here.
    fn resolving(&self) -> Rc<Resolving>;

    /// What `tcp_nodelay` says here.
    fn tcp_nodelay(&self) -> bool;
}

/// Makes the hosts of code that runs later.
pub type HostFactory = Box<dyn Fn() -> Rc<dyn Host>>;

/// The host of the running code.
#[inline]
pub fn host(cx: &CallContext) -> Option<Rc<dyn Host>> {
    cx.host_as::<dyn Host>()
}

/// As [`host`] without a handle of its own: what fast rows use.
#[inline]
pub fn with_host<R>(cx: &CallContext, see: impl FnOnce(Option<&dyn Host>) -> R) -> R {
    cx.with_host_as::<dyn Host, R>(see)
}

/// The host of the running code, for rows that can do nothing without one.
///
/// # Errors
/// `no request found`
pub(crate) fn expect_host(cx: &CallContext) -> Result<Rc<dyn Host>, Raise> {
    host(cx).ok_or(Raise::fixed("no request found"))
}

/// The worker that runs the code.
///
/// # Errors
/// `no request found` where there is none.
pub(crate) fn expect_worker(cx: &CallContext) -> Result<Rc<Worker>, Raise> {
    with_host(cx, |host| host?.worker().cloned()).ok_or(Raise::fixed("no request found"))
}

/// What stands after `context:` in log lines of code without a request.
pub fn log_context(cx: &CallContext) -> &'static str {
    cx.phase().filter(|phase| ![lua::LuaPhase::INIT, lua::LuaPhase::EXIT_WORKER].contains(phase)).map_or("", |phase| phase.name)
}
