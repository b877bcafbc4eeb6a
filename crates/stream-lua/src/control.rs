//! `ngx.exit`, `ngx.on_abort`.

use crate::host::Host;
use base::log::Level;
use lua::{CallContext, Group, LuaPhase, PhaseSet, Raise, Row, Stack};
use lua_session::options::RunOptions;
use lua_session::{SessionHost, host};
use stream::log_session;

/// Phases in which a client is served.
pub(crate) const SERVING: PhaseSet = PhaseSet::of(LuaPhase::PREREAD).with(LuaPhase::CONTENT);

/// Phases that can be ended.
const EXITING: PhaseSet = SERVING
    .with(LuaPhase::TIMER)
    .with(LuaPhase::BALANCER)
    .with(LuaPhase::SSL_CLIENT_HELLO)
    .with(LuaPhase::SSL_CERT)
    .with(LuaPhase::PROXY_SSL_CERT)
    .with(LuaPhase::PROXY_SSL_VERIFY);

/// The part's rows and glue.
pub(crate) fn group() -> Group {
    Group {
        name: "ngx control",
        rows: vec![
            Row::fast::<{ EXITING.bits() }, _, _>("exit", exit),
            Row::calls("on_abort", SERVING, on_abort),
            Row::fast::<{ PhaseSet::EVERYWHERE.bits() }, _, _>("get_status", status),
            Row::constant("STOP", STOP),
        ],
        glue: include_str!("control.lua"),
    }
}

/// The glue stops the thread.
const STOP: i32 = 0;
/// The glue returns to its caller.
const RETURN: i32 = 1;

/// What the glue does next; negative: an error, whose text is in the output buffer.
fn exit(cx: &CallContext, code: f64) -> i32 {
    let code = code as i32;
    let Some(host) = cx.host::<Host>() else {
        cx.put(b"no request found");
        return -1;
    };
    if let Some(session) = host.session() {
        log_session!(session, Level::Debug, "lua exit with code {code}");
    }
    if cx.phase() == Some(LuaPhase::BALANCER) {
        host.common().balancer_exit.set(Some(code));
        return RETURN;
    }
    cx.finish(code);
    STOP
}

/// `ngx.status`: what the session has ended with, or 0 while it goes on; negative: an error.
fn status(cx: &CallContext) -> i32 {
    host::with_session::<Host, _>(cx, -1, |_, session| i32::from(session.status.get()))
}

/// `ngx.on_abort(callback)`.
fn on_abort(cx: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    let (_, session) = host::session::<Host>(cx)?;
    let refusal = if session.conf::<RunOptions>().check_client_abort != Some(true) {
        "lua_check_client_abort is off"
    } else if lua::stand_by(cx, stack, "on_abort")? {
        stack.push_number(1.0);
        return Ok(1);
    } else {
        "duplicate call"
    };
    stack.push_nil();
    stack.push_bytes(refusal.as_bytes());
    Ok(2)
}
