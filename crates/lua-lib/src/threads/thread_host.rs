//! The host of code in a thread: without a worker, and without a log.

use crate::host::{Host, HostFactory};
use crate::machine::Machine;
use crate::resources::Resources;
use crate::runtime::Runtime;
use crate::socket::hub::Hub;
use crate::socket::secure::settings::SecureOptions;
use crate::socket::settings::SocketOptions;
use base::log::{ErrorLog, Level};
use resolver::settings::Resolving;
use session::Worker;
use std::any::Any;
use std::cell::RefCell;
use std::rc::Rc;

/// The host of code in a thread.
pub(crate) struct ThreadHost {
    runtime: Rc<Runtime>,
    machine: Rc<Machine>,
    log: ErrorLog,
    resources: Rc<Resources>,
    scratch: RefCell<Vec<u8>>,
}

impl ThreadHost {
    /// A host of code in `machine`.
    pub(crate) fn new(runtime: Rc<Runtime>, machine: Rc<Machine>) -> ThreadHost {
        ThreadHost { runtime, machine, log: ErrorLog::new(Vec::new()), resources: Rc::default(), scratch: RefCell::default() }
    }
}

impl lua::Host for ThreadHost {
    fn share(self: Rc<Self>, handle: &mut dyn Any) {
        if let Some(handle) = handle.downcast_mut::<Option<Rc<dyn Host>>>() {
            *handle = Some(self);
        }
    }

    fn provide<'a>(&'a self, view: &mut lua::HostView<'a>) {
        view.provide::<dyn Host>(self);
    }
}

impl Host for ThreadHost {
    fn runtime(&self) -> &Rc<Runtime> {
        &self.runtime
    }

    fn machine(&self) -> &Rc<Machine> {
        &self.machine
    }

    fn worker(&self) -> Option<&Rc<Worker>> {
        None
    }

    fn log_enabled(&self, level: Level) -> bool {
        self.log.enabled(level)
    }

    fn log(&self, level: Level, message: &[u8], _: &str) {
        self.log.write(level, 0, message);
    }

    fn resources(&self) -> &Rc<Resources> {
        &self.resources
    }

    fn title(&self) -> Option<Vec<u8>> {
        None
    }

    fn host_factory(&self) -> HostFactory {
        let (runtime, machine) = (self.runtime.clone(), self.machine.clone());
        Box::new(move || Rc::new(ThreadHost::new(runtime.clone(), machine.clone())))
    }

    fn scratch(&self) -> &RefCell<Vec<u8>> {
        &self.scratch
    }

    fn hub(&self) -> Option<&Rc<Hub>> {
        None
    }

    fn socket_options(&self) -> Rc<SocketOptions> {
        Rc::default()
    }

    fn secure_options(&self) -> Rc<SecureOptions> {
        Rc::default()
    }

    fn resolving(&self) -> Rc<Resolving> {
        Rc::default()
    }

    fn tcp_nodelay(&self) -> bool {
        true
    }
}
