//! Streams of one connection that carry a request each, as HTTP/2 and HTTP/3 have them.
//!
//! What a stream does for its request stands here once: output at its pace, the body, deadlines, how it ends, tunnels. How its frames look and
//! leave is the protocol's: a [`carrier::Carrier`].

pub mod arrival;
pub mod carrier;
pub mod draft;
pub mod head;
pub mod hub;
pub mod received;
pub mod run;
pub mod stream;
pub mod waiting;
