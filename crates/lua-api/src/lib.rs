//! Lua in every phase of a request: the `*_by_lua*` directives and the `ngx` API.
//!
//! A directive is a [`http::Module`] in `phase`, a part of the API a [`lua::Group`] in `api`. [`groups`]
//! lists them in the order that counts. The virtual machine and its worker-wide state are [`Runtime`]'s;
//! what a function sees of its request is the [`Host`].
#![forbid(unsafe_code)]

pub mod abort;
mod alarms;
pub mod api;
pub mod code;
mod dev_page;
pub mod directive;
pub mod exit;
pub mod host;
pub mod json;
pub mod library;
pub mod machine;
pub mod names;
pub mod ngx;
pub mod number;
pub mod options;
pub mod phase;
pub mod pipe;
pub mod resty;
pub mod runtime;
pub mod send;
mod shelf;
pub mod socket;
pub mod ssl;
pub mod start;
pub mod state;
pub mod threads;
pub mod timers;
mod watcher;

pub use host::Host;
pub use machine::Machine;
pub use runtime::{Runtime, Surroundings};
pub use start::{agent_connections, exit_worker, open};
pub use state::State;

/// All parts of the API, in the order of binding: the first makes the `ngx` table's field getters that others add to.
#[must_use]
pub fn groups() -> Vec<lua::Group> {
    let mut groups = api::core_groups();
    groups.extend(ngx::groups());
    groups.extend(resty::groups());
    groups.push(pipe::rows::group());
    groups.push(threads::rows::group());
    groups.push(lua::light_threads());
    groups.push(json::group());
    groups.push(socket::rows::group());
    groups.extend(ssl::groups());
    groups
}

/// Gives a machine the Lua modules that come with the server: those that go before files of their names, and those
/// that stand in for files that are not there. `debug` is what `ngx.config.debug` says.
///
/// # Errors
/// Memory is exhausted.
pub(crate) fn furnish(vm: &lua::Vm, debug: bool) -> Result<(), lua::LuaError> {
    if debug {
        let set = vm.load_text(b"ngx.config.debug = true", "=debug")?;
        vm.run_now(set, lua::LuaPhase::INIT, None, |_| 0, |_| ())?;
    }
    for (name, source) in resty::SOURCES {
        vm.preload(name, source)?;
    }
    let before = machine::own_places();
    for (name, source) in resty::SUPPLIES.iter().chain(library::LIBRARIES) {
        vm.supply(name, source, &before)?;
    }
    Ok(())
}
