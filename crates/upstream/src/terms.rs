//! Constraints that changes of a group at run time must respect.

use std::path::PathBuf;

/// What a group's block says that changes have to keep to.
#[derive(Clone, Debug, Default)]
pub struct GroupConstraints {
    /// `state`
    pub state: Option<PathBuf>,
    /// There is a `resolver`.
    pub resolves: bool,
    /// The way of choosing knows backups.
    pub backups: bool,
    /// The port of servers that name none; `None`: they have to.
    pub port: Option<u16>,
    /// Servers know `slow_start`, `drain` and `route`.
    pub bound: bool,
}
