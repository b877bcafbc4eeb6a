//! What HTTP and stream sessions have in common: variables, complex values, regular expressions, phases, their worker.
#![forbid(unsafe_code)]
#![cfg_attr(not(test), warn(clippy::cast_possible_truncation))]

pub mod address;
pub mod alarms;
pub mod captures;
pub mod client;
pub mod complex;
pub mod connection;
pub mod contexts;
pub mod directories;
#[cfg(test)]
mod fake;
pub mod handshake_end;
pub mod join;
pub mod levels;
pub mod log_files;
pub mod module;
pub mod names;
pub mod outcome;
mod panics;
pub mod paths;
pub mod regex;
pub mod resources;
pub mod status_zone;
pub mod thread_pools;
pub mod tls;
pub mod tls_directives;
pub mod tls_info;
pub mod variable;
pub mod worker;

pub use address::Address;
pub use client::{Client, Configured};
pub use complex::Complex;
pub use join::Join;
pub use levels::Levels;
pub use module::Module;
pub use outcome::{BoxFuture, Outcome, Step};
pub use regex::Regex;
pub use variable::{Cache, Session, VarIndex, Variables};
pub use worker::Worker;
