//! The `*_by_lua*` directives, one file each.

pub mod access;
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
pub mod start;

use http::Module;

/// The modules of Lua. Their places among others: `server_rewrite` before the rewrite module, `rewrite`, `access` and
/// `precontent` last in their phases, the filters before the built-in ones, `log` before all other log handlers.
#[must_use]
pub fn modules() -> Vec<Module> {
    vec![
        settings::MODULE,
        start::MODULE,
        server_rewrite::MODULE,
        set::MODULE,
        rewrite::MODULE,
        access::MODULE,
        precontent::MODULE,
        content::MODULE,
        header_filter::MODULE,
        body_filter::MODULE,
        log::MODULE,
    ]
}
