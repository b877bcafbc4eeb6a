//! `ngx.ctx`: a Lua table per session, in a list of the VM; Rust only hands out places in that list.

use crate::host::Host;
use crate::protocol::Protocol;
use crate::slots::HandshakeCtx;
use base::log::Level;
use lua::{CallContext, Group, LuaPhase, Row};
use lua_lib::ANYWHERE;
use session::{Client, Configured};

/// `ngx.ctx`.
#[must_use]
pub fn group<P: Protocol>() -> Group {
    Group {
        name: "ngx.ctx",
        rows: vec![
            Row::fast::<ANYWHERE, _, _>("ctx_slot", slot::<P>),
            Row::fast::<ANYWHERE, _, _>("ctx_base", base::<P>),
            Row::constant("FAILED", FAILED),
            Row::constant("OWN", OWN),
            Row::constant("NO_BASE", NO_BASE),
        ],
        glue: include_str!("ctx.lua"),
    }
}

/// There is no request, as the output buffer says.
pub const FAILED: i32 = i32::MIN;
/// The table is one of a request that no handshake left a table for.
const NO_BASE: i32 = 0;
/// The table is a handshake's own.
const OWN: i32 = -1;

/// The place of the request's table; negative when the table is to be made.
fn slot<P: Protocol>(cx: &CallContext) -> i32 {
    cx.with_host::<Host<P>, _>(|host| match host {
        Some(host) if cx.phase() != Some(LuaPhase::INIT) => {
            let slot = host.common().ctx.slot(&host.slots);
            if slot < 0
                && let Some(session) = host.session.as_ref().filter(|session| session.log_enabled(Level::Debug))
            {
                let line = format!("lua release ngx.ctx at ref {}", slot.unsigned_abs());
                let log = P::error_log(session);
                let id = session.connection().id;
                session.on_end(move || log.write(Level::Debug, id, line.as_bytes()));
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
fn base<P: Protocol>(cx: &CallContext) -> i32 {
    cx.with_host::<Host<P>, _>(|host| {
        let Some(host) = host else { return NO_BASE };
        let Some(session) = host.session.as_ref() else { return NO_BASE };
        if P::is_apart(session) {
            return OWN;
        }
        let tls = session.connection().tls.borrow();
        let left = tls.as_ref().and_then(|info| info.leftovers.as_ref()?.downcast_ref::<HandshakeCtx>());
        left.map_or(NO_BASE, HandshakeCtx::slot)
    })
}
