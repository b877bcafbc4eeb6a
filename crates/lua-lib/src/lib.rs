//! Lua's libraries that need no request: what `ngx.*`, `resty.*` and `cjson` offer to code of any protocol.
//!
//! A part is a [`lua::Group`]. [`groups`] lists them in the order that counts. The virtual machine and its worker-wide
//! state are [`Runtime`]'s; what a function sees of what its code runs for is the [`Host`].
#![forbid(unsafe_code)]
#![cfg_attr(not(test), warn(clippy::cast_possible_truncation))]

mod dict_slots;
pub mod host;
pub mod json;
pub mod library;
pub mod machine;
pub mod machines;
pub mod ngx;
pub mod number;
pub mod pipe;
pub mod resources;
pub mod resty;
pub mod runtime;
pub mod shown;
pub mod socket;
pub mod threads;
pub mod timers;
pub(crate) mod watcher;

pub use host::{Host, log_context};
pub use machine::Machine;
pub use resources::Resources;
pub use runtime::{Runtime, ServerInfo, Subsystem};

/// Marks any phase, for rows that look for a host themselves.
pub const ANYWHERE: u32 = lua::PhaseSet::EVERYWHERE.bits();

/// All parts, in the order of binding: the first makes the `ngx` table's field getters that others add to.
#[must_use]
pub fn groups(subsystem: Subsystem) -> Vec<lua::Group> {
    let mut groups = ngx::groups(subsystem);
    groups.extend(resty::groups());
    groups.push(pipe::rows::group());
    if subsystem == Subsystem::Http {
        groups.push(threads::rows::group());
    }
    groups.push(lua::light_threads());
    groups.push(json::group());
    groups.push(socket::rows::group());
    groups
}

/// Gives a machine the Lua modules that come with the server: those that go before files of their names, and those
/// that stand in for files that are not there. `debug` is what `ngx.config.debug` says.
///
/// # Errors
/// Memory is exhausted.
pub(crate) fn preload(vm: &lua::Vm, debug: bool) -> Result<(), lua::LuaError> {
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
