//! What the binary says of itself.

use crate::registry;
use daemon::{Identity, Program};
use std::ffi::OsStr;

/// Where nothing else is said: the prefix, ending in a slash.
pub(crate) const PREFIX: &str = match option_env!("LUNETTE_PREFIX") {
    Some(prefix) => prefix,
    None => "/usr/local/lunette/",
};

/// The configuration, below the prefix.
pub(crate) const CONF: &str = "conf/nginx.conf";

/// The error log until the configuration names one, below the prefix.
pub(crate) const ERROR_LOG: &str = "logs/error.log";

/// The pid file, below the prefix.
pub(crate) const PID: &str = "logs/nginx.pid";

/// The version of nginx whose behaviour this is.
pub(crate) const VERSION: &str = "1.31.3";

/// Name, version and second commands. Scripts of OpenResty ask a program called `openresty` whether it is one.
pub(crate) fn program(called: &OsStr) -> Program {
    let identity = Identity {
        product: if called == "openresty" { "openresty" } else { engine::error_page::PRODUCT },
        version: VERSION,
        // Tools look for a version of OpenSSL to know what can be asked for; what stands behind it is said too.
        built_with: format!("OpenSSL 3.5.5 (in its place rustls; lunette {})\nTLS SNI support enabled", env!("CARGO_PKG_VERSION")),
        configure_arguments: registry::configure_arguments(),
        prefix: PREFIX.to_owned(),
        conf_path: CONF.to_owned(),
        error_log_path: ERROR_LOG.to_owned(),
    };
    Program { identity, subcommands: &[("resty", crate::resty::run)] }
}
