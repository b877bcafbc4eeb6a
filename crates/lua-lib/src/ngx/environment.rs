//! `os.getenv` in `init_by_lua*`, which runs before workers get the environment that `env` makes.

use crate::host::host;
use lua::{CallContext, Group, LuaPhase, PhaseSet, Row};

/// The part's row and glue.
#[must_use]
pub fn group() -> Group {
    Group {
        name: "os.getenv",
        rows: vec![
            Row::fast::<{ PhaseSet::EVERYWHERE.bits() }, _, _>("configured_variable", configured),
            Row::fast::<{ PhaseSet::EVERYWHERE.bits() }, _, _>("past_init", past_init),
        ],
        glue: include_str!("environment.lua"),
    }
}

/// Whether `init_by_lua*` is over.
fn past_init(cx: &CallContext) -> bool {
    cx.phase() != Some(LuaPhase::INIT)
}

/// Whether `env NAME=VALUE` gives a value, which is in the output buffer then.
fn configured(cx: &CallContext, name: &[u8]) -> bool {
    let Some(host) = host(cx) else { return false };
    let surroundings = host.runtime().surroundings.borrow();
    surroundings.env.iter().find(|(known, _)| known == name).inspect(|(_, value)| cx.set_text(value)).is_some()
}
