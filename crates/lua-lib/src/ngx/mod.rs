//! The parts of the `ngx` API that need no request.
//!
//! Each part is a [`lua::Group`]: rows in Rust, glue in a Lua file of the same name. The glue also makes the
//! `resty.core.*` and `ngx.*` modules that libraries require of that part.

pub mod abi;
pub mod args;
pub mod base64;
pub(crate) mod consts;
pub mod digest;
pub mod environment;
pub mod errlog;
pub mod escape;
pub mod fields;
pub mod log;
pub mod names;
pub mod process;
pub mod regex;
pub mod semaphore;
pub mod shared;
pub mod sleep;
pub mod symbols;
pub mod time;
pub mod timer;
pub mod worker;

use crate::runtime::Subsystem;

/// The groups, in the order of binding: `fields` makes the getters of `ngx`, the constants the tables that others fill.
#[must_use]
pub fn groups(subsystem: Subsystem) -> Vec<lua::Group> {
    vec![
        fields::group(),
        log::group(),
        sleep::group(),
        timer::group(),
        symbols::group(),
        consts::group(subsystem),
        args::group(),
        time::group(),
        digest::group(),
        base64::group(),
        escape::group(),
        worker::group(),
        environment::group(),
        shared::group(),
        regex::group(),
        semaphore::group(),
        process::group(),
        errlog::group(),
        abi::group(),
    ]
}

/// The groups of a machine in a thread: what needs no worker either. Only HTTP's code has threads.
#[must_use]
pub(crate) fn thread_groups() -> Vec<lua::Group> {
    vec![
        symbols::group(),
        consts::group(Subsystem::Http),
        args::group(),
        digest::group(),
        base64::group(),
        escape::group(),
        shared::group(),
    ]
}

#[cfg(test)]
pub(crate) mod tests;
