//! `ngx.req.socket`: the client's side of a session as a socket, of bytes or of datagrams.
//!
//! What has been read ahead of the code stays with the session, so that phases behind it see what the code has not taken.

mod datagrams;
mod peek;
mod secure;
mod shutdown;
mod take;
mod used;

use crate::control::SERVING;
use lua::{Group, LuaPhase, PhaseSet, Row};
use lua_session::client::{descriptor, quick, read, write};
use used::UsedClient;

/// The parts' rows and glue.
pub(crate) fn groups() -> Vec<Group> {
    let mut rows = vec![
        Row::calls("client", SERVING, take::take),
        Row::calls("client_fd", SERVING, descriptor::<UsedClient>),
        Row::calls("client_setoption", SERVING, |cx, stack| take::option(cx, stack, true)),
        Row::calls("client_getoption", SERVING, |cx, stack| take::option(cx, stack, false)),
        Row::calls("original_address", SERVING, take::original_address),
        Row::suspends("client_receive", SERVING, read::receive::<UsedClient>),
        Row::suspends("client_receiveany", SERVING, read::receive_any::<UsedClient>),
        Row::suspends("client_until", SERVING, read::receive_until::<UsedClient>),
        Row::suspends("client_peek", PhaseSet::of(LuaPhase::PREREAD), peek::peek),
        Row::suspends("client_send", SERVING, write::send::<UsedClient>),
        Row::calls("client_shutdown", PhaseSet::of(LuaPhase::CONTENT), shutdown::shutdown),
        Row::suspends("client_handshake", SERVING, secure::server_handshake),
        Row::calls("datagram_receive", SERVING, datagrams::receive),
        Row::suspends("datagram_send", SERVING, datagrams::send),
        Row::fast::<{ PhaseSet::EVERYWHERE.bits() }, _, _>("start_time", take::start_time),
        Row::constant("IS_UDP", take::IS_UDP),
    ];
    rows.extend(quick::rows::<{ SERVING.bits() }, UsedClient>());
    vec![Group { name: "ngx.req.socket", rows, glue: include_str!("client.lua") }]
}
