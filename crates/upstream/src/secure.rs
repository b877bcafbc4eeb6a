//! TLS to upstream servers: `proxy_ssl_*` and its counterparts of other protocols.
//!
//! [`conf`] has the directives, written once for all protocols, [`plan`] their merged values in a location or server, and [`handshake`]
//! the handshake on a new connection.

pub mod conf;
pub mod handshake;
pub mod hooks;
pub mod identity;
pub mod plan;
pub mod rows;
