//! `ngx.ctx`: a Lua table per request, in a list of the VM; Rust only hands out places in that list.

use crate::api::ANYWHERE;
use crate::host::Host;
use lua::{Cx, Group, Phase, Row};

/// `ngx.ctx`.
pub fn group() -> Group {
    Group { name: "ngx.ctx", rows: vec![Row::fast::<ANYWHERE, _, _>("ctx_slot", slot)], glue: include_str!("ctx.lua") }
}

/// The place of the request's table; negative when the table is to be made.
fn slot(cx: &Cx) -> i32 {
    match cx.host::<Host>() {
        Some(host) if cx.phase() != Some(Phase::INIT) => host.state.ctx_slot(&host.runtime.slots),
        _ => {
            cx.put(b"no request found");
            i32::MIN
        }
    }
}
