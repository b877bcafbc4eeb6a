//! `ngx.req.socket()`: hands the client's connection to the code, once.

use crate::client::used::UsedClient;
use crate::host::Sessions;
use crate::state::Client;
use lua::{CallContext, Raise, Stack};
use lua_lib::socket::{call, keepalive};
use lua_session::client::ClientSocket;
use lua_session::{SessionState, host};
use session::Address;
use socket2::SockRef;
use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;

/// The second result for a socket of datagrams.
pub(super) const IS_UDP: i32 = 1;

/// The number of the new socket and [`IS_UDP`] or 0, or nil and why there is none. The glue makes the object.
pub(super) fn take(cx: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    let count = stack.top();
    if count > 1 {
        return Err(Raise::new(format!("expecting zero arguments, but got {count}")));
    }
    let (host, session) = host::session::<Sessions>(cx)?;
    let state = &host.state;
    state.waiting.try_send(&session);
    let refusal = if !state.waiting.is_empty() { Some("pending data to write") } else { state.client.get().map(|_| "duplicate call") };
    if let Some(text) = refusal {
        stack.push_nil();
        stack.push_bytes(text.as_bytes());
        return Ok(2);
    }
    let hub = host.hub.as_ref().ok_or("no request found")?;
    let common: &SessionState = (**state).as_ref();
    let (id, socket) = hub.open(&common.resources);
    common.resources.sockets.add(hub, id);
    // There was none before.
    let _ = state.client.set(Rc::new(Client { id, socket, consumed: Cell::new(false) }));
    stack.push_number(id as f64);
    stack.push_number(f64::from(if session.is_udp() { IS_UDP } else { 0 }));
    Ok(2)
}

/// `sock:setoption(name, value)`, `sock:getoption(name)` (resty.core.socket).
pub(super) fn option(cx: &CallContext, stack: &mut Stack<'_>, set: bool) -> Result<usize, Raise> {
    let call = call::begin(cx, stack, if set { "setoption" } else { "getoption" })?;
    let used = UsedClient::find(cx, &call, stack)?.ok_or("socket is never created nor connected")?;
    let known = used.session.with_stream(|stream| keepalive::stream_option(stack, Some(stream), set));
    Ok(known.unwrap_or_else(|| keepalive::stream_option(stack, None, set)))
}

const NOT_IPV4: &str = "failed to get IPv4 origin addr";
const NOT_IPV6: &str = "failed to get IPv6 origin addr";

/// `ngx.req.get_original_addr()`: where the client wanted to go before the packet filter sent it here.
pub(super) fn original_address(cx: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    let (_, session) = host::session::<Sessions>(cx)?;
    let found = session.with_stream(|stream| {
        let descriptor = stream.descriptor().map_err(|_| "invalid fd")?;
        let socket = SockRef::from(&descriptor);
        let local = socket.local_addr().map_err(|_| "failed to get socket family")?;
        let address = match local.as_socket() {
            Some(SocketAddr::V4(_)) => socket.original_dst_v4().map_err(|_| NOT_IPV4),
            Some(SocketAddr::V6(_)) => socket.original_dst_v6().map_err(|_| NOT_IPV6),
            None => Err("unsupported address family: 1"),
        }?;
        address.as_socket().map(|address| address.to_string()).ok_or("invalid fd")
    });
    // The system knows it of no datagram.
    let of_datagram = || match &session.connection.local {
        Address::Ip(SocketAddr::V6(_)) => Err(NOT_IPV6),
        Address::Ip(SocketAddr::V4(_)) | Address::Unix(_) => Err(NOT_IPV4),
    };
    match found.unwrap_or_else(of_datagram) {
        Ok(text) => {
            stack.push_bytes(text.as_bytes());
            Ok(1)
        }
        Err(text) => {
            stack.push_nil();
            stack.push_bytes(text.as_bytes());
            Ok(2)
        }
    }
}

/// `ngx.req.start_time()`
pub(super) fn start_time(cx: &CallContext) -> f64 {
    host::with_session::<Sessions, _>(cx, -1.0, |_, session| session.started.epoch_ms() as f64 / 1000.0)
}
