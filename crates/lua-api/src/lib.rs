//! Lua in every phase of a request: the `*_by_lua*` directives and the `ngx` API.
//!
//! A directive is a [`http::Module`] in `phase`, a part of the API a [`lua::Group`] in `api`. [`groups`]
//! lists them in the order that counts, behind those of `lua_lib`, which need no request. What a function sees of its
//! request is the [`Host`].
#![forbid(unsafe_code)]
#![cfg_attr(not(test), warn(clippy::cast_possible_truncation))]

pub mod abort;
pub mod api;
pub mod code;
mod dev_page;
pub mod exit;
pub mod host;
pub mod ngx;
pub mod options;
pub mod phase;
pub mod send;
pub mod socket;
pub mod state;

use host::Requests;
use lua_session::start::InitError;

pub use host::Host;
pub use lua_lib::{Machine, Runtime, ServerInfo};
pub use state::State;

use std::rc::Rc;

/// Makes the machine in the master and runs `init_by_lua*`; to be called when a configuration that will serve is
/// opened. Does nothing where Lua is not used.
///
/// # Errors
/// nginx's line about why the configuration cannot be used.
pub fn open(http: &http::Http, surroundings: &ServerInfo, log: &base::log::ErrorLog) -> Result<(), InitError> {
    if let Some(runtime) = http.main.share::<Runtime>() {
        ngx::upstream::load(http, &runtime);
    }
    lua_session::start::open::<Requests>(&http.main, &http.paths, surroundings, log, groups)
}

/// Runs `exit_worker_by_lua*`; to be called when a worker has nothing left to do.
pub fn exit_worker(worker: &Rc<http::Worker>) {
    lua_session::start::exit_worker::<Requests>(worker);
}

/// How many connections the privileged agent may have, where `init_by_lua*` wants one.
#[must_use]
pub fn agent_connections(http: &http::Http) -> Option<usize> {
    http.main.share::<Runtime>().and_then(|runtime| runtime.agent.get())
}

/// All parts of the API, in the order of binding.
#[must_use]
pub fn groups() -> Vec<lua::Group> {
    let mut groups = lua_lib::groups(lua_lib::Subsystem::Http);
    groups.extend(api::core_groups());
    groups.extend(ngx::groups());
    groups.push(socket::client::group());
    groups.extend(lua_session::ssl::groups::<Requests>());
    groups
}
