//! `send` and `shutdown` on the client's connection.

use crate::client::used::Used;
use base::log::Level;
use lua::{CallContext, Later, Raise, Reply, Stack, Value};
use lua_lib::socket::call::{self, SEND_TIMEOUT, expect, fail, failure, number};
use lua_lib::socket::pieces;
use lua_lib::socket::report::Reporter;
use lua_lib::socket::state::{Work, error_text};
use std::io;
use std::task::{Context, Poll, Waker, ready};
use stream::log_session;

const BUSY: &str = "socket busy writing";

/// `sock:send(data)`: answers the number of bytes.
pub(super) fn send(cx: &CallContext, stack: &mut Stack<'_>) -> Result<Later, Raise> {
    expect(stack, 2..=2, "expecting 2 arguments (including the object), but got")?;
    let call = call::begin(cx, stack, "send")?;
    let reporter = call.reporter(cx);
    let Some(used) = Used::find(cx, &call, stack)?.filter(|used| !used.client.socket.inner.borrow().write_closed) else {
        reporter.error("attempt to send data on a closed socket: u:0000000000000000, c:0000000000000000, ft:0 eof:0");
        return Ok(fail(stack, "closed"));
    };
    if let Err(text) = call.check(&used.client.socket, &[Work::Writing])? {
        return Ok(fail(stack, text));
    }
    // What was said before leaves before.
    used.state.waiting.try_send(&used.session);
    if !used.state.waiting.is_empty() {
        return Ok(fail(stack, BUSY));
    }
    let timeout = call.timeout(stack, SEND_TIMEOUT, call.options.send_timeout);
    reporter.debug(format_args!("lua tcp socket send timeout: {}", timeout.as_millis()));
    let mut data = Vec::new();
    pieces::push(stack, 2, &mut data)?;
    let total = data.len() as f64;
    let mut sending = Sending { used, data, sent: 0 };
    match sending.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Ok(())) => return Ok(number(stack, total)),
        Poll::Ready(Err(error)) => {
            let text = sending.refuse(&error);
            return Ok(Later::wait(async move { Ok(failure(text)) }));
        }
        Poll::Pending => {}
    }
    let busy = sending.used.client.socket.begin(Work::Writing);
    Ok(Later::wait(async move {
        let _busy = busy;
        Ok(match tokio::time::timeout(timeout, std::future::poll_fn(|cx| sending.poll(cx))).await {
            Ok(Ok(())) => Reply::One(Value::Number(total)),
            Ok(Err(error)) => failure(sending.refuse(&error)),
            Err(_) => {
                sending.time_out(&reporter);
                failure("timeout")
            }
        })
    }))
}

/// One send under way.
struct Sending {
    used: Used,
    data: Vec<u8>,
    sent: usize,
}

impl Sending {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest) = self.data.get(self.sent..).filter(|rest| !rest.is_empty()) {
            match ready!(self.used.session.poll_write(cx, rest)) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Closes the direction after an error; the error's text for Lua.
    fn refuse(&self, error: &io::Error) -> Value {
        self.used.client.socket.inner.borrow_mut().write_closed = true;
        log_session!(self.used.session, Level::Info, "send() failed {}", base::errno::describe(error));
        error_text(error)
    }

    fn time_out(&self, reporter: &Reporter) {
        reporter.error("lua tcp socket write timed out");
        self.used.client.socket.inner.borrow_mut().write_closed = true;
    }
}

/// `sock:shutdown("send")`
pub(super) fn shutdown(cx: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    expect(stack, 2..=2, "expecting 2 arguments (including the object) but seen")?;
    let call = call::begin(cx, stack, "shutdown")?;
    let used = Used::find(cx, &call, stack)?;
    let refusal = |stack: &mut Stack<'_>, text: &str| Ok(call::now(fail(stack, text)));
    let Some(Used { client, session, state }) = used else { return refusal(stack, "closed") };
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
