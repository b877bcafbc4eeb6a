//! Lua in every phase of a request: the `*_by_lua*` directives and the `ngx` API.
//!
//! A directive is a [`http::Module`] in `phase`, a part of the API a [`lua::Group`] in `api`. [`groups`]
//! lists them in the order that counts, behind those of `lua_lib`, which need no request. What a function sees of its
//! request is the [`Host`].
#![forbid(unsafe_code)]

pub mod abort;
pub mod api;
pub mod code;
mod dev_page;
pub mod directive;
pub mod exit;
pub mod host;
pub mod machines;
pub mod names;
pub mod ngx;
pub mod options;
pub mod phase;
pub mod process_code;
pub mod send;
pub mod socket;
pub mod ssl;
pub mod start;
pub mod state;

pub use host::Host;
pub use lua_lib::{Machine, Runtime, Surroundings};
pub use start::{agent_connections, exit_worker};
pub use state::State;

/// Makes the machine in the master and runs `init_by_lua*`; to be called when a configuration that will serve is
/// opened. Does nothing where Lua is not used.
///
/// # Errors
/// nginx's line about why the configuration cannot be used.
pub fn open(http: &http::Http, surroundings: Surroundings, log: &base::log::ErrorLog) -> Result<(), String> {
    start::open(http, surroundings, log, groups)
}

/// All parts of the API, in the order of binding.
#[must_use]
pub fn groups() -> Vec<lua::Group> {
    let mut groups = lua_lib::groups();
    groups.extend(api::core_groups());
    groups.extend(ngx::groups());
    groups.push(socket::client::group());
    groups.extend(ssl::groups());
    groups
}
