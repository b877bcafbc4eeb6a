//! `receive`, `receiveany` and the iterators of `receiveuntil` on the client's connection.

use crate::client::ClientSocket;
use base::saturated::Saturated;
use lua::{CallContext, Raise, Reply, Stack, Suspension, Value};
use lua_lib::socket::call::{self, Call, READ_TIMEOUT, check_arguments, fail};
use lua_lib::socket::receive::pattern;
use lua_lib::socket::report::Reporter;
use lua_lib::socket::scan::Pattern;
use lua_lib::socket::state::{Busy, Direction, error_text};
use net::deadline::Limit;
use std::io;
use std::task::{Context, Poll, Waker};

/// One receive under way.
pub struct Receiving {
    /// What is received.
    pub pattern: Pattern,
    /// How much of what is there has been searched.
    pub scanned: usize,
    /// How many bytes are read at once.
    pub room: usize,
    /// `lua_check_client_abort`
    pub checks: bool,
}

/// How a receive ended.
pub enum Received {
    /// The result, and whether a pattern was reached.
    Found(Vec<u8>, bool),
    /// The client has closed its side.
    Closed,
    /// The client has gone, behind what was found if anything was.
    Aborted(Option<Vec<u8>>),
    /// Nothing can be read.
    Failed(io::Error),
}

/// `sock:receive(pattern or size)`.
///
/// # Errors
/// Wrong arguments, or a socket of another session.
pub fn receive<C: ClientSocket>(cx: &CallContext, stack: &mut Stack<'_>) -> Result<Suspension, Raise> {
    check_arguments(stack, 1..=2, "expecting 1 or 2 arguments (including the object), but got")?;
    let call = call::begin(cx, stack, "receive")?;
    let reporter = call.reporter(cx);
    reporter.debug(format_args!("lua tcp socket calling receive() method"));
    let client: C = match open(cx, &call, stack, &reporter)? {
        Ok(client) => client,
        Err(text) => return Ok(fail(stack, text)),
    };
    match pattern(stack)? {
        Some(want) => run(&call, stack, client, want, reporter, false),
        None => {
            stack.push_bytes(b"");
            Ok(Suspension::Now(1))
        }
    }
}

/// `sock:receiveany(most)`.
///
/// # Errors
/// Wrong arguments, or a socket of another session.
pub fn receive_any<C: ClientSocket>(cx: &CallContext, stack: &mut Stack<'_>) -> Result<Suspension, Raise> {
    check_arguments(stack, 2..=2, "expecting 2 arguments (including the object), but got")?;
    let call = call::begin(cx, stack, "receiveany")?;
    let reporter = call.reporter(cx);
    let client: C = match open(cx, &call, stack, &reporter)? {
        Ok(client) => client,
        Err(text) => return Ok(fail(stack, text)),
    };
    let most = stack.number(2).filter(|most| *most >= 1.0);
    let most = most.ok_or_else(|| Raise::argument(2, "?", "bad max argument"))?;
    reporter.debug(format_args!("lua tcp socket calling receiveany() method to read at most {most} bytes"));
    run(&call, stack, client, Pattern::Any(usize::saturated(most)), reporter, false)
}

/// One call of an iterator: the socket, the pattern, whether it is inclusive, the size. The last result says whether
/// the pattern was reached; the glue keeps it.
///
/// # Errors
/// A socket of another session.
pub fn receive_until<C: ClientSocket>(cx: &CallContext, stack: &mut Stack<'_>) -> Result<Suspension, Raise> {
    let call = call::begin(cx, stack, "receiveuntil")?;
    let reporter = call.reporter(cx);
    let pattern = stack.check_bytes(2, "receiveuntil")?.to_vec();
    let client: C = match open(cx, &call, stack, &reporter)? {
        Ok(client) => client,
        Err(text) => return Ok(fail(stack, text)),
    };
    let want = Pattern::Until { pattern, inclusive: stack.truthy(3), size: stack.number(4).map_or(0, usize::saturated) };
    run(&call, stack, client, want, reporter, true)
}

/// The socket, if it can be read; the inner error is for Lua.
fn open<C: ClientSocket>(
    cx: &CallContext,
    call: &Call,
    stack: &mut Stack<'_>,
    reporter: &Reporter,
) -> Result<Result<C, &'static str>, Raise> {
    let found = C::find(cx, call, stack)?;
    let eof = found.as_ref().is_some_and(|client| client.socket().inner.borrow().eof);
    let Some(client) = found.filter(|client| !client.socket().inner.borrow().read_closed) else {
        let eof = u8::from(eof);
        reporter.error(&format!("attempt to receive data on a closed socket: u:0000000000000000, c:0000000000000000, ft:0 eof:{eof}"));
        return Ok(Err("closed"));
    };
    Ok(call.check(client.socket(), &[Direction::Reading])?.map(|()| client))
}

fn partial<C: ClientSocket>(client: &C, want: &Pattern, closed: bool) -> Value {
    let data = client.take_partial(want, closed);
    client.socket().inner.borrow_mut().read_closed |= closed;
    Value::from(data)
}

/// What Lua gets.
pub(crate) fn reply<C: ClientSocket>(client: &C, want: &Pattern, end: Received, until: bool) -> Reply {
    match end {
        Received::Found(data, complete) if until => Reply::Many(vec![data.into(), Value::Nil, Value::Nil, complete.into()]),
        Received::Found(data, _) => Reply::One(data.into()),
        Received::Closed => Reply::Many(vec![Value::Nil, "closed".into(), partial(client, want, true)]),
        Received::Aborted(data) => {
            // The handler learns it here and now; nobody needs to tell it again.
            client.has_gone();
            let rest = partial(client, want, true);
            Reply::Many(vec![Value::Nil, "client aborted".into(), data.map_or(rest, Value::from)])
        }
        Received::Failed(error) => {
            client.report("recv()", &error);
            Reply::Many(vec![Value::Nil, error_text(&error), partial(client, want, true)])
        }
    }
}

fn run<C: ClientSocket>(
    call: &Call,
    stack: &mut Stack<'_>,
    client: C,
    pattern: Pattern,
    reporter: Reporter,
    until: bool,
) -> Result<Suspension, Raise> {
    let timeout = call.timeout(stack, READ_TIMEOUT, call.options.read_timeout);
    reporter.debug(format_args!("lua tcp socket read timeout: {}", timeout.as_millis()));
    let room = usize::try_from(call.options.buffer_size.unwrap_or(4096)).unwrap_or(4096);
    let mut receiving = Receiving { pattern, scanned: 0, room, checks: client.checks_abort() };
    // What has arrived answers at once; a waker is given when the thread really waits.
    match client.poll_receive(&mut receiving, &mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Received::Found(data, complete)) => {
            stack.push_bytes(&data);
            if !until {
                return Ok(Suspension::Now(1));
            }
            stack.push_nil();
            stack.push_nil();
            stack.push_bool(complete);
            return Ok(Suspension::Now(4));
        }
        Poll::Ready(end) => {
            let reply = reply(&client, &receiving.pattern, end, until);
            return Ok(Suspension::wait(|| async move { Ok(reply) }));
        }
        Poll::Pending => {}
    }
    let (busy, limit) = (client.socket().begin(Direction::Reading), call.limit(timeout));
    Ok(Suspension::wait(|| wait(client, receiving, busy, limit, reporter, until)))
}

/// Waits for what is received, at most until `limit`.
pub(crate) async fn wait<C: ClientSocket>(
    client: C,
    mut receiving: Receiving,
    _busy: Busy,
    limit: Limit,
    reporter: Reporter,
    until: bool,
) -> Result<Reply, Raise> {
    let end = limit.bound(std::future::poll_fn(|cx| client.poll_receive(&mut receiving, cx))).await;
    Ok(match end {
        Ok(end) => reply(&client, &receiving.pattern, end, until),
        Err(_) => {
            reporter.error("lua tcp socket read timed out");
            Reply::Many(vec![Value::Nil, "timeout".into(), partial(&client, &receiving.pattern, false)])
        }
    })
}
