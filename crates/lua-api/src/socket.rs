//! Cosockets: `ngx.socket` (`ngx_http_lua_socket_tcp.c`; semantics: "Cosockets").

pub mod call;
pub mod client;
pub mod connect;
pub mod hub;
pub mod keep;
pub mod receive;
pub mod report;
pub mod rows;
pub mod scan;
pub mod send;
pub mod settings;
pub mod state;
