//! `peek`: reads the first bytes without consuming them.

use crate::client::used::UsedClient;
use base::saturated::Saturated;
use lua::{CallContext, Raise, Reply, Stack, Suspension};
use lua_lib::socket::call::{self, check_arguments, fail};
use lua_lib::socket::state::Direction;
use lua_session::client::ClientSocket;
use stream::Session;
use stream::preread::PrereadLimits;

/// `sock:peek(size)`
pub(super) fn peek(cx: &CallContext, stack: &mut Stack<'_>) -> Result<Suspension, Raise> {
    check_arguments(stack, 2..=2, "expecting 2 arguments (including the object), but got")?;
    let call = call::begin(cx, stack, "peek")?;
    let reporter = call.reporter(cx);
    reporter.debug(format_args!("lua tcp socket calling peek() method"));
    let Some(used) = UsedClient::find(cx, &call, stack)? else {
        reporter.error("attempt to peek data on a closed socket: u:0000000000000000");
        return Ok(fail(stack, "closed"));
    };
    if used.client.consumed.get() {
        return Err("attempt to peek on a consumed socket".into());
    }
    if let Err(text) = call.check(&used.client.socket, &[Direction::Reading])? {
        return Ok(fail(stack, text));
    }
    let size = stack.number(2).ok_or(Raise::fixed("argument must be a number"))?;
    if size < 0.0 {
        return Err(Raise::argument(2, "?", "bytes can not be negative"));
    }
    let size = usize::saturated(size);
    if let Some(seen) = used.session.preread().get(..size) {
        stack.push_bytes(seen);
        return Ok(Suspension::Now(1));
    }
    let busy = used.client.socket.begin(Direction::Reading);
    Ok(Suspension::wait(|| async move {
        let _busy = busy;
        match wait_for(&used.session, size).await {
            Ok(seen) => Ok(Reply::One(seen.into())),
            Err(ending) => {
                // As in any other handler of the phase, that is the session's end.
                used.state.cut_short.set(Some(ending));
                std::future::pending().await
            }
        }
    }))
}

/// Waits for so many bytes, within what the phase allows; the error is the status that the session ends with.
async fn wait_for(session: &Session, size: usize) -> Result<Vec<u8>, u16> {
    let mut patience = PrereadLimits::of(session, &session.core());
    loop {
        if let Some(seen) = session.preread().get(..size) {
            return Ok(seen.to_vec());
        }
        patience.wait(session).await?;
    }
}
