//! Reverse proxying: one exchange engine for all upstream protocols: HTTP/1.1, HTTP/2, FastCGI, uwsgi, SCGI, memcached's and Redis's are
//! its dialects.
//!
//! [`family`] has the directives that repeat by protocol, [`dialect`] what a protocol must say, [`exchange`] and its
//! parts the way of a request through its upstream.
#![forbid(unsafe_code)]
#![cfg_attr(not(test), warn(clippy::cast_possible_truncation))]

pub mod attempt;
pub mod attempt_end;
pub mod balancer;
pub mod buffer;
pub mod caching;
pub mod channel;
pub mod check;
pub mod connection;
pub mod destination;
pub(crate) mod dialect;
pub mod exchange;
pub mod family;
pub mod fastcgi;
pub mod gateway;
pub mod grpc;
pub mod handler;
pub(crate) mod header_set;
pub mod headers;
pub mod hints;
pub mod lease;
pub mod limits;
pub mod memc;
pub mod memcached;
mod outgoing;
pub mod pace;
pub mod pass;
pub mod pools;
pub mod proxy;
pub mod queue;
pub mod reading;
pub mod record;
pub mod redis;
pub mod redis2;
pub mod relay;
pub mod retry;
pub mod rewrite;
pub mod route;
pub mod rows;
pub mod scgi;
pub mod secure;
pub mod sender;
pub mod settings;
mod sizes;
pub mod sticky;
pub(crate) mod store_conf;
pub mod storing;
pub(crate) mod tee;
pub mod tunnel;
pub mod tunnel_pass;
pub mod upstream;
pub mod uri;
pub mod uwsgi;
pub mod values;
pub mod variables;
