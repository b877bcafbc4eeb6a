//! `send` on the client's connection.

use crate::client::ClientSocket;
use lua::{CallContext, Raise, Reply, Stack, Suspension, Value};
use lua_lib::socket::call::{self, SEND_TIMEOUT, check_arguments, fail, failure, number};
use lua_lib::socket::pieces;
use lua_lib::socket::state::{Direction, error_text};
use std::io;
use std::task::{Context, Poll, Waker, ready};

/// `sock:send(data)`: answers the number of bytes.
///
/// # Errors
/// Wrong arguments, or a socket of another session.
pub fn send<C: ClientSocket>(cx: &CallContext, stack: &mut Stack<'_>) -> Result<Suspension, Raise> {
    check_arguments(stack, 2..=2, "expecting 2 arguments (including the object), but got")?;
    let call = call::begin(cx, stack, "send")?;
    let reporter = call.reporter(cx);
    let Some(client) = C::find(cx, &call, stack)?.filter(|client| !client.socket().inner.borrow().write_closed) else {
        reporter.error("attempt to send data on a closed socket: u:0000000000000000, c:0000000000000000, ft:0 eof:0");
        return Ok(fail(stack, "closed"));
    };
    if let Err(text) = call.check(client.socket(), &[Direction::Writing])?.and_then(|()| client.make_way()) {
        return Ok(fail(stack, text));
    }
    let timeout = call.timeout(stack, SEND_TIMEOUT, call.options.send_timeout);
    reporter.debug(format_args!("lua tcp socket send timeout: {}", timeout.as_millis()));
    let mut data = Vec::new();
    pieces::push(stack, 2, &mut data)?;
    let total = data.len() as f64;
    let mut sending = Sending { client, data, sent: 0 };
    match sending.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Ok(())) => return Ok(number(stack, total)),
        Poll::Ready(Err(error)) => {
            let text = sending.refuse(&error);
            return Ok(Suspension::wait(|| async move { Ok(failure(text)) }));
        }
        Poll::Pending => {}
    }
    let (busy, limit) = (sending.client.socket().begin(Direction::Writing), call.limit(timeout));
    Ok(Suspension::wait(|| async move {
        let _busy = busy;
        Ok(match limit.bound(std::future::poll_fn(|cx| sending.poll(cx))).await {
            Ok(Ok(())) => Reply::One(Value::Number(total)),
            Ok(Err(error)) => failure(sending.refuse(&error)),
            Err(_) => {
                reporter.error("lua tcp socket write timed out");
                sending.close();
                failure("timeout")
            }
        })
    }))
}

/// One send under way.
struct Sending<C> {
    client: C,
    data: Vec<u8>,
    sent: usize,
}

impl<C: ClientSocket> Sending<C> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest) = self.data.get(self.sent..).filter(|rest| !rest.is_empty()) {
            match ready!(self.client.poll_send(cx, rest)) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }

    fn close(&self) {
        self.client.socket().inner.borrow_mut().write_closed = true;
    }

    fn refuse(&self, error: &io::Error) -> Value {
        refuse(&self.client, error)
    }
}

/// Closes the direction after an error; the error's text for Lua.
pub(crate) fn refuse<C: ClientSocket>(client: &C, error: &io::Error) -> Value {
    client.socket().inner.borrow_mut().write_closed = true;
    client.report("send()", error);
    error_text(error)
}
