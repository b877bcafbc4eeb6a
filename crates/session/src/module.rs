//! How a module attaches to a protocol: its rows, values and handlers.

use crate::client::Client;
use crate::levels::Levels;
use crate::variable::Variables;
use conf::row::Row;
use conf::scope::Frame;
use conf::tree::Error;
use std::rc::Rc;

/// A session whose protocol is made of modules.
pub trait Modular: Client {
    /// The worker as the protocol sees it.
    type Worker: 'static;
    /// What a module joins: a location, or a server of `stream`, while it is built.
    type Attach<'a>;
}

/// A module: one feature, one file. Every member may be empty (see [`Module::named`]).
///
/// The order of modules in the registry is the order in which their handlers and filters run.
pub struct Module<S: Modular> {
    /// For messages.
    pub name: &'static str,
    /// Its directives; none where its twin in another protocol has them for both.
    pub rows: fn() -> Vec<Row>,
    /// Its configuration types.
    pub levels: fn(&mut Levels),
    /// Its variables.
    pub variables: fn(&mut Variables<S>),
    /// Runs once when the protocol's outermost block has been read, before values are inherited.
    pub complete: fn(&Frame) -> Result<(), Error>,
    /// Joins a place whose values are merged.
    pub attach: fn(&mut S::Attach<'_>) -> Result<(), Error>,
    /// Completes a server that has been built; the number is its place in the file.
    pub server: fn(&S::Server, usize, &Frame) -> Result<(), Error>,
    /// Runs in each worker when it starts.
    pub start: fn(&Rc<S::Worker>),
}

impl<S: Modular> Module<S> {
    /// A module that does nothing yet; give the members that it has with struct update syntax.
    #[must_use]
    pub const fn named(name: &'static str) -> Module<S> {
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

impl<S: Modular> Clone for Module<S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S: Modular> Copy for Module<S> {}
