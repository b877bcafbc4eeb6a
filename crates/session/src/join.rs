//! Where a feature that serves more than one protocol attaches.

use crate::outcome::Step;
use crate::variable::Session;
use base::log::ErrorLog;
use conf::scope::Config;
use std::rc::Rc;

/// The place that a module joins (a location, or a server of `stream`), as far as protocols have it in common.
pub trait Join<S: Session> {
    /// Its merged value of type `T`; the default if the type is not registered.
    fn conf<T: Config>(&self) -> Rc<T>;

    /// The whole protocol's value of type `T`.
    fn main_conf<T: Config>(&self) -> Rc<T>;

    /// The error log in force.
    fn error_log(&self) -> &ErrorLog;

    /// Joins one of the phases that all protocols have.
    fn join(&mut self, phase: SharedPhase, run: impl Fn(&Rc<S>) -> Step + 'static);

    /// Joins the first phase, where it is found out who the client is.
    fn first(&mut self, run: impl Fn(&Rc<S>) -> Step + 'static) {
        self.join(SharedPhase::First, run);
    }

    /// Joins the phase before access.
    fn preaccess(&mut self, run: impl Fn(&Rc<S>) -> Step + 'static) {
        self.join(SharedPhase::Preaccess, run);
    }

    /// Joins the phase that decides about access.
    fn access(&mut self, run: impl Fn(&Rc<S>) -> Step + 'static) {
        self.join(SharedPhase::Access, run);
    }

    /// Joins the log phase with what does not wait.
    fn log(&mut self, run: impl Fn(&Rc<S>) -> Step + 'static) {
        self.join(SharedPhase::Log, run);
    }
}

/// The phases that all protocols have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SharedPhase {
    /// Behind accepting a connection or reading a request's head.
    First,
    /// Before access.
    Preaccess,
    /// Decides whether the client is served.
    Access,
    /// Behind the end.
    Log,
}
