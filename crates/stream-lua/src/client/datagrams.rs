//! The client's datagrams: received ones and replies.

use crate::client::used::UsedClient;
use base::log::Level;
use base::saturated::Saturated;
use lua::{CallContext, Raise, Reply, Stack, Suspension, Value};
use lua_lib::socket::call::{self, Call, check_arguments, fail, failure, number};
use lua_lib::socket::pieces;
use lua_lib::socket::state::error_text;
use lua_session::client::ClientSocket;
use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, Waker};
use stream::log_session;

/// No datagram is larger.
const LARGEST: f64 = 65_536.0;

fn open(cx: &CallContext, call: &Call, stack: &mut Stack<'_>, what: &str) -> Result<Option<UsedClient>, Raise> {
    let found = UsedClient::find(cx, call, stack)?;
    if found.is_none() {
        call.reporter(cx).error(&format!("attempt to {what} data on a closed socket: u:0000000000000000, c:0000000000000000"));
    }
    Ok(found)
}

/// `sock:receive(size)`: what is left of the datagram, or so many bytes of it.
pub(super) fn receive(cx: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    check_arguments(stack, 1..=2, "expecting 1 or 2 arguments (including the object), but got")?;
    let call = call::begin(cx, stack, "receive")?;
    let Some(used) = open(cx, &call, stack, "receive")? else { return Ok(call::now(fail(stack, "closed"))) };
    let size = if stack.is_nil(2) { LARGEST } else { stack.check_number(2, "receive")? };
    // A negative size is a huge one to C.
    let size = if (0.0..LARGEST).contains(&size) { usize::saturated(size) } else { usize::saturated(LARGEST) };
    let count = {
        let unread = used.session.unread();
        let data = unread.get(..size.min(unread.len())).unwrap_or_default();
        if !unread.is_empty() {
            stack.push_bytes(data);
        }
        if unread.is_empty() { None } else { Some(data.len()) }
    };
    match count {
        Some(count) => {
            used.session.skip_preread(count);
            Ok(1)
        }
        None => Ok(call::now(fail(stack, "no more data"))),
    }
}

/// `sock:send(data)`: a datagram for the client.
pub(super) fn send(cx: &CallContext, stack: &mut Stack<'_>) -> Result<Suspension, Raise> {
    check_arguments(stack, 2..=2, "expecting 2 arguments (including the object), but got")?;
    let call = call::begin(cx, stack, "send")?;
    let Some(used) = open(cx, &call, stack, "send")? else { return Ok(fail(stack, "closed")) };
    let mut data = Vec::new();
    pieces::push(stack, 2, &mut data)?;
    match used.session.poll_write(&mut Context::from_waker(Waker::noop()), &data) {
        Poll::Ready(Ok(_)) => return Ok(number(stack, 1.0)),
        Poll::Ready(Err(error)) => {
            let text = refused(&used, &error);
            return Ok(Suspension::wait(|| async move { Ok(failure(text)) }));
        }
        Poll::Pending => {}
    }
    Ok(Suspension::wait(|| async move {
        Ok(match poll_fn(|cx| used.session.poll_write(cx, &data)).await {
            Ok(_) => Reply::One(Value::Number(1.0)),
            Err(error) => failure(refused(&used, &error)),
        })
    }))
}

fn refused(used: &UsedClient, error: &io::Error) -> Value {
    log_session!(used.session, Level::Error, "send() failed {}", base::errno::describe(error));
    error_text(error)
}
