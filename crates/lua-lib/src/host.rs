//! What code runs for, as libraries know it: a request, a connection, a timer, the start of a process.

use crate::machine::Machine;
use crate::pipe::process::Owned;
use crate::runtime::Runtime;
use base::log::Level;
use lua::{CallContext, Raise};
use session::Worker;
use std::rc::Rc;

/// The host of a run. Whoever runs code implements it, and shows itself as `dyn Host` in [`lua::Host::show`].
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

    /// What the code has opened, and what ends with what it runs for.
    fn resources(&self) -> &Resources;

    /// What lines are about that are written when the call is over; none where there is no request.
    fn subject(&self) -> Option<Box<dyn Subject>>;

    /// Makes hosts of code that this host's code leaves for later, such as a timer's function.
    fn heirs(&self) -> Heirs;
}

/// Makes the hosts of code that runs later.
pub type Heirs = Box<dyn Fn() -> Rc<dyn Host>>;

/// What is closed when a request or a run ends.
#[derive(Default)]
pub struct Resources {
    /// Programs that it started.
    pub processes: Owned,
}

/// A request or connection of which something is told after a call.
pub trait Subject {
    /// Whether a line of this level would be written.
    fn log_enabled(&self, level: Level) -> bool;

    /// Writes to the error log.
    fn log(&self, level: Level, message: &[u8]);

    /// How lines name it: a request's URI with its arguments.
    fn title(&self) -> Vec<u8>;
}

/// The host of the running code.
#[inline]
pub fn host(cx: &CallContext) -> Option<Rc<dyn Host>> {
    cx.host_as::<dyn Host>()
}

/// The host of the running code, for rows that can do nothing without one.
///
/// # Errors
/// `no request found`
pub fn expect_host(cx: &CallContext) -> Result<Rc<dyn Host>, Raise> {
    host(cx).ok_or(Raise::fixed("no request found"))
}

/// The worker that runs the code.
///
/// # Errors
/// `no request found` where there is none.
pub fn expect_worker(cx: &CallContext) -> Result<Rc<Worker>, Raise> {
    expect_host(cx)?.worker().cloned().ok_or(Raise::fixed("no request found"))
}

/// What stands after `context:` in log lines of code without a request.
pub fn log_context(cx: &CallContext) -> &'static str {
    cx.phase().filter(|phase| ![lua::LuaPhase::INIT, lua::LuaPhase::EXIT_WORKER].contains(phase)).map_or("", |phase| phase.name)
}
