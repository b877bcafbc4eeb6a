//! What the methods of a socket do when they need not wait, for compiled code: no Lua stack, no call of C.
//!
//! Each answers that it cannot rather than to decide: whatever is out of the ordinary (a socket that is busy, closed or
//! another request's, too few bytes, errors, debug lines) is the affair of the rows of the same name.

use crate::host::{Host, with_host};
use crate::socket::hub::Hub;
use crate::socket::pools::IdleConnection;
use crate::socket::receive::{self, Started};
use crate::socket::scan::{self, Pattern};
use crate::socket::state::{Direction, Inner, Socket};
use base::log::Level;
use base::saturated::Saturated;
use lua::{CallContext, Row, YIELDABLE};
use net::pool::Idle;
use std::borrow::Cow;
use std::rc::Rc;
use std::time::Duration;

const MASK: u32 = YIELDABLE.bits();

/// The result is not to be had this way.
pub const NO: f64 = -1.0;
/// Of a receive: the row must see to it.
pub const ELSEWHERE: i32 = 0;
/// It is in the output buffer.
pub const HERE: i32 = 1;
/// The thread waits for it.
pub const PARKED: i32 = 2;
/// Of a client's send: it has failed, and the thread waits for what it gets.
pub const REFUSED: i32 = -2;

const CONNECTING: u8 = Direction::Connecting as u8 | Direction::Resolving as u8;
const READING: u8 = CONNECTING | Direction::Reading as u8;
/// What a send may not meet.
pub const WRITING: u8 = CONNECTING | Direction::Writing as u8;
const ANYTHING: u8 = READING | WRITING;

/// A handler with more sockets than this lets the rows watch over those that Lua drops.
const UNWATCHED: usize = 32;

/// The rows.
pub fn rows() -> Vec<Row> {
    vec![
        Row::fast::<MASK, _, _>("quick_allowed", allowed),
        Row::fast::<MASK, _, _>("quick_connect", connect),
        Row::fast::<MASK, _, _>("quick_buffered", buffered),
        Row::fast::<MASK, _, _>("quick_receive", receive),
        Row::fast::<MASK, _, _>("quick_send", send),
        Row::fast::<MASK, _, _>("quick_keep", set_keepalive),
        Row::constant("ELSEWHERE", ELSEWHERE),
        Row::constant("HERE", HERE),
        Row::constant("PARKED", PARKED),
        Row::constant("REFUSED", REFUSED),
    ]
}

/// Whether sockets may be made; false where the row's check refuses.
fn allowed(_: &CallContext) -> bool {
    true
}

/// The socket of this number, if it is the running handler's and nothing of `works` is under way.
#[inline]
pub fn socket(host: &dyn Host, id: f64, works: u8) -> Option<Rc<Socket>> {
    host.hub()?.find(u64::saturated(id)).filter(|socket| is_usable(host, socket, works))
}

#[inline]
fn is_usable(host: &dyn Host, socket: &Socket, works: u8) -> bool {
    socket.silent.get() && socket.is_free(works) && socket.belongs_to(host.resources())
}

/// Connects with an idle connection of the pool `HOST:PORT` and returns the socket's number; `id` is its number if it has one
/// already. 0: this is the row's affair.
fn connect(cx: &CallContext, id: f64, host: &[u8], port: f64) -> f64 {
    with_host(cx, |here| reconnect(here?, id, host, port)).map_or(0.0, |id| id as f64)
}

fn reconnect(here: &dyn Host, id: f64, host: &[u8], port: f64) -> Option<u64> {
    let hub = here.hub()?;
    if !(0.0..=65535.0).contains(&port) || here.log_enabled(Level::Debug) || here.resources().sockets.count() > UNWATCHED {
        return None;
    }
    let known = if id > 0.0 { Some(socket(here, id, ANYTHING)?) } else { None };
    if known.as_ref().is_some_and(|socket| socket.inner.borrow().stream.is_some()) {
        return None;
    }
    let pool = hub.pools.find_at(host, u16::saturated(port))?;
    let IdleConnection { stream, reused, ticket, .. } = pool.admit_idle()?;
    let (id, socket) = match known {
        Some(socket) => (u64::saturated(id), socket),
        None => {
            let (id, socket) = hub.open(here.resources());
            here.lasting_resources().sockets.add(hub, id);
            socket.silent.set(true);
            (id, socket)
        }
    };
    let mut inner = socket.inner.borrow_mut();
    // What a peer's end left behind.
    drop(inner.detach());
    inner.install(stream, reused + 1, Some(ticket));
    Some(id)
}

/// What `receive` is asked for: a line if `count` is 0.
#[must_use]
#[inline]
pub fn pattern(count: f64) -> Option<Pattern> {
    match count {
        0.0 => Some(Pattern::Line),
        count if count >= 1.0 => Some(Pattern::Bytes(usize::saturated(count))),
        _ => None,
    }
}

/// A line (`count` is 0) or so many bytes that have arrived go to the output buffer, if they are all there.
fn buffered(cx: &CallContext, id: f64, count: f64) -> bool {
    let found = with_host(cx, |host| {
        let host = host?;
        host.hub()?.with(u64::saturated(id), |socket| {
            let mut inner = socket.inner.borrow_mut();
            if !is_usable(host, socket, READING) || inner.stream.is_none() || inner.read_closed {
                return None;
            }
            let (data, used) = match count {
                0.0 => scan::line(inner.unread(), 0)?,
                count if count >= 1.0 => (Cow::Borrowed(inner.unread().get(..usize::saturated(count))?), usize::saturated(count)),
                _ => return None,
            };
            cx.set_text(&data);
            inner.consume(used);
            Some(())
        })
    });
    found.is_some()
}

/// A receive of a line (`count` is 0) or of so many bytes that have not arrived: [`HERE`], [`PARKED`], or neither. `own` is the socket's timeout in milliseconds; 0 is none.
fn receive(cx: &CallContext, id: f64, count: f64, own: f64) -> i32 {
    with_host(cx, |host| {
        let (host, pattern) = (host?, pattern(count)?);
        let socket = socket(host, id, READING)?;
        {
            let inner = socket.inner.borrow();
            if inner.stream.is_none() || inner.read_closed || inner.eof {
                return None;
            }
        }
        Some(match receive::begin(cx, host, socket, pattern, own) {
            Started::Here => HERE,
            Started::Parked => PARKED,
            Started::Not => ELSEWHERE,
        })
    })
    .unwrap_or(ELSEWHERE)
}

/// Sends what the kernel takes at once and returns how much that is; negative: nothing was tried.
fn send(cx: &CallContext, id: f64, data: &[u8]) -> f64 {
    let sent = with_host(cx, |host| {
        let host = host?;
        host.hub()?.with(u64::saturated(id), |socket| {
            let inner = socket.inner.borrow();
            if !is_usable(host, socket, WRITING) || !inner.prompt || inner.write_closed || data.is_empty() {
                return None;
            }
            // When nothing is taken the row waits, or meets the error again and reports it.
            Some(inner.stream.as_ref()?.try_write(data).map_or(0.0, |count| count as f64))
        })
    });
    sent.unwrap_or(NO)
}

/// Gives a connection back to the pool that it came from, to be kept for `timeout` milliseconds, if that can be done.
fn set_keepalive(cx: &CallContext, id: f64, timeout: f64) -> bool {
    with_host(cx, |host| release(host?, id, timeout)).is_some()
}

fn release(host: &dyn Host, id: f64, timeout: f64) -> Option<()> {
    let hub: &Rc<Hub> = host.hub()?;
    if timeout < 1.0 || !hub.pools.is_tended() || host.worker()?.exiting.get() {
        return None;
    }
    let socket = socket(host, id, ANYTHING)?;
    let mut inner = socket.inner.borrow_mut();
    if !is_idle(&inner) {
        return None;
    }
    let reused = inner.reused;
    let (Some(stream), Some(ticket)) = inner.detach() else { return None };
    drop(inner);
    let pool = ticket.pool().clone();
    hub.pools.release(&pool, stream, reused, Some(ticket), Some(Duration::from_millis(u64::saturated(timeout))));
    Some(())
}

/// Whether a connection is as one that is given back should be: of a pool, with nothing unread, its peer present and silent.
fn is_idle(inner: &Inner) -> bool {
    inner.ticket.is_some()
        && inner.prompt
        && !(inner.read_closed || inner.write_closed || inner.eof)
        && inner.unread().is_empty()
        && inner.stream.as_ref().is_some_and(Idle::is_alive)
}
