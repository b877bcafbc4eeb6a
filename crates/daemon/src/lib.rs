//! The process model: command line, master and workers, signals, reload and binary upgrade.
//!
//! Nothing here knows of HTTP or Lua: the binary gives an [`Application`], and [`run()`] calls it at the moments at which
//! nginx would load a configuration, run its modules' hooks or start a worker.
#![forbid(unsafe_code)]
#![cfg_attr(not(test), warn(clippy::cast_possible_truncation))]

mod application;
mod checked;
mod child;
mod cli;
mod commands;
mod console;
mod diagnostics;
mod guard;
mod identity;
mod master;
mod pidfile;
mod run;
mod settings;
mod single;
mod spawn;
mod upgrade;
mod worker;
mod worker_setup;
mod worker_table;

pub use application::{Application, Handover, LoadError, LoadMode};
pub use cli::{Control, Options, parse};
pub use commands::{Command, CommandSource, Commands};
pub use diagnostics::{Diagnostic, SourcePosition};
pub use identity::{Identity, Program, Subcommand};
pub use run::run;
pub use settings::{Affinity, EnvEntry, Settings};
pub use worker_setup::{Role, WorkerSetup};
pub use worker_table::WorkerTable;
