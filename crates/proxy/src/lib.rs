//! Reverse proxying: one exchange engine for all upstream protocols, with HTTP/1.1 and memcached's as its dialects.
//!
//! [`family`] has the directives that repeat by protocol, [`dialect`] what a protocol must say, [`exchange`] and its
//! parts the way of a request through its upstream.
#![forbid(unsafe_code)]

pub mod attempt;
pub mod buffer;
pub mod chosen;
pub mod connection;
pub mod dialect;
pub mod exchange;
pub mod family;
pub mod following;
pub mod handler;
pub mod headers;
pub mod hidden;
pub mod limits;
pub mod memc;
pub mod memcached;
pub mod pass;
pub mod place;
pub mod pools;
pub mod proxy;
pub mod queue;
pub mod record;
pub mod relay;
pub mod retry;
pub mod rewrite;
pub mod route;
pub mod rows;
pub mod sender;
pub mod settings;
pub mod sticky;
pub mod tunnel;
pub mod upstream;
pub mod url;
pub mod values;
pub mod variables;
