//! Front ends: a worker's event loop, and HTTP/1 on its connections.
#![forbid(unsafe_code)]

pub mod active;
pub mod h1;
pub mod proxy_protocol;
pub mod serve;
mod share;
