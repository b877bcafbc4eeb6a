//! `receive`, `receiveany` and the iterators of `receiveuntil` on the client's connection.

use crate::client::used::Used;
use base::log::Level;
use lua::{CallContext, Later, Raise, Reply, Stack, Value};
use lua_lib::socket::call::{self, Call, READ_TIMEOUT, expect, fail};
use lua_lib::socket::receive::wanted;
use lua_lib::socket::report::Reporter;
use lua_lib::socket::scan::Want;
use lua_lib::socket::state::{Work, error_text};
use lua_session::options::RunOptions;
use std::io;
use std::task::{Context, Poll, Waker, ready};
use stream::log_session;

/// `sock:receive(pattern or size)`.
pub(super) fn receive(cx: &CallContext, stack: &mut Stack<'_>) -> Result<Later, Raise> {
    expect(stack, 1..=2, "expecting 1 or 2 arguments (including the object), but got")?;
    let call = call::begin(cx, stack, "receive")?;
    let reporter = call.reporter(cx);
    reporter.debug(format_args!("lua tcp socket calling receive() method"));
    let used = match open(cx, &call, stack, &reporter)? {
        Ok(used) => used,
        Err(text) => return Ok(fail(stack, text)),
    };
    match wanted(stack)? {
        Some(want) => run(&call, stack, used, want, reporter, false),
        None => {
            stack.push_bytes(b"");
            Ok(Later::Now(1))
        }
    }
}

/// `sock:receiveany(most)`.
pub(super) fn receive_any(cx: &CallContext, stack: &mut Stack<'_>) -> Result<Later, Raise> {
    expect(stack, 2..=2, "expecting 2 arguments (including the object), but got")?;
    let call = call::begin(cx, stack, "receiveany")?;
    let reporter = call.reporter(cx);
    let used = match open(cx, &call, stack, &reporter)? {
        Ok(used) => used,
        Err(text) => return Ok(fail(stack, text)),
    };
    let most = stack.number(2).filter(|most| *most >= 1.0);
    let most = most.ok_or_else(|| Raise::argument(2, "?", "bad max argument"))?;
    reporter.debug(format_args!("lua tcp socket calling receiveany() method to read at most {most} bytes"));
    run(&call, stack, used, Want::Any(most as usize), reporter, false)
}

/// One call of an iterator: the socket, the pattern, whether it is inclusive, the size. The last result says whether
/// the pattern was reached; the glue keeps it.
pub(super) fn receive_until(cx: &CallContext, stack: &mut Stack<'_>) -> Result<Later, Raise> {
    let call = call::begin(cx, stack, "receiveuntil")?;
    let reporter = call.reporter(cx);
    let pattern = stack.check_bytes(2, "receiveuntil")?.to_vec();
    let used = match open(cx, &call, stack, &reporter)? {
        Ok(used) => used,
        Err(text) => return Ok(fail(stack, text)),
    };
    let want = Want::Until { pattern, inclusive: stack.truthy(3), size: stack.number(4).map_or(0, |size| size as usize) };
    run(&call, stack, used, want, reporter, true)
}

/// The socket, if it can be read; the inner error is for Lua.
fn open(cx: &CallContext, call: &Call, stack: &mut Stack<'_>, reporter: &Reporter) -> Result<Result<Used, &'static str>, Raise> {
    let found = Used::find(cx, call, stack)?;
    let eof = found.as_ref().is_some_and(|used| used.client.has_ended());
    let Some(used) = found.filter(|used| !used.client.socket.inner.borrow().read_closed) else {
        let eof = u8::from(eof);
        reporter.error(&format!("attempt to receive data on a closed socket: u:0000000000000000, c:0000000000000000, ft:0 eof:{eof}"));
        return Ok(Err("closed"));
    };
    Ok(call.check(&used.client.socket, &[Work::Reading])?.map(|()| used))
}

/// One receive under way.
struct Receiving {
    used: Used,
    want: Want,
    seen: usize,
    /// `lua_check_client_abort`
    checks: bool,
}

/// How a receive ended.
enum End {
    /// The result, and whether a pattern was reached.
    Found(Vec<u8>, bool),
    Closed,
    /// The client has gone.
    Aborted,
    Failed(io::Error),
}

impl Receiving {
    /// Looks at what has been read ahead and reads until it suffices.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        let Used { client, session, state } = &self.used;
        state.pulled.set(false);
        loop {
            let eof = client.has_ended();
            let found = self.want.find(&session.unread(), &mut self.seen, eof).map(|f| (f.used, f.complete, f.data.into_owned()));
            if let Some((count, complete, data)) = found {
                session.skip_preread(count);
                client.consumed.set(true);
                return Poll::Ready(End::Found(data, complete));
            }
            if eof {
                return Poll::Ready(End::Closed);
            }
            match ready!(session.poll_preread(cx)) {
                Ok(1..) => {}
                Ok(0) if self.checks => return Poll::Ready(End::Aborted),
                Ok(0) => client.socket.inner.borrow_mut().eof = true,
                Err(error) => return Poll::Ready(End::Failed(error)),
            }
        }
    }

    /// What was received of a result that an error cuts short.
    fn partial(&self, closed: bool) -> Value {
        let Used { client, session, .. } = &self.used;
        let (data, count) = self.want.partial(&session.unread(), closed);
        session.skip_preread(count);
        client.consumed.set(true);
        client.socket.inner.borrow_mut().read_closed |= closed;
        Value::from(data)
    }

    fn reply(&self, end: End, until: bool) -> Reply {
        match end {
            End::Found(data, complete) if until => Reply::Many(vec![data.into(), Value::Nil, Value::Nil, complete.into()]),
            End::Found(data, _) => Reply::One(data.into()),
            End::Closed => Reply::Many(vec![Value::Nil, "closed".into(), self.partial(true)]),
            End::Aborted => {
                log_session!(self.used.session, Level::Info, "stream client prematurely closed connection");
                // The handler learns it here and now; nobody needs to tell it again.
                self.used.state.abort_known.set(true);
                self.used.client.socket.inner.borrow_mut().eof = true;
                Reply::Many(vec![Value::Nil, "client aborted".into(), self.partial(true)])
            }
            End::Failed(error) => {
                log_session!(self.used.session, Level::Info, "recv() failed {}", base::errno::describe(&error));
                Reply::Many(vec![Value::Nil, error_text(&error), self.partial(true)])
            }
        }
    }
}

fn run(call: &Call, stack: &mut Stack<'_>, used: Used, want: Want, reporter: Reporter, until: bool) -> Result<Later, Raise> {
    let timeout = call.timeout(stack, READ_TIMEOUT, call.options.read_timeout);
    reporter.debug(format_args!("lua tcp socket read timeout: {}", timeout.as_millis()));
    let checks = used.session.conf::<RunOptions>().check_client_abort == Some(true);
    let mut receiving = Receiving { used, want, seen: 0, checks };
    // What has arrived answers at once; a waker is given when the thread really waits.
    match receiving.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(End::Found(data, complete)) => {
            stack.push_bytes(&data);
            if !until {
                return Ok(Later::Now(1));
            }
            stack.push_nil();
            stack.push_nil();
            stack.push_bool(complete);
            return Ok(Later::Now(4));
        }
        Poll::Ready(end) => {
            let reply = receiving.reply(end, until);
            return Ok(Later::wait(async move { Ok(reply) }));
        }
        Poll::Pending => {}
    }
    let busy = receiving.used.client.socket.begin(Work::Reading);
    Ok(Later::wait(async move {
        let _busy = busy;
        let end = tokio::time::timeout(timeout, std::future::poll_fn(|cx| receiving.poll(cx))).await;
        Ok(match end {
            Ok(end) => receiving.reply(end, until),
            Err(_) => {
                reporter.error("lua tcp socket read timed out");
                Reply::Many(vec![Value::Nil, "timeout".into(), receiving.partial(false)])
            }
        })
    }))
}
