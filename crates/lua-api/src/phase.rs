//! The `*_by_lua*` directives, one file each.
//!
//! Their places among other modules: `server_rewrite` before the rewrite module, `rewrite`, `access` and `precontent`
//! last in their phases, the filters before the built-in ones, `log` before all other log handlers.

pub mod access;
pub mod balancer;
pub mod body_filter;
pub mod content;
pub mod entry;
pub mod header_filter;
pub mod log;
pub mod precontent;
pub mod rewrite;
pub mod server_rewrite;
pub mod set;
pub mod settings;
pub mod ssl;
pub mod start;
pub mod upstream_ssl;
