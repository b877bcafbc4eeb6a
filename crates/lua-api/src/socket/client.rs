//! `ngx.req.socket`: the client's connection as a socket, for the request's body or, raw, for everything.

pub mod read;
pub mod state;
pub mod take;
pub mod write;

use crate::api::ANSWERING;
use lua::{Group, Row};

/// The rows of `ngx.req.socket` and its objects.
#[must_use]
pub fn group() -> Group {
    let rows = vec![
        Row::calls("client", ANSWERING, take::take),
        Row::calls("client_fd", ANSWERING, take::descriptor),
        Row::suspends("client_receive", ANSWERING, read::receive),
        Row::suspends("client_receiveany", ANSWERING, read::receive_any),
        Row::suspends("client_until", ANSWERING, read::receive_until),
        Row::suspends("client_send", ANSWERING, write::send),
    ];
    Group { name: "ngx.req.socket", rows, glue: include_str!("client.lua") }
}
