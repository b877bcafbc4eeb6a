//! The `ngx` API: one group a file.

pub mod arg;
pub mod capture;
pub mod control;
pub mod ctx;
pub mod fields;
pub mod log;
pub mod output;
pub mod sleep;
pub mod status;
pub mod timer;

use lua::{Group, LuaPhase, PhaseSet};

/// Phases in which an answer may be begun.
pub const ANSWERING: PhaseSet = PhaseSet::of(LuaPhase::REWRITE)
    .with(LuaPhase::SERVER_REWRITE)
    .with(LuaPhase::ACCESS)
    .with(LuaPhase::PRECONTENT)
    .with(LuaPhase::CONTENT);

/// Marks any phase, for rows that look for a request themselves.
pub const ANYWHERE: u32 = PhaseSet::EVERYWHERE.bits();

/// Groups that others build on; `fields` is the first.
pub(crate) fn core_groups() -> Vec<Group> {
    vec![
        fields::group(),
        ctx::group(),
        capture::group(),
        status::group(),
        output::group(),
        control::group(),
        arg::group(),
        log::group(),
        sleep::group(),
        timer::group(),
    ]
}
