//! Resolution of relative paths, and other main-level values that all protocols need.

use base::log::ErrorLog;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::rc::Rc;

/// Paths that relative names resolve against (`-p`, `-c`).
#[derive(Clone, Debug, Default)]
pub struct Paths {
    /// `-p`: logs, pid, roots, Lua files. Ends with `/`.
    pub prefix: PathBuf,
    /// Directory of the configuration file: includes, certificates, password files. Ends with `/`.
    pub conf_prefix: PathBuf,
}

impl Paths {
    /// `path` as it is if absolute, else below the prefix.
    pub fn resolve(&self, path: &[u8]) -> PathBuf {
        self.prefix.join(OsStr::from_bytes(path))
    }

    /// Makes the path that stands in `out` from `start` on absolute, as [`Paths::resolve`] does.
    pub fn resolve_in(&self, out: &mut Vec<u8>, start: usize) {
        if out.get(start) == Some(&b'/') {
            return;
        }
        let prefix = self.prefix.as_os_str().as_bytes();
        let separator: &[u8] = if prefix.is_empty() || prefix.ends_with(b"/") { b"" } else { b"/" };
        out.splice(start..start, prefix.iter().chain(separator).copied());
    }

    /// `path` as it is if absolute, else below the configuration file's directory.
    pub fn resolve_conf(&self, path: &[u8]) -> PathBuf {
        self.conf_prefix.join(OsStr::from_bytes(path))
    }
}

/// Bytes of the configuration as a path.
pub fn os_path(bytes: &[u8]) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(bytes))
}

/// The main level's values that protocols need; put into the global scope before reading.
#[derive(Clone, Default)]
pub struct MainContext {
    /// Where relative paths lead.
    pub paths: Rc<Paths>,
    /// The main error log, once its directives have been read.
    pub log: Option<ErrorLog>,
    /// These have been read ahead of everything else.
    pub has_logs: bool,
    /// The grammar found an error further on: blocks are read for errors before it, and nothing is built.
    pub partial: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_names_stand_below_the_prefix_and_absolute_ones_alone() {
        let rows = [
            ("/srv/", "logs/a", "/srv/logs/a"),
            ("/srv", "logs/a", "/srv/logs/a"),
            ("/srv/", "/var/a", "/var/a"),
            ("/srv/", "../a", "/srv/../a"),
            ("", "a", "a"),
            ("", "/a", "/a"),
        ];
        for (prefix, name, expected) in rows {
            let paths = Paths { prefix: prefix.into(), conf_prefix: "/etc/".into() };
            assert_eq!(paths.resolve(name.as_bytes()), os_path(expected.as_bytes()), "{prefix:?} {name:?}");
            let mut out = b"before".to_vec();
            out.extend_from_slice(name.as_bytes());
            paths.resolve_in(&mut out, 6);
            assert_eq!(out, format!("before{expected}").as_bytes(), "{prefix:?} {name:?}");
        }
        let paths = Paths { prefix: "/srv/".into(), conf_prefix: "/etc/x/".into() };
        assert_eq!(paths.resolve_conf(b"a.pem"), os_path(b"/etc/x/a.pem"));
        assert_eq!(paths.resolve_conf(b"/a.pem"), os_path(b"/a.pem"));
    }

    #[test]
    fn names_need_not_be_text() {
        let paths = Paths { prefix: "/srv/".into(), ..Paths::default() };
        assert_eq!(paths.resolve(b"\xff").as_os_str().as_bytes(), b"/srv/\xff");
    }
}
