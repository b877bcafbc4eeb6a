//! The process model: command line, master and workers, signals, reload and binary upgrade.
//!
//! Nothing here knows of HTTP or Lua: the binary gives an [`Application`], and [`run`] calls it at the moments at which
//! nginx would load a configuration, run its modules' hooks or start a worker.
#![forbid(unsafe_code)]

mod application;
mod board;
mod checked;
mod child;
mod cli;
mod commands;
mod console;
mod guard;
mod identity;
mod master;
mod pidfile;
mod problems;
mod run;
mod seat;
mod settings;
mod single;
mod spawn;
mod upgrade;
mod worker;

pub use application::{Application, Legacy, LoadError, LoadMode};
pub use board::Board;
pub use cli::{Control, Options, parse};
pub use commands::{Command, CommandSource, Commands};
pub use identity::{Identity, Program, Subcommand};
pub use problems::{Place, Problem};
pub use run::run;
pub use seat::{Role, Seat};
pub use settings::{Affinity, EnvEntry, Settings};
