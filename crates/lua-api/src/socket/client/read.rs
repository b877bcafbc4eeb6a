//! `receive`, `receiveany` and the iterators of `receiveuntil` on the client's connection.

use crate::host::request;
use crate::socket::client::state::{Client, Fill};
use crate::state::State;
use base::log::Level;
use http::{Request, log_request};
use lua::{CallContext, Later, Raise, Reply, Stack, Value};
use lua_lib::socket::call::{self, Call, READ_TIMEOUT, expect, fail};
use lua_lib::socket::receive::wanted;
use lua_lib::socket::report::Reporter;
use lua_lib::socket::scan::Want;
use lua_lib::socket::state::{Work, error_text};
use lua_session::options::RunOptions;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

/// `sock:receive(pattern or size)`.
///
/// # Errors
/// Wrong arguments, or a socket of another request.
pub fn receive(cx: &CallContext, stack: &mut Stack<'_>) -> Result<Later, Raise> {
    expect(stack, 1..=2, "expecting 1 or 2 arguments (including the object), but got")?;
    let call = call::begin(cx, stack, "receive")?;
    let reporter = call.reporter(cx);
    reporter.debug(format_args!("lua tcp socket calling receive() method"));
    let client = match open(cx, &call, stack, &reporter)? {
        Ok(client) => client,
        Err(text) => return Ok(fail(stack, text)),
    };
    match wanted(stack)? {
        Some(want) => run(cx, &call, stack, client, want, reporter, false),
        None => {
            stack.push_bytes(b"");
            Ok(Later::Now(1))
        }
    }
}

/// `sock:receiveany(most)`.
///
/// # Errors
/// Wrong arguments, or a socket of another request.
pub fn receive_any(cx: &CallContext, stack: &mut Stack<'_>) -> Result<Later, Raise> {
    expect(stack, 2..=2, "expecting 2 arguments (including the object), but got")?;
    let call = call::begin(cx, stack, "receiveany")?;
    let reporter = call.reporter(cx);
    let client = match open(cx, &call, stack, &reporter)? {
        Ok(client) => client,
        Err(text) => return Ok(fail(stack, text)),
    };
    let most = stack.number(2).filter(|most| *most >= 1.0);
    let most = most.ok_or_else(|| Raise::argument(2, "?", "bad max argument"))?;
    reporter.debug(format_args!("lua tcp socket calling receiveany() method to read at most {most} bytes"));
    run(cx, &call, stack, client, Want::Any(most as usize), reporter, false)
}

/// One call of an iterator: the socket, the pattern, whether it is inclusive, the size. The last result says whether
/// the pattern was reached; the glue keeps it.
///
/// # Errors
/// A socket of another request.
pub fn receive_until(cx: &CallContext, stack: &mut Stack<'_>) -> Result<Later, Raise> {
    let call = call::begin(cx, stack, "receiveuntil")?;
    let reporter = call.reporter(cx);
    let pattern = stack.check_bytes(2, "receiveuntil")?.to_vec();
    let client = match open(cx, &call, stack, &reporter)? {
        Ok(client) => client,
        Err(text) => return Ok(fail(stack, text)),
    };
    let want = Want::Until { pattern, inclusive: stack.truthy(3), size: stack.number(4).map_or(0, |size| size as usize) };
    run(cx, &call, stack, client, want, reporter, true)
}

/// The socket, if it can be read; the inner error is for Lua.
fn open(cx: &CallContext, call: &Call, stack: &mut Stack<'_>, reporter: &Reporter) -> Result<Result<Rc<Client>, &'static str>, Raise> {
    let found = Client::find(cx, call, stack)?;
    let eof = found.as_ref().is_some_and(|client| client.socket.inner.borrow().eof);
    let Some(client) = found.filter(|client| !client.socket.inner.borrow().read_closed) else {
        let eof = u8::from(eof);
        reporter.error(&format!("attempt to receive data on a closed socket: u:0000000000000000, c:0000000000000000, ft:0 eof:{eof}"));
        return Ok(Err("closed"));
    };
    Ok(call.check(&client.socket, &[Work::Reading])?.map(|()| client))
}

/// One receive under way.
struct Receiving {
    client: Rc<Client>,
    request: Rc<Request>,
    state: Rc<State>,
    want: Want,
    seen: usize,
    room: usize,
    /// `lua_check_client_abort`
    checks: bool,
}

/// How a receive ended.
enum End {
    /// The result, and whether a pattern was reached.
    Found(Vec<u8>, bool),
    Closed,
    /// The client has gone, behind what was found if anything was.
    Aborted(Option<Vec<u8>>),
    Failed(io::Error),
}

impl Receiving {
    /// Looks at what is buffered and reads until it suffices.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        let mut inner = self.client.socket.inner.borrow_mut();
        let inner = &mut *inner;
        loop {
            if let Some(found) = self.want.find(inner.unread(), &mut self.seen, inner.eof) {
                let (used, complete, data) = (found.used, found.complete, found.data.into_owned());
                inner.consume(used);
                let all_here = self.client.left() == Some(0) && inner.unread().is_empty();
                if self.checks && all_here && self.request.wire.poll_gone(cx).is_ready() {
                    log_request!(self.request, Level::Info, "client prematurely closed connection");
                    return Poll::Ready(End::Aborted(Some(data)));
                }
                return Poll::Ready(End::Found(data, complete));
            }
            if inner.eof {
                return Poll::Ready(End::Closed);
            }
            if inner.at > 0 {
                inner.input.drain(..inner.at);
                inner.at = 0;
            }
            match ready!(self.client.poll_fill(cx, &self.request, &mut inner.input, self.room, self.checks)) {
                Fill::More => {}
                Fill::End => inner.eof = true,
                Fill::Aborted => return Poll::Ready(End::Aborted(None)),
                Fill::Failed(error) => return Poll::Ready(End::Failed(error)),
            }
        }
    }

    /// What was received of a result that an error cuts short.
    fn partial(&self, closed: bool) -> Value {
        let mut inner = self.client.socket.inner.borrow_mut();
        let (data, used) = self.want.partial(inner.unread(), closed);
        inner.consume(used);
        inner.read_closed |= closed;
        Value::from(data)
    }

    fn reply(&self, end: End, until: bool) -> Reply {
        match end {
            End::Found(data, complete) if until => Reply::Many(vec![data.into(), Value::Nil, Value::Nil, complete.into()]),
            End::Found(data, _) => Reply::One(data.into()),
            End::Closed => Reply::Many(vec![Value::Nil, "closed".into(), self.partial(true)]),
            End::Aborted(data) => {
                // The handler learns it here and now; nobody needs to tell it again.
                self.state.abort_known.set(true);
                let rest = self.partial(true);
                Reply::Many(vec![Value::Nil, "client aborted".into(), data.map_or(rest, Value::from)])
            }
            End::Failed(error) => {
                log_request!(self.request, Level::Info, "recv() failed {}", base::errno::describe(&error));
                Reply::Many(vec![Value::Nil, error_text(&error), self.partial(true)])
            }
        }
    }
}

fn run(
    cx: &CallContext,
    call: &Call,
    stack: &mut Stack<'_>,
    client: Rc<Client>,
    want: Want,
    reporter: Reporter,
    until: bool,
) -> Result<Later, Raise> {
    let timeout = call.timeout(stack, READ_TIMEOUT, call.options.read_timeout);
    reporter.debug(format_args!("lua tcp socket read timeout: {}", timeout.as_millis()));
    let (host, request) = request(cx)?;
    let checks = request.conf::<RunOptions>().check_client_abort == Some(true);
    let room = usize::try_from(call.options.buffer_size.unwrap_or(4096)).unwrap_or(4096);
    let mut receiving = Receiving { client, request, state: host.state.clone(), want, seen: 0, room, checks };
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
    let busy = receiving.client.socket.begin(Work::Reading);
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
