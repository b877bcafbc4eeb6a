//! Lua in the phases of a session of `stream`: the `*_by_lua*` directives and the `ngx` API there.
//!
//! A directive is a [`stream::Module`] in `phase`, a part of the API a [`lua::Group`]. [`groups`] lists them in the order that counts,
//! behind those of `lua_lib`, which need no session, and among those of `lua_session`, which every protocol has. `stream` has a virtual
//! machine of its own: nothing in it is seen by code of `http`.
#![forbid(unsafe_code)]
#![cfg_attr(not(test), warn(clippy::cast_possible_truncation))]

mod client;
mod control;
mod host;
mod output;
pub mod phase;
mod run;
mod state;
mod waiting;

use base::log::ErrorLog;
use host::Sessions;
use lua_lib::{Runtime, ServerInfo, Subsystem};
use lua_session::start::InitError;
use std::rc::Rc;
use stream::{Configuration, Worker};

/// Makes the machine in the master and runs `init_by_lua*` of `stream`; to be called when a configuration that will serve is opened.
/// Does nothing where Lua is not used.
///
/// # Errors
/// nginx's line about why the configuration cannot be used.
pub fn open(configuration: &Configuration, surroundings: &ServerInfo, log: &ErrorLog) -> Result<(), InitError> {
    lua_session::start::open::<Sessions>(&configuration.main, &configuration.paths, surroundings, log, groups)
}

/// Runs `exit_worker_by_lua*` of `stream`; to be called when a worker has nothing left to do.
pub fn exit_worker(worker: &Rc<Worker>) {
    lua_session::start::exit_worker::<Sessions>(worker);
}

/// How many connections the privileged agent may have, where `init_by_lua*` of `stream` wants one.
#[must_use]
pub fn agent_connections(configuration: &Configuration) -> Option<usize> {
    configuration.main.share::<Runtime>().and_then(|runtime| runtime.agent.get())
}

/// All parts of the API, in the order of binding.
#[must_use]
pub fn groups() -> Vec<lua::Group> {
    let mut groups = lua_lib::groups(Subsystem::Stream);
    groups.push(lua_session::ctx::group::<Sessions>());
    groups.push(output::group());
    groups.extend(control::groups());
    groups.push(lua_session::var::group::<Sessions>());
    groups.push(lua_session::balancer::group::<Sessions>());
    groups.extend(client::groups());
    groups.extend(lua_session::ssl::groups::<Sessions>());
    groups
}

#[cfg(test)]
mod tests;
