//! `proxy_ssl_certificate_by_lua*`, `proxy_ssl_verify_by_lua*`: Lua in the handshakes with upstream servers.

use crate::host::Requests;
use conf::context::Context;
use http::{Module, Request};
use lua_session::upstream_handshakes;

/// Lua in the handshakes with upstream servers. Stands behind those that pass requests on.
pub const MODULE: Module = Module {
    rows: || upstream_handshakes::rows::<Requests>(Context::LOCATION | Context::LOCATION_IF),
    levels: upstream_handshakes::levels::<Request>,
    attach: |at| upstream_handshakes::check::<Request>(at, "proxy_pass https url"),
    ..Module::named("lua_upstream_handshakes")
};
