//! `ngx.exit`, whose row is each protocol's own, and `ngx.on_abort`.

use crate::host;
use crate::options::RunOptions;
use crate::protocol::Protocol;
use lua::{CallContext, Group, PhaseSet, Raise, Row, Stack};
use session::Configured;

/// The glue stops the thread.
pub const STOP: i32 = 0;
/// The glue returns to its caller.
pub const RETURN: i32 = 1;

/// The part's rows and glue. `exit` is the fast row of that name: it gets a number and returns [`STOP`], [`RETURN`], or a negative
/// number for an error, whose text is in the output buffer.
#[must_use]
pub fn group<P: Protocol>(exit: Row) -> Group {
    let rows = vec![exit, Row::calls("on_abort", PhaseSet::EVERYWHERE, on_abort::<P>), Row::constant("STOP", STOP)];
    Group { name: "ngx control", rows, glue: include_str!("control.lua") }
}

/// `ngx.on_abort(callback)`.
fn on_abort<P: Protocol>(cx: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    let (_, session) = host::client_session::<P>(cx).map_err(|_| cx.refusal())?;
    let refusal = if session.conf::<RunOptions>().check_client_abort != Some(true) {
        "lua_check_client_abort is off"
    } else if !cx.is_in(P::SERVING) {
        return Err(cx.refusal());
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
