//! `os.getenv` in `init_by_lua*`, which runs before workers get the environment that `env` makes.

use crate::host::host;
use lua::{CallContext, Group, LuaPhase, PhaseSet, Row};

/// The part's row and glue.
#[must_use]
pub fn group() -> Group {
    Group {
        name: "os.getenv",
        rows: vec![Row::fast::<{ PhaseSet::EVERYWHERE.bits() }, _, _>("configured_variable", configured)],
        glue: include_str!("environment.lua"),
    }
}

/// The value that `env NAME=VALUE` gives, 1 if there is one.
fn configured(cx: &CallContext, name: &[u8]) -> i32 {
    if cx.phase() != Some(LuaPhase::INIT) {
        return 0;
    }
    let Some(host) = host(cx) else { return 0 };
    let surroundings = host.runtime().surroundings.borrow();
    surroundings.env.iter().find(|(known, _)| known == name).map_or(0, |(_, value)| {
        cx.put(value);
        1
    })
}
