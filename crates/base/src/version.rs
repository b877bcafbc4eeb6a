//! The versions that are reported to configurations and Lua code.

/// The nginx whose behaviour this server has: `$nginx_version`, `ngx.config.nginx_version`.
pub const NGINX: &str = "1.31.5";
