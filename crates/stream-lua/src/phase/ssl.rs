//! `ssl_client_hello_by_lua*`, `ssl_certificate_by_lua*`: Lua in the handshakes of servers.

use crate::host::Sessions;
use lua_session::handshakes;
use session::Configured;
use stream::{Module, Session};

/// Lua in the handshakes of servers.
pub const MODULE: Module = Module {
    rows: || handshakes::rows::<Session>(Session::BLOCKS),
    levels: handshakes::levels::<Session>,
    server: |server, _, _| handshakes::join::<Sessions>(&server.server_values, &server.tls, false),
    ..Module::named("lua_handshakes")
};
