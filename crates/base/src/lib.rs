//! The lowest layer: text and units, the cached clock, the error log, random numbers.
//!
//! Nothing here knows of sockets, configuration or HTTP.
#![forbid(unsafe_code)]
#![cfg_attr(not(test), warn(clippy::cast_possible_truncation))]

pub mod authority;
pub mod clock;
pub mod date;
pub mod errno;
pub mod log;
mod log_file;
mod message_error;
pub mod mutation;
pub mod saturated;
pub mod serial;
pub mod syslog;
pub mod text;
pub mod version;
pub mod xorshift;
