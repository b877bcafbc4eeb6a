//! The host of code in a thread: without a worker, and without a log.

use crate::host::{Heirs, Host, Resources, Subject};
use crate::machine::Machine;
use crate::runtime::Runtime;
use base::log::{ErrorLog, Level};
use session::Worker;
use std::any::Any;
use std::rc::Rc;

/// The host of code in a thread.
pub struct ThreadHost {
    runtime: Rc<Runtime>,
    machine: Rc<Machine>,
    log: ErrorLog,
    resources: Resources,
}

impl ThreadHost {
    /// A host of code in `machine`.
    pub fn new(runtime: Rc<Runtime>, machine: Rc<Machine>) -> ThreadHost {
        ThreadHost { runtime, machine, log: ErrorLog::new(Vec::new()), resources: Resources::default() }
    }
}

impl lua::Host for ThreadHost {
    fn show(self: Rc<Self>, view: &mut dyn Any) {
        if let Some(view) = view.downcast_mut::<Option<Rc<dyn Host>>>() {
            *view = Some(self);
        }
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

    fn resources(&self) -> &Resources {
        &self.resources
    }

    fn subject(&self) -> Option<Box<dyn Subject>> {
        None
    }

    fn heirs(&self) -> Heirs {
        let (runtime, machine) = (self.runtime.clone(), self.machine.clone());
        Box::new(move || Rc::new(ThreadHost::new(runtime.clone(), machine.clone())))
    }
}
