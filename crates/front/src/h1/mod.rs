//! HTTP/1 (RFC 9112).

pub mod arrival;
pub mod body;
pub mod connection;
pub(crate) mod departure;
mod downstream;
pub(crate) mod head_cache;
pub(crate) mod head_out;
pub mod linger;
pub mod serve;
mod tunnel;
pub mod upload;
