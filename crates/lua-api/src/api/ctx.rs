//! `ngx.ctx`: a Lua table per request, in a list of the VM; Rust only hands out places in that list.

use crate::api::ANYWHERE;
use crate::host::Host;
use crate::state::LeftCtx;
use base::log::Level;
use lua::{CallContext, Group, LuaPhase, Row};

/// `ngx.ctx`.
pub fn group() -> Group {
    Group {
        name: "ngx.ctx",
        rows: vec![
            Row::fast::<ANYWHERE, _, _>("ctx_slot", slot),
            Row::fast::<ANYWHERE, _, _>("ctx_base", base),
            Row::constant("FAILED", FAILED),
            Row::constant("OWN", OWN),
            Row::constant("NO_BASE", NO_BASE),
        ],
        glue: include_str!("ctx.lua"),
    }
}

/// There is no request, as the output buffer says.
pub(crate) const FAILED: i32 = i32::MIN;
/// The table is one of a request that no handshake left a table for.
const NO_BASE: i32 = 0;
/// The table is a handshake's own.
const OWN: i32 = -1;

/// The place of the request's table; negative when the table is to be made.
fn slot(cx: &CallContext) -> i32 {
    cx.with_host::<Host, _>(|host| match host {
        Some(host) if cx.phase() != Some(LuaPhase::INIT) => {
            let slot = host.state.ctx_slot(&host.slots);
            if slot < 0
                && let Some(request) = host.request.as_ref().filter(|request| request.log_enabled(Level::Debug))
            {
                let line = format!("lua release ngx.ctx at ref {}", slot.unsigned_abs());
                request.on_end(move |request| request.log(Level::Debug, line.as_bytes()));
            }
            // Until code is entered anew it is the same request's.
            cx.set_note(slot.saturating_abs());
            slot
        }
        _ => {
            cx.put(b"no request found");
            FAILED
        }
    })
}

/// What a new table is for: [`OWN`] in a handshake; on its connection the number of the handshake's table; otherwise [`NO_BASE`].
fn base(cx: &CallContext) -> i32 {
    cx.with_host::<Host, _>(|host| {
        let Some(host) = host else { return NO_BASE };
        let Some(request) = &host.request else { return NO_BASE };
        if !request.purpose.get().is_empty() {
            return OWN;
        }
        let tls = request.connection.tls.borrow();
        let left = tls.as_ref().and_then(|info| info.left.as_ref()?.downcast_ref::<LeftCtx>());
        left.map_or(NO_BASE, LeftCtx::slot)
    })
}

#[cfg(test)]
mod tests {
    use crate::ngx::tests::evaluate;

    #[test]
    fn only_tables_and_only_with_a_request() {
        let error = |call: &str| evaluate(&format!("select(2, pcall(function() {call} end))"));
        assert_eq!(error("ngx.ctx = 1"), "test:1: ctx should be a table while getting a number");
        assert_eq!(error("return ngx.ctx.a"), "test:1: no request found");
    }
}
