//! What of cosockets is bound to HTTP: `ngx.req.socket` and the directives `lua_socket_*` and `lua_ssl_*`.

pub mod client;
pub mod secure;
pub mod settings;
