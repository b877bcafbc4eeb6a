//! The versions that configurations and Lua code may ask for.

/// The nginx whose behaviour this server has: `$nginx_version`, `ngx.config.nginx_version`.
pub const NGINX: &str = "1.31.5";
