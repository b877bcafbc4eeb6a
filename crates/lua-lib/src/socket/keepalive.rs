//! `setkeepalive`, `getreusedtimes`, `close`, `setoption`, `getoption`.

use crate::socket::call::{self, KEY, check_arguments, fail, now, number};
use crate::socket::pools::close_stream;
use crate::socket::send;
use crate::socket::state::Direction;
use base::log::Level;
use base::saturated::Saturated;
use lua::{CallContext, Raise, Stack};
use net::stream::Stream;
use socket2::TcpKeepalive;
use std::os::fd::AsRawFd;
use std::time::Duration;

/// `sock:close()`.
///
/// # Errors
/// Wrong arguments, or a socket of another request.
pub fn close(cx: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    check_arguments(stack, 1..=1, "expecting 1 argument (including the object) but seen")?;
    let call = call::begin(cx, stack, "close")?;
    let Some((_, socket)) = call.socket(stack).filter(|(_, s)| !s.inner.borrow().is_closed() || s.busy(&[Direction::Connecting]).is_some())
    else {
        return Ok(now(fail(stack, "closed")));
    };
    if let Err(text) = call.check(&socket, &[Direction::Connecting, Direction::Reading, Direction::Writing])? {
        return Ok(now(fail(stack, text)));
    }
    let (stream, ticket) = socket.inner.borrow_mut().detach();
    if let Some(stream) = stream {
        close_stream(stream);
    }
    drop(ticket);
    Ok(now(number(stack, 1.0)))
}

/// `sock:shutdown("send")`: the peer learns that nothing more comes, and what it sends can still be received.
///
/// # Errors
/// Wrong arguments, or a socket of another request.
pub fn shutdown(cx: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    check_arguments(stack, 2..=2, "expecting 2 arguments (including the object) but seen")?;
    let call = call::begin(cx, stack, "shutdown")?;
    let Some((_, socket)) = call.socket(stack).filter(|(_, s)| !s.inner.borrow().is_closed() || s.busy(&[Direction::Connecting]).is_some())
    else {
        return Ok(now(fail(stack, "closed")));
    };
    if socket.inner.borrow().write_closed {
        return Ok(now(fail(stack, "already shutdown")));
    }
    if let Err(text) = call.check(&socket, &[Direction::Connecting, Direction::Writing])? {
        return Ok(now(fail(stack, text)));
    }
    match stack.check_bytes(2, "shutdown")? {
        b"send" => {}
        b"" => return Ok(now(fail(stack, "pattern is empty"))),
        other => return Err(Raise::argument(2, "shutdown", &format!("bad shutdown argument: {}", String::from_utf8_lossy(other)))),
    }
    if call.host.log_enabled(Level::Debug) {
        call.host.log_prefixed(Level::Debug, b"lua shutdown socket write direction", "");
    }
    let mut inner = socket.inner.borrow_mut();
    inner.write_closed = true;
    if let Some(stream) = &inner.stream {
        // Who cannot be told has gone.
        let _ = stream.shutdown_write();
    }
    Ok(now(number(stack, 1.0)))
}

/// `sock:getreusedtimes()`.
///
/// # Errors
/// Wrong arguments.
pub(crate) fn reused_times(cx: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    check_arguments(stack, 1..=1, "expecting 1 argument (including the object), but got")?;
    let call = call::begin(cx, stack, "getreusedtimes")?;
    let found = call.socket(stack).filter(|(_, s)| !s.inner.borrow().is_closed() || s.busy(&[Direction::Connecting]).is_some());
    Ok(now(match found {
        None => fail(stack, "closed"),
        Some((_, socket)) => number(stack, f64::from(socket.inner.borrow().reused)),
    }))
}

fn integer(stack: &Stack<'_>, index: usize, default: u64) -> Result<i64, Raise> {
    if stack.is_nil(index) {
        return Ok(i64::try_from(default).unwrap_or(i64::MAX));
    }
    let expected = || Raise::argument(index, "setkeepalive", &format!("number expected, got {}", stack.kind(index).name()));
    stack.number(index).map(i64::saturated).ok_or_else(expected)
}

/// `sock:setkeepalive(timeout, size)`: the connection goes to its pool, the socket is closed.
///
/// # Errors
/// Wrong arguments, or a socket of another request.
pub fn set_keepalive(cx: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    check_arguments(stack, 1..=3, "expecting 1 to 3 arguments (including the object), but got")?;
    let call = call::begin(cx, stack, "setkeepalive")?;
    let arguments = stack.top();
    let timeout = integer(stack, 2, call.options.keepalive_timeout.unwrap_or(60_000))?;
    let size = integer(stack, 3, call.options.pool_size.unwrap_or(30))?;
    let found = call.socket(stack).filter(|(_, s)| {
        let inner = s.inner.borrow();
        let usable = inner.stream.is_some() && !inner.read_closed && !inner.write_closed && !inner.eof;
        usable || s.busy(&[Direction::Connecting]).is_some()
    });
    let Some((_, socket)) = found else { return Ok(now(fail(stack, "closed"))) };
    if let Err(text) = call.check(&socket, &[Direction::Connecting, Direction::Reading, Direction::Writing])? {
        return Ok(now(fail(stack, text)));
    }
    if !socket.inner.borrow().unread().is_empty() {
        return Ok(now(fail(stack, "unread data in buffer")));
    }
    let pool = socket.inner.borrow().ticket.as_ref().map(|ticket| ticket.pool().clone());
    stack.get_item(1, KEY);
    let key = stack.bytes(stack.top()).map(<[u8]>::to_vec);
    let (known, key) = match (pool, key) {
        (Some(pool), _) => (Some(pool), Vec::new()),
        (None, Some(key)) => (call.hub.pools.find(&key), key),
        (None, None) => return Ok(now(fail(stack, "key not found"))),
    };
    let exiting = call.host.worker().is_some_and(|worker| worker.exiting.get());
    if known.is_none() && size <= 0 && !exiting {
        return Err(Raise::argument(arguments, "setkeepalive", &format!("bad \"pool_size\" option value: {size}")));
    }
    if !socket.inner.borrow().prompt {
        send::set_no_delay(&call, &socket, &call.reporter(cx));
    }
    let mut inner = socket.inner.borrow_mut();
    let reused = inner.reused;
    let (stream, ticket) = inner.detach();
    drop(inner);
    let Some(stream) = stream.filter(|_| !exiting) else {
        call.reporter(cx).debug(format_args!("lua tcp socket set keepalive while process exiting, closing connection"));
        return Ok(now(number(stack, 1.0)));
    };
    if let Some(text) = not_idle(&stream) {
        return Ok(now(fail(stack, text)));
    }
    let reporter = call.reporter(cx);
    let pool = known.unwrap_or_else(|| {
        let size = usize::try_from(size).unwrap_or(1);
        reporter.pool_made(&key, size, None);
        call.hub.pools.find_or_make(&key, size, None, call.log())
    });
    match timeout {
        0 => reporter.debug(format_args!("lua tcp socket keepalive timeout: unlimited")),
        _ => reporter.debug(format_args!("lua tcp socket keepalive timeout: {timeout} ms")),
    }
    let idle = u64::try_from(timeout).ok().filter(|timeout| *timeout > 0).map(Duration::from_millis);
    call.hub.pools.release(&pool, stream, reused, ticket, idle);
    if let Some(worker) = call.host.worker()
        && let Some(task) = call.hub.pools.maintain(&worker.log)
    {
        worker.spawn(task);
    }
    Ok(now(number(stack, 1.0)))
}

/// Why a connection cannot be kept: its peer has sent something or has gone.
fn not_idle(stream: &net::stream::Stream) -> Option<&'static str> {
    let mut peeked = Vec::new();
    match stream.try_read(&mut peeked) {
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => None,
        Ok(0) => Some("closed"),
        _ => Some("connection in dubious state"),
    }
}

/// `sock:getfd()`: the descriptor's number (resty.core.socket).
///
/// # Errors
/// The socket was never connected.
pub fn descriptor(cx: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    let call = call::begin(cx, stack, "getfd")?;
    let (_, socket) = call.socket(stack).ok_or("socket is never created nor connected")?;
    let inner = socket.inner.borrow();
    Ok(now(match inner.stream.as_ref().and_then(|stream| stream.descriptor().ok()) {
        Some(descriptor) => number(stack, f64::from(descriptor.as_raw_fd())),
        None => fail(stack, "closed"),
    }))
}

/// `sock:setoption(name, value)` (resty.core.socket).
///
/// # Errors
/// The socket was never connected.
pub fn set_option(cx: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    option(cx, stack, true)
}

/// `sock:getoption(name)` (resty.core.socket).
///
/// # Errors
/// The socket was never connected.
pub(crate) fn get_option(cx: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    option(cx, stack, false)
}

/// Sets how a silent connection is probed, which by itself does not begin.
fn probes(socket: &socket2::SockRef<'_>, how: &TcpKeepalive) -> std::io::Result<usize> {
    let on = socket.keepalive()?;
    socket.set_tcp_keepalive(how)?;
    socket.set_keepalive(on).map(|()| 1)
}

fn option(cx: &CallContext, stack: &mut Stack<'_>, set: bool) -> Result<usize, Raise> {
    let call = call::begin(cx, stack, if set { "setoption" } else { "getoption" })?;
    let (_, socket) = call.socket(stack).ok_or("socket is never created nor connected")?;
    let inner = socket.inner.borrow();
    Ok(stream_option(stack, inner.stream.as_ref(), set))
}

/// Sets or reads an option of a connection, as the arguments of `setoption` and `getoption` say; the number of results.
pub fn stream_option(stack: &mut Stack<'_>, stream: Option<&Stream>, set: bool) -> usize {
    if stack.is_nil(2) {
        return now(fail(stack, "missing the \"option\" argument"));
    }
    let name = stack.bytes(2).map(<[u8]>::to_vec).unwrap_or_default();
    if set && stack.is_nil(3) {
        return now(fail(stack, "missing the \"value\" argument"));
    }
    let value = stack.number(3).unwrap_or_else(|| f64::from(u8::from(stack.truthy(3))));
    let Some(stream) = stream else { return now(fail(stack, "closed")) };
    let Ok(descriptor) = stream.descriptor() else { return now(fail(stack, "closed")) };
    let reference = socket2::SockRef::from(&descriptor);
    let on = value != 0.0;
    let size = usize::saturated(value.max(0.0));
    let result = match (name.as_slice(), set) {
        (b"keepalive", true) => reference.set_keepalive(on).map(|()| 1),
        (b"reuseaddr", true) => reference.set_reuse_address(on).map(|()| 1),
        (b"tcp-nodelay", true) => stream.set_no_delay(on).map(|()| 1),
        (b"sndbuf", true) => reference.set_send_buffer_size(size).map(|()| 1),
        (b"rcvbuf", true) => reference.set_recv_buffer_size(size).map(|()| 1),
        (b"keepintvl", true) => probes(&reference, &TcpKeepalive::new().with_interval(Duration::from_secs(u64::saturated(value.max(0.0))))),
        (b"keepcnt", true) => probes(&reference, &TcpKeepalive::new().with_retries(u32::saturated(value.max(0.0)))),
        (b"keepintvl", false) => reference.tcp_keepalive_interval().map(|interval| usize::saturated(interval.as_secs())),
        (b"keepcnt", false) => reference.tcp_keepalive_retries().map(|count| count as usize),
        (b"keepalive", false) => reference.keepalive().map(usize::from),
        (b"reuseaddr", false) => reference.reuse_address().map(usize::from),
        (b"tcp-nodelay", false) => reference.tcp_nodelay().map(usize::from),
        (b"sndbuf", false) => reference.send_buffer_size(),
        (b"rcvbuf", false) => reference.recv_buffer_size(),
        _ => return now(fail(stack, &format!("unsupported option {}", String::from_utf8_lossy(&name)))),
    };
    match result {
        Ok(_) if set => {
            stack.push_bool(true);
            1
        }
        Ok(value) => now(number(stack, value as f64)),
        Err(error) => now(fail(stack, &base::errno::strerror(error.raw_os_error().unwrap_or(0)).to_lowercase())),
    }
}
