//! `peek`: a look at the first bytes, which stay there for what comes behind.

use crate::client::used::Used;
use base::log::Level;
use lua::{CallContext, Later, Raise, Reply, Stack};
use lua_lib::socket::call::{self, expect, fail};
use lua_lib::socket::state::Work;
use lua_session::client::ClientSocket;
use std::future::poll_fn;
use std::task::{Poll, ready};
use stream::{log_session, status};

/// `sock:peek(size)`
pub(super) fn peek(cx: &CallContext, stack: &mut Stack<'_>) -> Result<Later, Raise> {
    expect(stack, 2..=2, "expecting 2 arguments (including the object), but got")?;
    let call = call::begin(cx, stack, "peek")?;
    let reporter = call.reporter(cx);
    reporter.debug(format_args!("lua tcp socket calling peek() method"));
    let Some(used) = Used::find(cx, &call, stack)? else {
        reporter.error("attempt to peek data on a closed socket: u:0000000000000000");
        return Ok(fail(stack, "closed"));
    };
    if used.client.consumed.get() {
        return Err("attempt to peek on a consumed socket".into());
    }
    if let Err(text) = call.check(&used.client.socket, &[Work::Reading])? {
        return Ok(fail(stack, text));
    }
    let size = stack.number(2).ok_or(Raise::fixed("argument must be a number"))?;
    if size < 0.0 {
        return Err(Raise::argument(2, "?", "bytes can not be negative"));
    }
    let size = size as usize;
    if let Some(seen) = used.session.preread().get(..size) {
        stack.push_bytes(seen);
        return Ok(Later::Now(1));
    }
    let busy = used.client.socket.begin(Work::Reading);
    Ok(Later::wait(async move {
        let _busy = busy;
        match look(&used, size).await {
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
async fn look(used: &Used, size: usize) -> Result<Vec<u8>, u16> {
    let session = &used.session;
    let core = session.core();
    let most = core.preread_buffer_size();
    let mut limit = session.limit(core.preread_timeout());
    loop {
        if let Some(seen) = session.preread().get(..size) {
            return Ok(seen.to_vec());
        }
        if session.preread().len() >= most {
            log_session!(session, Level::Error, "preread buffer full");
            return Err(status::BAD_REQUEST);
        }
        let more = poll_fn(|cx| {
            if let Poll::Ready(read) = session.poll_preread(cx) {
                return Poll::Ready(Some(read));
            }
            ready!(limit.poll(cx));
            Poll::Ready(None)
        });
        match more.await {
            Some(Ok(1..)) => {}
            // Time is up, or the client has gone: nginx calls that an ordinary end.
            None | Some(Ok(0)) => return Err(status::OK),
            Some(Err(error)) => {
                log_session!(session, Level::Info, "recv() failed {}", base::errno::describe(&error));
                return Err(status::OK);
            }
        }
    }
}
