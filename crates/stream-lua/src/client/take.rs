//! `ngx.req.socket()`: gives the client's side out, once.

use crate::client::state::Client;
use crate::host::Host;
use lua::{CallContext, Raise, Stack};
use lua_lib::socket::call;
use lua_session::{SessionHost, SessionState, host};
use std::cell::Cell;
use std::os::fd::AsRawFd;
use std::rc::Rc;

/// The second result for a socket of datagrams.
pub(super) const IS_UDP: i32 = 1;

/// The number of the new socket and [`IS_UDP`] or 0, or nil and why there is none. The glue makes the object.
pub(super) fn take(cx: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    let count = stack.top();
    if count > 1 {
        return Err(Raise::new(format!("expecting zero arguments, but got {count}")));
    }
    let (host, session) = host::session::<Host>(cx)?;
    let state = host.state();
    state.waiting.try_send(&session);
    let refusal = if !state.waiting.is_empty() { Some("pending data to write") } else { state.client.get().map(|_| "duplicate call") };
    if let Some(text) = refusal {
        stack.push_nil();
        stack.push_bytes(text.as_bytes());
        return Ok(2);
    }
    let hub = lua_lib::Host::hub(&*host).ok_or("no request found")?;
    let common: &SessionState = (**state).as_ref();
    let (id, socket) = hub.open(&common.resources);
    common.resources.sockets.add(hub, id);
    // There was none before.
    let _ = state.client.set(Rc::new(Client { id, socket, consumed: Cell::new(false) }));
    stack.push_number(id as f64);
    stack.push_number(f64::from(if session.is_udp() { IS_UDP } else { 0 }));
    Ok(2)
}

/// `sock:getfd()` (resty.core.socket).
pub(super) fn descriptor(cx: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    if stack.is_nil(1) {
        return Err("ngx.socket getfd: expecting the cosocket object, but seen none".into());
    }
    let call = call::begin(cx, stack, "getfd")?;
    let used = Client::find(cx, &call, stack)?;
    let number = used.and_then(|used| used.session.with_stream(|stream| stream.descriptor().ok().map(|fd| fd.as_raw_fd())).flatten());
    match number {
        Some(number) => {
            stack.push_number(f64::from(number));
            Ok(1)
        }
        None => {
            stack.push_nil();
            stack.push_bytes(b"closed");
            Ok(2)
        }
    }
}

/// `ngx.req.start_time()`
pub(super) fn start_time(cx: &CallContext) -> f64 {
    host::with_session::<Host, _>(cx, -1.0, |_, session| session.started.epoch_ms() as f64 / 1000.0)
}
