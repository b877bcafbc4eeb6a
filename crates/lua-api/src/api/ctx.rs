//! `ngx.ctx`: a Lua table per request, in a list of the VM; Rust only hands out places in that list.

use crate::api::ANYWHERE;
use crate::host::Host;
use base::log::Level;
use lua::{Cx, Group, Phase, Row};

/// `ngx.ctx`.
pub fn group() -> Group {
    Group { name: "ngx.ctx", rows: vec![Row::fast::<ANYWHERE, _, _>("ctx_slot", slot)], glue: include_str!("ctx.lua") }
}

/// The place of the request's table; negative when the table is to be made.
fn slot(cx: &Cx) -> i32 {
    match cx.host::<Host>() {
        Some(host) if cx.phase() != Some(Phase::INIT) => {
            let slot = host.state.ctx_slot(&host.runtime.slots);
            if slot < 0
                && let Some(request) = host.request.as_ref().filter(|request| request.log_enabled(Level::Debug))
            {
                // A second table of one state does not happen; the first log stays.
                let _ = host.state.release_log.set((request.error_log(), request.connection.id));
            }
            slot
        }
        _ => {
            cx.put(b"no request found");
            i32::MIN
        }
    }
}
