//! HTTP/1 (RFC 9112).

pub mod arrival;
pub mod buffers;
pub mod connection;
pub mod familiar;
pub mod head_out;
pub mod input;
pub mod linger;
pub mod output;
pub mod pace;
pub mod serve;
