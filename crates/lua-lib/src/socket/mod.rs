//! Cosockets: `ngx.socket` (`ngx_http_lua_socket_tcp.c`, `ngx_http_lua_socket_udp.c`).

pub mod call;
pub mod connect;
pub mod datagrams;
pub mod hub;
pub mod keepalive;
pub mod label;
pub mod names;
pub mod owned;
pub mod pieces;
pub mod pools;
pub mod quick;
pub mod receive;
pub mod report;
pub mod rows;
pub mod scan;
pub mod secure;
pub mod send;
pub mod settings;
pub mod state;
pub mod table;
pub mod udp;
