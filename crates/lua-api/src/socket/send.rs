//! `send`.

use crate::api::output::push_value;
use crate::socket::call::{self, Call, SEND_TIMEOUT, expect, fail, failure, number};
use crate::socket::report::Reporter;
use crate::socket::state::{Socket, Work, error_text};
use lua::{Cx, Later, Raise, Reply, Stack, Type, Value};
use net::stream::Transport;
use std::io;
use std::rc::Rc;
use std::task::Poll;

/// `sock:send(data)`: answers the number of bytes.
///
/// # Errors
/// Wrong arguments, or a socket of another request.
pub fn send(cx: &Cx, stack: &mut Stack<'_>) -> Result<Later, Raise> {
    expect(stack, 2..=2, "expecting 2 arguments (including the object), but got")?;
    let call = call::begin(cx, stack, "send")?;
    let reporter = call.reporter(cx);
    let found = call.socket(stack).filter(|(_, s)| {
        let inner = s.inner.borrow();
        (inner.stream.is_some() && !inner.write_closed) || s.busy(&[Work::Connecting]).is_some()
    });
    let Some((_, socket)) = found else {
        reporter.error("attempt to send data on a closed socket: u:0000000000000000, c:0000000000000000, ft:0 eof:0");
        return Ok(fail(stack, "closed"));
    };
    if let Err(text) = call.check(&socket, &[Work::Connecting, Work::Writing])? {
        return Ok(fail(stack, text));
    }
    let timeout = call.timeout(stack, SEND_TIMEOUT, call.options.send_timeout);
    reporter.debug(format_args!("lua tcp socket send timeout: {}", timeout.as_millis()));
    at_once(&call, &socket, &reporter);
    let mut data = Vec::new();
    match stack.kind(2) {
        Type::Number | Type::String | Type::Nil | Type::Boolean | Type::Table => push_value(stack, 2, 2, "send", &mut data)?,
        other => {
            let text = format!("string, number, boolean, nil, or array table expected, got {}", other.name());
            return Err(Raise::argument(2, "send", &text));
        }
    }
    let total = data.len();
    let mut sent = 0;
    match advance(&socket, &data, &mut sent) {
        Ok(true) => return Ok(number(stack, total as f64)),
        Ok(false) => {}
        Err(error) => {
            let Value::Bytes(text) = refuse(&socket, &reporter, &error) else { return Ok(fail(stack, "error")) };
            return Ok(fail(stack, &String::from_utf8_lossy(&text)));
        }
    }
    let busy = socket.begin(Work::Writing);
    Ok(Later::wait(async move {
        let _busy = busy;
        let writing = std::future::poll_fn(|cx| {
            loop {
                match advance(&socket, &data, &mut sent) {
                    Ok(true) => return Poll::Ready(Ok(())),
                    Ok(false) => {}
                    Err(error) => return Poll::Ready(Err(error)),
                }
                let inner = socket.inner.borrow();
                let Some(stream) = &inner.stream else { return Poll::Ready(Err(io::ErrorKind::NotConnected.into())) };
                std::task::ready!(stream.poll_write_ready(cx))?;
            }
        });
        Ok(match tokio::time::timeout(timeout, writing).await {
            Ok(Ok(())) => Reply::One(Value::Number(total as f64)),
            Ok(Err(error)) => failure(refuse(&socket, &reporter, &error)),
            Err(_) => {
                reporter.error(&format!("lua tcp socket write timed out{}", socket.inner.borrow().label));
                socket.inner.borrow_mut().write_closed = true;
                failure("timeout")
            }
        })
    }))
}

/// Before the first send on a new connection: small segments leave at once (`tcp_nodelay`).
fn at_once(call: &Call, socket: &Socket, reporter: &Reporter) {
    let mut inner = socket.inner.borrow_mut();
    if std::mem::replace(&mut inner.no_delay, true) || inner.reused > 0 {
        return;
    }
    let wanted = call.host.request.as_ref().is_none_or(|request| request.with_location(|l| l.core.tcp_nodelay.unwrap_or(true)));
    if let Some(stream) = inner.stream.as_ref().filter(|stream| wanted && stream.transport() == Transport::Tcp) {
        reporter.debug(format_args!("lua socket tcp_nodelay"));
        // Only costs latency if it fails.
        let _ = stream.set_no_delay(true);
    }
}

/// Writes what the socket takes; true when all is written.
fn advance(socket: &Rc<Socket>, data: &[u8], sent: &mut usize) -> io::Result<bool> {
    let inner = socket.inner.borrow();
    let stream = inner.stream.as_ref().ok_or(io::ErrorKind::NotConnected)?;
    while let Some(rest) = data.get(*sent..).filter(|rest| !rest.is_empty()) {
        match stream.try_write(rest) {
            Ok(count) => *sent += count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

/// Closes the direction after an error; the error's text for Lua.
fn refuse(socket: &Rc<Socket>, reporter: &Reporter, error: &io::Error) -> Value {
    let mut inner = socket.inner.borrow_mut();
    inner.write_closed = true;
    reporter.error(&format!("send() failed {}{}", base::errno::describe(error), inner.label));
    error_text(error)
}
