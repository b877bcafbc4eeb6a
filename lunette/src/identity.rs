//! The version of the binary, and the paths that it was built with.

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
