//! memcached's text protocol as a client speaks it: a command line out, a response in.
//!
//! A response is evaluated against the command that asked for it; a value belongs to the key that was asked for, has the
//! length that its head says, and ends in `END`.

pub mod line;
pub mod reply;
