//! The paths that follow from the command line (`ngx_process_options`).

use crate::identity;
use daemon::Options;
use http::root::Paths;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// The paths that follow from the command line alone.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    /// Prefix and directory of the configuration.
    pub(crate) paths: Paths,
    /// The configuration file.
    pub(crate) conf: PathBuf,
    /// The log until the configuration names one; `None` is standard error.
    pub(crate) error_log: Option<PathBuf>,
}

impl Layout {
    pub(crate) fn new(options: &Options) -> Layout {
        let given = options.prefix.as_deref().filter(|prefix| !prefix.is_empty()).unwrap_or(OsStr::new(identity::PREFIX));
        let prefix = directory(Path::new(given));
        let conf = prefix.join(options.conf.as_deref().unwrap_or(OsStr::new(identity::CONF)));
        let conf_prefix = conf.parent().map(directory).unwrap_or_else(|| prefix.clone());
        let error_log = match options.error_log.as_deref() {
            Some(name) if name.is_empty() || name == "stderr" => None,
            Some(name) => Some(prefix.join(name)),
            None => Some(prefix.join(identity::ERROR_LOG)),
        };
        Layout { paths: Paths { prefix, conf_prefix }, conf, error_log }
    }
}

/// The path with a slash at its end, which relative names are written behind.
fn directory(path: &Path) -> PathBuf {
    if path.as_os_str().is_empty() { PathBuf::new() } else { path.join("") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(arguments: &[&str]) -> Layout {
        let arguments: Vec<_> = arguments.iter().map(Into::into).collect();
        Layout::new(&daemon::parse(&arguments).unwrap())
    }

    #[test]
    fn names_are_relative_to_the_prefix_and_to_the_configuration() {
        let p = places(&["-p", "/srv", "-c", "etc/x.conf"]);
        assert_eq!((p.conf.to_str(), p.paths.prefix.to_str()), (Some("/srv/etc/x.conf"), Some("/srv/")));
        assert_eq!(p.paths.conf_prefix.to_str(), Some("/srv/etc/"));
        assert_eq!(p.error_log, Some("/srv/logs/error.log".into()));
        let p = places(&["-p", "here/", "-c", "/a.conf", "-e", "stderr"]);
        assert_eq!((p.conf.to_str(), p.paths.conf_prefix.to_str(), p.error_log), (Some("/a.conf"), Some("/"), None));
        assert!(places(&[]).conf.ends_with(identity::CONF));
        assert_eq!(places(&["-e", "x.log", "-p", "/srv/"]).error_log, Some("/srv/x.log".into()));
    }
}
