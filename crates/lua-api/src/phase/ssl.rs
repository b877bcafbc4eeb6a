//! `ssl_client_hello_by_lua*`, `ssl_session_fetch_by_lua*`, `ssl_certificate_by_lua*`, `ssl_session_store_by_lua*`: Lua in
//! the handshakes of servers.

use crate::host::Requests;
use conf::context::Context;
use conf::row::Row;
use http::{Module, Request};
use lua_session::handshakes;

/// Lua in the handshakes of servers.
pub const MODULE: Module = Module {
    rows,
    levels: handshakes::levels::<Request>,
    server: |server, _, _| handshakes::join::<Requests>(&server.conf, &server.tls, true),
    ..Module::named("lua_handshakes")
};

fn rows() -> Vec<Row> {
    let mut rows = handshakes::rows::<Request>(Context::HTTP.union(Context::SERVER));
    rows.extend(handshakes::session_rows::<Request>());
    rows
}
