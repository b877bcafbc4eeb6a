//! Name and version of the binary, and the paths that it was built with.

use crate::registry;
use daemon::{Identity, Program};
use std::ffi::OsStr;

/// Where nothing else is said: the prefix, ending in a slash. The environment of the build chooses; the feature `system-paths`
/// has the places of a distribution's package.
pub(crate) const PREFIX: &str = match option_env!("LUNETTE_PREFIX") {
    Some(prefix) => prefix,
    None if SYSTEM => "/var/lib/lunette/",
    None => "/usr/local/lunette/",
};

/// The configuration; a relative path is below the prefix, here and in what follows.
pub(crate) const CONF: &str = match option_env!("LUNETTE_CONF") {
    Some(path) => path,
    None if SYSTEM => "/etc/lunette/nginx.conf",
    None => "conf/nginx.conf",
};

/// The error log until the configuration names one.
pub(crate) const ERROR_LOG: &str = match option_env!("LUNETTE_ERROR_LOG") {
    Some(path) => path,
    None if SYSTEM => "/var/log/lunette/error.log",
    None => "logs/error.log",
};

/// The pid file.
pub(crate) const PID: &str = match option_env!("LUNETTE_PID") {
    Some(path) => path,
    None if SYSTEM => "/run/lunette.pid",
    None => "logs/nginx.pid",
};

const SYSTEM: bool = cfg!(feature = "system-paths");

/// The version of nginx whose behaviour this is.
pub(crate) const VERSION: &str = "1.31.3";

/// Name, version and second commands. Scripts of OpenResty ask a program called `openresty` whether it is one.
pub(crate) fn program(called: &OsStr) -> Program {
    let identity = Identity {
        product: if called == "openresty" { "openresty" } else { engine::error_page::PRODUCT },
        version: VERSION,
        // Tools look for a version of OpenSSL to know what can be asked for; what stands behind it is said too.
        built_with: format!("OpenSSL 3.5.5 (in its place rustls; lunette {})\nTLS SNI support enabled", env!("CARGO_PKG_VERSION")),
        configure_arguments: format!("{} {}", paths(), registry::configure_arguments()),
        prefix: PREFIX.to_owned(),
        conf_path: CONF.to_owned(),
        error_log_path: ERROR_LOG.to_owned(),
    };
    Program {
        identity,
        subcommands: &[("resty", crate::resty::run), ("help", crate::manual::run), ("top", crate::top::run), ("cache", crate::caches::run)],
    }
}

/// The paths as options of nginx's `configure`, which scripts search for them.
fn paths() -> String {
    let absolute = |path: &str| if path.starts_with('/') { path.to_owned() } else { format!("{PREFIX}{path}") };
    format!(
        "--prefix={} --conf-path={} --error-log-path={} --pid-path={}",
        PREFIX.trim_end_matches('/'),
        absolute(CONF),
        absolute(ERROR_LOG),
        absolute(PID)
    )
}
