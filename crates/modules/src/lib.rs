//! HTTP modules: one feature, one file.
#![forbid(unsafe_code)]

// mod1
pub mod auth_basic;
mod block;
pub mod cidr;
pub mod geo;
pub mod log;
pub mod map;
pub mod rewrite;
pub mod split_clients;
pub mod variables;

// mod2
pub mod content_type;
