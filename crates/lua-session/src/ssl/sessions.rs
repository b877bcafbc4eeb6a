//! `ngx.ssl.session`: sessions that code keeps (lua-resty-core's `ngx/ssl/session.md`).

use super::{handshake_state, push_result, push_success};
use crate::protocol::Protocol;
use lua::{CallContext, Group, PhaseSet, Raise, Row, Stack};

const ALL: PhaseSet = PhaseSet::EVERYWHERE;

/// The part's rows and glue.
pub(super) fn group<P: Protocol>() -> Group {
    Group {
        name: "ngx.ssl.session",
        rows: vec![
            Row::calls("session_id", ALL, id::<P>),
            Row::calls("session_value", ALL, value::<P>),
            Row::calls("session_offer", ALL, set_session::<P>),
        ],
        glue: include_str!("sessions.lua"),
    }
}

/// The session's name in hexadecimal digits: the one that the client shows, or that of the session that was made.
fn id<P: Protocol>(cx: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    let result = handshake_state::<P>(cx)?.and_then(|shake| {
        let hexadecimal = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02X}")).collect::<String>();
        if let Some(made) = &*shake.made.borrow() {
            return Ok(hexadecimal(&made.id));
        }
        let client_hello = shake.client_hello()?;
        if !shake.is_fetching.get() {
            return Err("uninitialized session id len in lua context");
        }
        Ok(hexadecimal(client_hello.hello.session_id.of(client_hello.hello.message())))
    });
    Ok(push_result(stack, result))
}

fn value<P: Protocol>(cx: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    let result = handshake_state::<P>(cx)?.and_then(|shake| {
        let made = shake.made.borrow();
        made.as_ref().map(|made| made.value.clone()).ok_or("bad session in lua context")
    });
    Ok(push_result(stack, result))
}

fn set_session<P: Protocol>(cx: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    let serialized = stack.check_bytes(1, "set_serialized_session")?;
    let result = handshake_state::<P>(cx)?.and_then(|shake| match &*shake.handed.borrow() {
        Some(_) if serialized.is_empty() => Err("invalid session length"),
        Some(handed) if handed.provide(serialized) => Ok(()),
        Some(_) => Err("failed to de-serialize session"),
        None => Err("bad lua context"),
    });
    Ok(push_success(stack, result))
}
