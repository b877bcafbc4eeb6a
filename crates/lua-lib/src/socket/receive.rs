//! `receive`, `receiveany`, and the iterators of `receiveuntil`.

use crate::host::Host;
use crate::socket::call::{self, Call, READ_TIMEOUT, check_arguments, fail};
use crate::socket::report::{Reporter, error_line};
use crate::socket::scan::Pattern;
use crate::socket::state::{Busy, Direction, Socket, error_text, make_room};
use base::log::Level;
use base::saturated::Saturated;
use lua::{CallContext, Raise, Reply, Stack, Suspension, Type, Value};
use net::deadline::Limit;
use net::stream::Stream;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

/// `sock:receive(pattern or size)`.
///
/// # Errors
/// Wrong arguments, or a socket of another request.
pub fn receive(cx: &CallContext, stack: &mut Stack<'_>) -> Result<Suspension, Raise> {
    check_arguments(stack, 1..=2, "expecting 1 or 2 arguments (including the object), but got")?;
    let call = call::begin(cx, stack, "receive")?;
    let reporter = call.reporter(cx);
    reporter.debug(format_args!("lua tcp socket calling receive() method"));
    let Some(socket) = open(&call, stack, &reporter)? else { return Ok(fail(stack, "closed")) };
    if let Err(text) = call.check(&socket, &[Direction::Connecting, Direction::Reading])? {
        return Ok(fail(stack, text));
    }
    let Some(want) = pattern(stack)? else {
        stack.push_bytes(b"");
        return Ok(Suspension::Now(1));
    };
    run(&call, stack, socket, want, reporter, false)
}

/// What the argument of `receive` asks for; `None`: no byte.
///
/// # Errors
/// It is no pattern and no size.
pub fn pattern(stack: &Stack<'_>) -> Result<Option<Pattern>, Raise> {
    if stack.top() == 1 {
        return Ok(Some(Pattern::Line));
    }
    let size = match stack.kind(2) {
        // The bytes of a number would be made first.
        Type::Number => stack.number(2),
        Type::String => match stack.bytes(2).unwrap_or_default() {
            b"*l" => return Ok(Some(Pattern::Line)),
            b"*a" => return Ok(Some(Pattern::All)),
            [b'*', _] => return Err(Raise::argument(2, "receive", "bad pattern argument")),
            other => match stack.number(2) {
                None => {
                    let text = format!("bad pattern argument: {}", String::from_utf8_lossy(other));
                    return Err(Raise::argument(2, "receive", &text));
                }
                size => size,
            },
        },
        _ => None,
    };
    match size {
        None => Err(Raise::argument(2, "receive", "bad argument")),
        Some(size) if size < 0.0 => Err(Raise::argument(2, "receive", "bad number argument")),
        Some(size) if size < 1.0 => Ok(None),
        Some(size) => Ok(Some(Pattern::Bytes(usize::saturated(size)))),
    }
}

/// `sock:receiveany(most)`.
///
/// # Errors
/// Wrong arguments, or a socket of another request.
pub fn receive_any(cx: &CallContext, stack: &mut Stack<'_>) -> Result<Suspension, Raise> {
    check_arguments(stack, 2..=2, "expecting 2 arguments (including the object), but got")?;
    let call = call::begin(cx, stack, "receiveany")?;
    let reporter = call.reporter(cx);
    let Some(socket) = open(&call, stack, &reporter)? else { return Ok(fail(stack, "closed")) };
    if let Err(text) = call.check(&socket, &[Direction::Connecting, Direction::Reading])? {
        return Ok(fail(stack, text));
    }
    let most = stack.number(2).filter(|most| *most >= 1.0);
    let most = most.ok_or_else(|| Raise::argument(2, "?", "bad max argument"))?;
    reporter.debug(format_args!("lua tcp socket calling receiveany() method to read at most {most} bytes"));
    run(&call, stack, socket, Pattern::Any(usize::saturated(most)), reporter, false)
}

/// One call of an iterator: the socket, the pattern, whether it is inclusive, the size. The last result says whether
/// the pattern was reached; the glue keeps it.
///
/// # Errors
/// A socket of another request. The caller of the iterator is to blame.
pub fn receive_until(cx: &CallContext, stack: &mut Stack<'_>) -> Result<Suspension, Raise> {
    iterate(cx, stack).map_err(|raise| raise.at_level(2))
}

fn iterate(cx: &CallContext, stack: &mut Stack<'_>) -> Result<Suspension, Raise> {
    let call = call::begin(cx, stack, "receiveuntil")?;
    let reporter = call.reporter(cx);
    let pattern = stack.check_bytes(2, "receiveuntil")?.to_vec();
    let Some(socket) = call.socket(stack).map(|(_, socket)| socket).filter(|s| readable(s)) else {
        return Ok(fail(stack, "closed"));
    };
    if let Err(text) = call.check(&socket, &[Direction::Connecting, Direction::Reading])? {
        return Ok(fail(stack, text));
    }
    let want = Pattern::Until { pattern, inclusive: stack.truthy(3), size: stack.number(4).map_or(0, usize::saturated) };
    run(&call, stack, socket, want, reporter, true)
}

fn readable(socket: &Socket) -> bool {
    let inner = socket.inner.borrow();
    (inner.stream.is_some() && !inner.read_closed) || socket.busy(&[Direction::Connecting]).is_some()
}

fn open(call: &Call, stack: &mut Stack<'_>, reporter: &Reporter) -> Result<Option<Rc<Socket>>, Raise> {
    let found = call.socket(stack).map(|(_, socket)| socket).filter(|s| readable(s));
    if found.is_none() {
        reporter.error("attempt to receive data on a closed socket: u:0000000000000000, c:0000000000000000, ft:0 eof:0");
    }
    Ok(found)
}

/// One receive under way.
struct Receiving {
    socket: Rc<Socket>,
    pattern: Pattern,
    scanned: usize,
    room: usize,
}

/// How a receive ended.
enum End {
    /// The result was shown; whether a pattern was reached.
    Found(bool),
    Closed,
    Failed(io::Error),
}

impl Receiving {
    /// Shows what is wanted to `take`, from what is buffered and then from what `read` brings, until that suffices or has to wait.
    #[inline]
    fn advance(
        &mut self,
        take: impl FnOnce(&[u8]),
        mut read: impl FnMut(&mut Stream, &mut Vec<u8>) -> Poll<io::Result<usize>>,
    ) -> Poll<End> {
        let mut inner = self.socket.inner.borrow_mut();
        let inner = &mut *inner;
        loop {
            if let Some(found) = self.pattern.find(inner.unread(), &mut self.scanned, inner.eof) {
                take(&found.data);
                let (used, complete) = (found.used, found.complete);
                inner.consume(used);
                return Poll::Ready(End::Found(complete));
            }
            let Some(stream) = inner.stream.as_mut().filter(|_| !inner.eof) else { return Poll::Ready(End::Closed) };
            make_room(&mut inner.input, &mut inner.at, self.room);
            match std::task::ready!(read(stream, &mut inner.input)) {
                Ok(0) => inner.eof = true,
                Ok(_) => {}
                Err(error) => return Poll::Ready(End::Failed(error)),
            }
        }
    }

    /// The fast way: what has arrived, without a copy on the way to Lua. A waker is given when the thread really waits.
    #[inline]
    fn scan_input(&mut self, take: impl FnOnce(&[u8])) -> Poll<End> {
        self.advance(take, |stream, input| match stream.try_read(input) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
            read => Poll::Ready(read),
        })
    }

    /// What was received of a result that an error cuts short.
    fn partial(&mut self, closed: bool) -> Value {
        let mut inner = self.socket.inner.borrow_mut();
        let (data, used) = self.pattern.partial(inner.unread(), closed);
        inner.consume(used);
        inner.read_closed |= closed;
        Value::from(data)
    }

    /// What a receive answers that found nothing.
    fn failure(&mut self, error: Option<&io::Error>, reporter: &Reporter) -> Reply {
        let text = match error {
            None => "closed".into(),
            Some(error) => {
                reporter.always(Level::Error, &error_line("recv()", "SSL_read()", error));
                error_text(error)
            }
        };
        Reply::Many(vec![Value::Nil, text, self.partial(true)])
    }

    fn time_out(&mut self, reporter: &Reporter) -> Reply {
        let line = format!("lua tcp socket read timed out{}", self.socket.inner.borrow().label);
        reporter.error(&line);
        Reply::Many(vec![Value::Nil, "timeout".into(), self.partial(false)])
    }
}

fn run(
    call: &Call,
    stack: &mut Stack<'_>,
    socket: Rc<Socket>,
    want: Pattern,
    reporter: Reporter,
    until: bool,
) -> Result<Suspension, Raise> {
    let timeout: Duration = call.timeout(stack, READ_TIMEOUT, call.options.read_timeout);
    reporter.debug(format_args!("lua tcp socket read timeout: {}", timeout.as_millis()));
    if let Pattern::Any(_) = want {
        reporter.debug(format_args!("lua tcp socket read any"));
    }
    let room = usize::try_from(call.options.buffer_size.unwrap_or(4096)).unwrap_or(4096);
    let mut receiving = Receiving { socket, pattern: want, scanned: 0, room };
    let error = match receiving.scan_input(|data| stack.push_bytes(data)) {
        Poll::Ready(End::Found(complete)) => {
            if until {
                stack.push_nil();
                stack.push_nil();
                stack.push_bool(complete);
            }
            return Ok(Suspension::Now(if until { 4 } else { 1 }));
        }
        Poll::Pending => return Ok(Suspension::wait(|| Waiting::new(&*call.host, receiving, timeout, reporter, until))),
        Poll::Ready(End::Closed) => None,
        Poll::Ready(End::Failed(error)) => Some(error),
    };
    Ok(Suspension::wait(|| std::future::ready(Ok(receiving.failure(error.as_ref(), &reporter)))))
}

/// A receive that waits for bytes.
struct Waiting {
    receiving: Receiving,
    limit: Option<Limit>,
    reporter: Reporter,
    until: bool,
    _busy: Busy,
}

impl Waiting {
    fn new(host: &dyn Host, receiving: Receiving, timeout: Duration, reporter: Reporter, until: bool) -> Waiting {
        let limit = host.hub().map(|hub| hub.limit(host.worker().map(|worker| &**worker), timeout));
        let busy = receiving.socket.begin(Direction::Reading);
        Waiting { receiving, limit, reporter, until, _busy: busy }
    }
}

/// How [`begin`] went.
pub enum Started {
    /// The result is in the output buffer.
    Here,
    /// The thread waits for it.
    Parked,
    /// Nothing was done.
    Not,
}

/// A receive of a line or of some bytes, for a fast row: of a socket that can be read and is not at its end.
/// `own` is the socket's own timeout in milliseconds, if there is one.
pub fn begin(cx: &CallContext, host: &dyn Host, socket: Rc<Socket>, want: Pattern, own: f64) -> Started {
    if !cx.can_suspend() {
        return Started::Not;
    }
    let options = host.socket_options();
    let room = usize::try_from(options.buffer_size.unwrap_or(4096)).unwrap_or(4096);
    let mut receiving = Receiving { socket, pattern: want, scanned: 0, room };
    let error = match receiving.scan_input(|data| cx.set_text(data)) {
        Poll::Ready(End::Found(_)) => return Started::Here,
        Poll::Ready(End::Closed) => return Started::Not,
        // An error is reported once.
        Poll::Ready(End::Failed(error)) => Some(error),
        Poll::Pending => None,
    };
    let Some(reporter) = crate::host::host(cx).map(|host| Reporter::new(cx, &host, &options)) else { return Started::Not };
    let parked = match error {
        Some(error) => cx.park(std::future::ready(Ok(receiving.failure(Some(&error), &reporter)))),
        None => {
            let milliseconds = if own > 0.0 { u64::saturated(own) } else { options.read_timeout.unwrap_or(60_000) };
            cx.park(Waiting::new(host, receiving, Duration::from_millis(milliseconds), reporter, false))
        }
    };
    if parked { Started::Parked } else { Started::Not }
}

impl Future for Waiting {
    type Output = Result<Reply, Raise>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let mut data = Value::Nil;
        let end = this.receiving.advance(|found| data = found.to_vec().into(), |stream, input| stream.poll_read(cx, input));
        Poll::Ready(Ok(match end {
            Poll::Ready(End::Found(complete)) if this.until => Reply::Many(vec![data, Value::Nil, Value::Nil, complete.into()]),
            Poll::Ready(End::Found(_)) => Reply::One(data),
            Poll::Ready(End::Closed) => this.receiving.failure(None, &this.reporter),
            Poll::Ready(End::Failed(error)) => this.receiving.failure(Some(&error), &this.reporter),
            Poll::Pending => match &mut this.limit {
                Some(limit) => {
                    std::task::ready!(limit.poll(cx));
                    this.receiving.time_out(&this.reporter)
                }
                None => return Poll::Pending,
            },
        }))
    }
}
