//! TLS to upstream servers: `proxy_ssl_*` and what other protocols call alike.
//!
//! [`said`] has the directives, written once for all protocols; [`plan`] what they amount to in a location or a server; [`handshake`]
//! shakes hands on a new connection.

pub mod conf;
pub mod handshake;
pub mod hooks;
pub mod identity;
pub mod plan;
pub mod rows;
