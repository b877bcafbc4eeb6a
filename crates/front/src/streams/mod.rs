//! Streams of one connection that carry a request each, as HTTP/2 and HTTP/3 have them.
//!
//! What a stream does for its request is written here once: rate-limited output, the body, deadlines, its end, tunnels. Encoding and
//! sending frames is up to the protocol, a [`carrier::Carrier`].

pub mod arrival;
pub mod carrier;
mod draft;
pub mod head;
pub mod hub;
pub mod received;
pub mod run;
pub mod stream;
pub mod waiting;
