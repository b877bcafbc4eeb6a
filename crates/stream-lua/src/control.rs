//! `ngx.exit`, `ngx.status`.

use crate::host::{Host, Sessions};
use base::log::Level;
use base::saturated::Saturated;
use lua::{CallContext, Group, LuaPhase, PhaseSet, Row};
use lua_session::control::{self, RETURN, STOP};
use lua_session::{Protocol, host};
use stream::log_session;

/// Phases in which a client is served.
pub(crate) const SERVING: PhaseSet = Sessions::SERVING;

/// Phases that can be ended.
const EXITING: PhaseSet = SERVING
    .with(LuaPhase::TIMER)
    .with(LuaPhase::BALANCER)
    .with(LuaPhase::SSL_CLIENT_HELLO)
    .with(LuaPhase::SSL_CERT)
    .with(LuaPhase::PROXY_SSL_CERT)
    .with(LuaPhase::PROXY_SSL_VERIFY);

/// The parts' rows and glue.
pub(crate) fn groups() -> [Group; 2] {
    let status = Row::fast::<{ PhaseSet::EVERYWHERE.bits() }, _, _>("get_status", status);
    [
        control::group::<Sessions>(Row::fast::<{ EXITING.bits() }, _, _>("exit", exit)),
        Group { name: "ngx.status", rows: vec![status], glue: include_str!("status.lua") },
    ]
}

/// What the glue does next; negative: an error, whose text is in the output buffer.
fn exit(cx: &CallContext, code: f64) -> i32 {
    let code = i32::saturated(code);
    let Some(host) = cx.host::<Host>() else {
        cx.set_text(b"no request found");
        return -1;
    };
    if let Some(session) = &host.session {
        log_session!(session, Level::Debug, "lua exit with code {code}");
    }
    if cx.phase() == Some(LuaPhase::BALANCER) {
        host.shared_state().balancer_exit.set(Some(code));
        return RETURN;
    }
    cx.finish(code);
    STOP
}

/// `ngx.status`: what the session has ended with, or 0 while it goes on; negative: an error.
fn status(cx: &CallContext) -> i32 {
    host::with_session::<Sessions, _>(cx, -1, |_, session| i32::from(session.status.get()))
}
