//! How a module joins: its rows, its values, its handlers.

use crate::core::Core;
use crate::phase::Phase;
use crate::server::{ContentHandler, Handler, Preread, PrereadHandler, Server};
use crate::session::Session;
use crate::variables::Variables;
use crate::worker::Worker;
use base::log::ErrorLog;
use conf::configs::ConfMap;
use conf::row::Row;
use conf::scope::{Config, Frame};
use conf::tree::Error;
use session::{Levels, Step};
use std::rc::Rc;

/// A module: one feature, one file. Every member may be empty (see [`Module::named`]).
///
/// The order of modules in the registry is the order in which their handlers run.
#[derive(Clone, Copy)]
pub struct Module {
    /// For messages.
    pub name: &'static str,
    /// Its directives; none where its twin in `http` has them for both.
    pub rows: fn() -> Vec<Row>,
    /// Its configuration types. Those of the server and location levels both belong to `server`.
    pub levels: fn(&mut Levels),
    /// Its variables.
    pub variables: fn(&mut Variables),
    /// Runs once when `stream { }` has been read, before values are inherited.
    pub complete: fn(&Frame) -> Result<(), Error>,
    /// Joins a server whose values are merged.
    pub attach: fn(&mut Attach<'_>) -> Result<(), Error>,
    /// Completes a server that has been built; the number is its place in the file.
    pub server: fn(&Server, usize, &Frame) -> Result<(), Error>,
    /// Runs in each worker when it starts.
    pub start: fn(&Rc<Worker>),
}

impl Module {
    /// A module that does nothing yet; give the members that it has with struct update syntax.
    pub const fn named(name: &'static str) -> Module {
        Module {
            name,
            rows: Vec::new,
            levels: |_| {},
            variables: |_| {},
            complete: |_| Ok(()),
            attach: |_| Ok(()),
            server: |_, _, _| Ok(()),
            start: |_| {},
        }
    }
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
    pub phases: [Vec<Handler>; Phase::COUNT],
    /// Handlers of the preread phase.
    pub preread: Vec<PrereadHandler>,
    /// The content handler.
    pub content: Option<ContentHandler>,
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

    /// Joins the preread phase. The handler is asked before any byte has been read, and again whenever more have come.
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
