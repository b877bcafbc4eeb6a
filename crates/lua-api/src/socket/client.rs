//! `ngx.req.socket`: the client's connection as a socket, for the request's body or, raw, for everything.

pub mod state;
pub mod take;
pub mod used;

use crate::api::ANSWERING;
use lua::{Group, Row};
use lua_session::client::{descriptor, quick, read, write};
use used::UsedClient;

/// The rows of `ngx.req.socket` and its objects.
#[must_use]
pub fn group() -> Group {
    let mut rows = vec![
        Row::calls("client", ANSWERING, take::take),
        Row::calls("client_fd", ANSWERING, descriptor::<UsedClient>),
        Row::suspends("client_receive", ANSWERING, read::receive::<UsedClient>),
        Row::suspends("client_receiveany", ANSWERING, read::receive_any::<UsedClient>),
        Row::suspends("client_until", ANSWERING, read::receive_until::<UsedClient>),
        Row::suspends("client_send", ANSWERING, write::send::<UsedClient>),
    ];
    rows.extend(quick::rows::<{ ANSWERING.bits() }, UsedClient>());
    Group { name: "ngx.req.socket", rows, glue: include_str!("client.lua") }
}
