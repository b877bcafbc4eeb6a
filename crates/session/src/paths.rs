//! Where relative names of the configuration lead, and what else the main level says for all protocols.

use base::log::ErrorLog;
use std::path::PathBuf;
use std::rc::Rc;

/// Paths that relative names resolve against (semantics: "Command line").
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
        self.prefix.join(os_path(path))
    }

    /// `path` as it is if absolute, else below the configuration file's directory.
    pub fn resolve_conf(&self, path: &[u8]) -> PathBuf {
        self.conf_prefix.join(os_path(path))
    }
}

/// Bytes of the configuration as a path.
pub fn os_path(bytes: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStrExt;
    PathBuf::from(std::ffi::OsStr::from_bytes(bytes))
}

/// The main level's values that protocols need; put into the global scope before reading.
#[derive(Clone, Default)]
pub struct MainContext {
    /// Where relative paths lead.
    pub paths: Rc<Paths>,
    /// The main error log, once its directives have been read.
    pub log: Option<ErrorLog>,
    /// The grammar found an error further on: blocks are read for errors before it, and nothing is built.
    pub partial: bool,
}
