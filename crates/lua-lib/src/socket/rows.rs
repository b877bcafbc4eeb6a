//! The rows of `ngx.socket`.

use crate::host::host;
use crate::socket::owned::SocketRegistry;
use crate::socket::{connect, keepalive, quick, receive, secure, send, udp};
use base::saturated::Saturated;
use lua::{CallContext, Group, PhaseSet, Raise, Row, Stack, YIELDABLE};

/// `ngx.socket`.
pub fn group() -> Group {
    let at = YIELDABLE;
    let mut rows = vec![
        Row::calls("tcp", at, tcp),
        Row::calls("collect", PhaseSet::EVERYWHERE, collect),
        Row::suspends("connect", at, connect::connect),
        Row::suspends("send", at, send::send),
        Row::calls("send_list", at, send::send_list),
        Row::suspends("receive", at, receive::receive),
        Row::suspends("receiveany", at, receive::receive_any),
        Row::suspends("until", at, receive::receive_until),
        Row::calls("bind", at, connect::bind),
        Row::calls("close", at, keepalive::close),
        Row::calls("shutdown", at, keepalive::shutdown),
        Row::calls("setkeepalive", at, keepalive::set_keepalive),
        Row::calls("getreusedtimes", at, keepalive::reused_times),
        Row::calls("getfd", at, keepalive::descriptor),
        Row::calls("setoption", at, keepalive::set_option),
        Row::calls("getoption", at, keepalive::get_option),
    ];
    rows.extend(quick::rows());
    rows.extend(secure::rows());
    rows.extend(udp::rows());
    Group {
        name: "ngx.socket",
        rows,
        glue: concat!(include_str!("socket.lua"), include_str!("certificates.lua"), include_str!("secure.lua"), include_str!("udp.lua")),
    }
}

/// Checks a call of `ngx.socket.tcp`; the glue makes the object.
fn tcp(_: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    match stack.top() {
        0 => Ok(0),
        count => Err(Raise::new(format!("expecting zero arguments, but got {count}"))),
    }
}

/// Closes the sockets with these numbers, whose objects Lua has collected.
fn collect(cx: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    if let Some(hub) = host(cx).and_then(|host| host.hub().cloned()) {
        for index in 1..=stack.raw_len(1) {
            stack.get_item(1, index);
            if let Some(id) = stack.number(2).map(u64::saturated) {
                if let Some(resources) = hub.owner(id) {
                    resources.sockets.remove(id);
                }
                hub.remove(id);
            }
            stack.truncate(1);
        }
    }
    Ok(0)
}
