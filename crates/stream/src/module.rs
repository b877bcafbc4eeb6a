//! What a module attaches to: a server under construction.

use crate::core::Core;
use crate::phase::Phase;
use crate::server::{ContentHandler, Handler, Preread, PrereadHandler};
use crate::session::{Session, Worker};
use base::log::ErrorLog;
use conf::configs::ConfMap;
use conf::scope::Config;
use session::Step;
use session::module::Modular;
use std::rc::Rc;

/// A module of `stream`. Its types of the server and location levels both belong to `server`.
pub type Module = session::Module<Session>;

impl Modular for Session {
    type Worker = Worker;
    type Attach<'a> = Attach<'a>;
}

/// A server being built: what a module's `attach` sees.
pub struct Attach<'a> {
    /// Merged values of the frame's location level.
    pub values: &'a ConfMap,
    /// Merged values of the frame's server level.
    pub server_values: &'a ConfMap,
    /// Values of `stream`.
    pub main: &'a ConfMap,
    /// The module's name.
    pub name: &'static str,
    /// Place of the module in the registry.
    pub order: u16,
    /// The error log in force.
    pub log: &'a ErrorLog,
    /// The parts so far.
    pub parts: &'a mut Parts,
}

/// The lists of a server while it is built.
#[derive(Default)]
pub struct Parts {
    /// Handlers by phase.
    pub phases: [Vec<Handler<Session>>; Phase::COUNT],
    /// Handlers of the preread phase.
    pub preread: Vec<PrereadHandler<Session>>,
    /// The content handler.
    pub content: Option<ContentHandler<Session>>,
}

/// The place of a module's next handler behind the last one of its phase: the same in all servers where they have the same handlers.
fn place(module: u16, last: Option<u32>) -> u32 {
    let first = u32::from(module) << 8;
    last.filter(|last| *last >= first).map_or(first, |last| last + 1)
}

impl Attach<'_> {
    /// The server's value of type `T`, at whichever level its module keeps it; the default if the type is not registered.
    pub fn conf<T: Config>(&self) -> Rc<T> {
        self.values.share::<T>().or_else(|| self.server_values.share::<T>()).unwrap_or_default()
    }

    /// The value of type `T` of `stream`.
    pub fn main_conf<T: Config>(&self) -> Rc<T> {
        self.main.share::<T>().unwrap_or_default()
    }

    /// Joins a phase other than preread and content.
    pub fn phase(&mut self, phase: Phase, run: impl Fn(&Rc<Session>) -> Step + 'static) {
        if let Some(list) = self.parts.phases.get_mut(phase as usize) {
            let order = place(self.order, list.last().map(|last| last.order));
            list.push(Handler { order, run: Rc::new(run) });
        }
    }

    /// Adds a handler of the preread phase. It is called before any byte was read, and again whenever more were received.
    pub fn preread(&mut self, run: impl Fn(&Rc<Session>) -> Preread + 'static) {
        let order = place(self.order, self.parts.preread.last().map(|last| last.order));
        self.parts.preread.push(PrereadHandler { order, run: Rc::new(run) });
    }

    /// Installs the content handler of this server, unless a later directive of another module has the content ([`Core::choose_content`]).
    pub fn content(&mut self, run: impl Fn(&Rc<Session>) -> Step + 'static) {
        if self.conf::<Core>().content.is_none_or(|chosen| chosen == self.name) {
            self.parts.content = Some(Rc::new(run));
        }
    }
}
