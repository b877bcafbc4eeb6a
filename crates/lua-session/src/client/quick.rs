//! What `receive` and `send` on the client's connection do in the usual case, for compiled code: no Lua stack, no call of C.
//!
//! Whatever is out of the ordinary is the affair of the rows of [`super::read`] and [`super::write`].

use crate::client::ClientSocket;
use crate::client::read::{self, Received, Receiving};
use crate::client::write;
use base::log::Level;
use base::saturated::Saturated;
use lua::{CallContext, Row};
use lua_lib::host::{Host, host};
use lua_lib::socket::call::failure;
use lua_lib::socket::quick::{ELSEWHERE, HERE, NO, PARKED, REFUSED, WRITING, pattern};
use lua_lib::socket::report::Reporter;
use lua_lib::socket::state::Direction;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// The rows for a protocol's sockets, allowed in the phases of `MASK`.
#[must_use]
pub fn rows<const MASK: u32, C: ClientSocket>() -> [Row; 2] {
    [Row::fast::<MASK, _, _>("client_quick_receive", receive::<C>), Row::fast::<MASK, _, _>("client_quick_send", send::<C>)]
}

/// The socket of this number, if nothing of `works` is under way and no debug line is wanted of it.
fn usable<C: ClientSocket>(cx: &CallContext, id: f64, works: u8) -> Option<(Rc<dyn Host>, C)> {
    let (here, client) = (host(cx)?, C::of_session(cx, u64::saturated(id))?);
    let socket = client.socket();
    let fits = socket.is_free(works) && socket.belongs_to(here.resources()) && !here.log_enabled(Level::Debug);
    fits.then_some((here, client))
}

/// A receive of a line (`count` is 0) or of so many bytes. `own` is the socket's timeout in milliseconds; 0 is none.
fn receive<C: ClientSocket>(cx: &CallContext, id: f64, count: f64, own: f64) -> i32 {
    begin::<C>(cx, id, count, own).unwrap_or(ELSEWHERE)
}

fn begin<C: ClientSocket>(cx: &CallContext, id: f64, count: f64, own: f64) -> Option<i32> {
    let (here, client) = usable::<C>(cx, id, Direction::Reading as u8)?;
    if !cx.can_suspend() || client.checks_abort() || client.socket().inner.borrow().read_closed {
        return None;
    }
    let options = here.socket_options();
    let room = usize::try_from(options.buffer_size.unwrap_or(4096)).unwrap_or(4096);
    let mut receiving = Receiving { pattern: pattern(count)?, scanned: 0, room, checks: false };
    let parked = match client.poll_receive(&mut receiving, &mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Received::Found(data, _)) => {
            cx.set_text(&data);
            return Some(HERE);
        }
        // An end is met again, an error is reported once.
        Poll::Ready(Received::Closed) => return None,
        Poll::Ready(end) => cx.park(std::future::ready(Ok(read::reply(&client, &receiving.pattern, end, false)))),
        Poll::Pending => {
            let milliseconds = if own > 0.0 { u64::saturated(own) } else { options.read_timeout.unwrap_or(60_000) };
            let limit = here.hub()?.limit(here.worker().map(|worker| &**worker), Duration::from_millis(milliseconds));
            let busy = client.socket().begin(Direction::Reading);
            cx.park(read::wait(client, receiving, busy, limit, Reporter::new(cx, &here, &options), false))
        }
    };
    parked.then_some(PARKED)
}

/// Sends what the kernel takes at once and returns how much that is, [`REFUSED`], or that nothing was tried.
fn send<C: ClientSocket>(cx: &CallContext, id: f64, data: &[u8]) -> f64 {
    let Some((_, client)) = usable::<C>(cx, id, WRITING) else { return NO };
    if data.is_empty() || client.socket().inner.borrow().write_closed || client.make_way().is_err() {
        return NO;
    }
    match client.poll_send(&mut Context::from_waker(Waker::noop()), data) {
        Poll::Ready(Ok(count)) => count as f64,
        // The row waits.
        Poll::Pending => 0.0,
        Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::Interrupted => 0.0,
        Poll::Ready(Err(error)) => {
            let text = write::refuse(&client, &error);
            if cx.park(std::future::ready(Ok(failure(text)))) { f64::from(REFUSED) } else { 0.0 }
        }
    }
}
