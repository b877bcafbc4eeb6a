//! What the binary says of itself, and the commands that it has beside the server.

use crate::identity::{CONF, ERROR_LOG, PID, PREFIX, VERSION};
use crate::registry;
use daemon::{Identity, Program};
use std::ffi::OsStr;

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
