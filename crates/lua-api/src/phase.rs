//! The `*_by_lua*` directives, one file each; `handler` has those that are alike.
//!
//! Their places among other modules: `server_rewrite` before the rewrite module, `rewrite`, `access` and `precontent`
//! last in their phases, the filters before the built-in ones, `log` before all other log handlers.

pub mod balancer;
pub mod body_filter;
pub mod capture;
pub mod content;
pub mod entry;
pub mod handler;
pub mod header_filter;
pub mod log;
pub mod server_rewrite;
pub mod set;
pub mod settings;
pub mod ssl;
pub mod start;
pub mod upstream_ssl;
