//! `send`.

use crate::host::host;
use crate::shown::push_plain_list;
use crate::socket::call::{self, Call, ID, SEND_TIMEOUT, check_arguments, fail, failure, number};
use crate::socket::pieces;
use crate::socket::quick;
use crate::socket::report::{Reporter, error_line};
use crate::socket::state::{Direction, Socket, error_text};
use base::log::Level;
use lua::{CallContext, Raise, Reply, Stack, Suspension, Value};
use net::stream::Transport;
use std::io;
use std::rc::Rc;
use std::task::Poll;

/// `sock:send(data)`: answers the number of bytes.
///
/// # Errors
/// Wrong arguments, or a socket of another request.
pub fn send(cx: &CallContext, stack: &mut Stack<'_>) -> Result<Suspension, Raise> {
    check_arguments(stack, 2..=2, "expecting 2 arguments (including the object), but got")?;
    let call = call::begin(cx, stack, "send")?;
    let reporter = call.reporter(cx);
    let found = call.socket(stack).filter(|(_, s)| {
        let inner = s.inner.borrow();
        (inner.stream.is_some() && !inner.write_closed) || s.busy(&[Direction::Connecting]).is_some()
    });
    let Some((_, socket)) = found else {
        reporter.error("attempt to send data on a closed socket: u:0000000000000000, c:0000000000000000, ft:0 eof:0");
        return Ok(fail(stack, "closed"));
    };
    if let Err(text) = call.check(&socket, &[Direction::Connecting, Direction::Writing])? {
        return Ok(fail(stack, text));
    }
    let timeout = call.timeout(stack, SEND_TIMEOUT, call.options.send_timeout);
    reporter.debug(format_args!("lua tcp socket send timeout: {}", timeout.as_millis()));
    let mut data = call.host.scratch().borrow_mut();
    data.clear();
    pieces::push(stack, 2, &mut data)?;
    if !socket.inner.borrow().prompt {
        set_no_delay(&call, &socket, &reporter);
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
    // What the kernel does not take at once is kept until it does.
    let data = data.get(sent..).unwrap_or_default().to_vec();
    let mut sent = 0;
    let (busy, limit) = (socket.begin(Direction::Writing), call.limit(timeout));
    Ok(Suspension::wait(|| async move {
        let _busy = busy;
        let writing = std::future::poll_fn(|cx| {
            loop {
                match advance(&socket, &data, &mut sent) {
                    Ok(true) => return Poll::Ready(Ok(())),
                    Ok(false) => {}
                    Err(error) => return Poll::Ready(Err(error)),
                }
                let mut inner = socket.inner.borrow_mut();
                let Some(stream) = &mut inner.stream else { return Poll::Ready(Err(io::ErrorKind::NotConnected.into())) };
                std::task::ready!(stream.poll_write_ready(cx))?;
            }
        });
        Ok(match limit.bound(writing).await {
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

/// Sends a plain list of strings and numbers as far as the kernel takes it: the number of all its bytes, and what is left of
/// them if anything is. Nil: nothing was tried, since something is out of the ordinary.
///
/// # Errors
/// None of its own.
pub(crate) fn send_list(cx: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    let id = call::item(stack, ID);
    let Some((host, id)) = host(cx).zip(id) else { return Ok(0) };
    let Some(socket) = quick::socket(&*host, id, quick::WRITING) else { return Ok(0) };
    let inner = socket.inner.borrow();
    let Some(stream) = inner.stream.as_ref().filter(|_| inner.prompt && !inner.write_closed) else { return Ok(0) };
    let mut data = host.scratch().borrow_mut();
    data.clear();
    if !push_plain_list(stack, 2, &mut data) || data.is_empty() {
        return Ok(0);
    }
    // After an error the row meets it again and reports it.
    let sent = stream.try_write(&data).unwrap_or(0);
    stack.push_number(data.len() as f64);
    match data.get(sent..) {
        Some(rest) if !rest.is_empty() => stack.push_bytes(rest),
        _ => stack.push_nil(),
    }
    Ok(2)
}

/// Lets small segments go at once, as `tcp_nodelay` says for all connections.
pub(super) fn set_no_delay(call: &Call, socket: &Socket, reporter: &Reporter) {
    let mut inner = socket.inner.borrow_mut();
    inner.prompt = true;
    let wanted = call.host.tcp_nodelay();
    if let Some(stream) = inner.stream.as_ref().filter(|stream| wanted && stream.transport() == Transport::Tcp) {
        reporter.debug(format_args!("lua socket tcp_nodelay"));
        // A peer that is gone already is found out by the write that follows.
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
    socket.inner.borrow_mut().write_closed = true;
    reporter.always(Level::Error, &error_line("send()", "SSL_write()", error));
    error_text(error)
}
