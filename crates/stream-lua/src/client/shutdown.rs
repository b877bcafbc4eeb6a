//! `shutdown` of the client's connection.

use crate::client::used::{BUSY, UsedClient};
use base::log::Level;
use lua::{CallContext, Raise, Stack};
use lua_lib::socket::call::{self, check_arguments, fail};
use lua_session::client::ClientSocket;
use stream::log_session;

/// `sock:shutdown("send")`
pub(super) fn shutdown(cx: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    check_arguments(stack, 2..=2, "expecting 2 arguments (including the object) but seen")?;
    let call = call::begin(cx, stack, "shutdown")?;
    let used = UsedClient::find(cx, &call, stack)?;
    let refusal = |stack: &mut Stack<'_>, text: &str| Ok(call::now(fail(stack, text)));
    let Some(UsedClient { client, session, state }) = used else { return refusal(stack, "closed") };
    let (read_closed, write_closed) = {
        let inner = client.socket.inner.borrow();
        (inner.read_closed, inner.write_closed)
    };
    if write_closed {
        return refusal(stack, if read_closed { "closed" } else { "already shutdown" });
    }
    // Nothing more can be said, whatever comes of this.
    if state.eof.replace(true) {
        return refusal(stack, "seen eof");
    }
    state.waiting.try_send(&session);
    if client.is_sending() || !state.waiting.is_empty() {
        return refusal(stack, BUSY);
    }
    match stack.check_bytes(2, "shutdown")? {
        b"send" => {}
        b"" => return refusal(stack, "pattern is empty"),
        other => {
            let text = format!("bad shutdown argument: {}", String::from_utf8_lossy(other));
            return Err(Raise::argument(2, "?", &text));
        }
    }
    log_session!(session, Level::Debug, "stream lua shutdown socket write direction");
    client.socket.inner.borrow_mut().write_closed = true;
    session.end_writing();
    stack.push_number(1.0);
    Ok(1)
}
