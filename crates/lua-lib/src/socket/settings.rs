//! What the `lua_socket_*` directives say (lua-nginx-module's README, "Directives").

use conf::scope::Config;

/// Defaults of sockets in a location; times in milliseconds, sizes in bytes.
#[derive(Default)]
pub struct SocketOptions {
    /// `lua_socket_connect_timeout`, milliseconds; 60 s by default.
    pub connect_timeout: Option<u64>,
    /// `lua_socket_send_timeout`, milliseconds; 60 s by default.
    pub send_timeout: Option<u64>,
    /// `lua_socket_read_timeout`, milliseconds; 60 s by default.
    pub read_timeout: Option<u64>,
    /// `lua_socket_keepalive_timeout`, milliseconds; 60 s by default.
    pub keepalive_timeout: Option<u64>,
    /// `lua_socket_pool_size`, connections; 30 by default.
    pub pool_size: Option<u64>,
    /// `lua_socket_buffer_size`, bytes; a page by default.
    pub buffer_size: Option<u64>,
    /// `lua_socket_log_errors`, on by default.
    pub log_errors: Option<bool>,
}

impl Config for SocketOptions {
    fn inherit(&mut self, parent: &Self) {
        conf::inherit!(self, parent; connect_timeout, send_timeout, read_timeout, keepalive_timeout, pool_size, buffer_size, log_errors);
    }
}
