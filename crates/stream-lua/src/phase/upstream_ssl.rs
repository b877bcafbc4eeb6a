//! `proxy_ssl_certificate_by_lua*`, `proxy_ssl_verify_by_lua*`: Lua in the handshakes with upstream servers.

use crate::host::Sessions;
use conf::context::Context;
use lua_session::upstream_handshakes;
use stream::{Module, Session};

/// Lua in the handshakes with upstream servers. Stands behind those that pass sessions on.
pub const MODULE: Module = Module {
    rows: || upstream_handshakes::rows::<Sessions>(Context::STREAM_SERVER),
    levels: upstream_handshakes::levels::<Session>,
    attach: |at| upstream_handshakes::check::<Session>(at, "proxy_ssl directive"),
    ..Module::named("lua_upstream_handshakes")
};
