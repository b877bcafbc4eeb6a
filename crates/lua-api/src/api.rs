//! The `ngx` API: one group a file.

pub mod arg;
pub mod capture;
pub mod control;
pub mod output;
pub mod status;

use crate::host::Host;
use lua::{Group, LuaPhase, PhaseSet};

/// Phases in which an answer may be begun.
pub const ANSWERING: PhaseSet = PhaseSet::of(LuaPhase::REWRITE)
    .with(LuaPhase::SERVER_REWRITE)
    .with(LuaPhase::ACCESS)
    .with(LuaPhase::PRECONTENT)
    .with(LuaPhase::CONTENT);

pub use lua_lib::ANYWHERE;

/// Groups that others build on.
pub(crate) fn core_groups() -> Vec<Group> {
    vec![lua_session::ctx::group::<Host>(), capture::group(), status::group(), output::group(), control::group(), arg::group()]
}
