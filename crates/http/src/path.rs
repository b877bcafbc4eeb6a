//! Mapping a URI to a file: `root` and `alias`.

use crate::core::Root;
use crate::request::Request;
use base::log::Level;
use std::fmt;

/// The roots of most sites are no longer, and what is appended for them (`index`).
const USUAL_ROOT: usize = 96;

/// Why a URI has no file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathError {
    /// The part after an aliased prefix begins with `..`: it would leave the directory (reliability B1).
    Escapes,
    /// A NUL in the path.
    Nul,
    /// `rewrite` has put another URI in the place of the one whose beginning an alias stands for.
    Rewritten,
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PathError::Escapes => "path leaves the directory of the alias",
            PathError::Nul => "path contains a NUL byte",
            PathError::Rewritten => "URI of the alias was rewritten",
        })
    }
}

impl std::error::Error for PathError {}

/// A file path and how much of it is the root.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MappedPath {
    /// The path's bytes.
    pub bytes: Vec<u8>,
    /// Length of the root part, bytes.
    pub root_length: usize,
}

/// A request context: below an alias in a location with a regular expression the URI counts, because `try_files` has
/// replaced it by what it found there.
#[derive(Debug, Default)]
pub struct UriBelowAlias;

impl Request {
    /// The file that the request's URI stands for (`ngx_http_map_uri_to_path`).
    ///
    /// # Errors
    /// The URI cannot be mapped safely.
    pub fn map_path(&self) -> Result<MappedPath, PathError> {
        let mut out = MappedPath::default();
        self.map_path_into(&mut out)?;
        Ok(out)
    }

    /// As [`Request::map_path`], into a buffer that the caller reuses.
    ///
    /// # Errors
    /// The URI cannot be mapped safely.
    pub fn map_path_into(&self, out: &mut MappedPath) -> Result<(), PathError> {
        let line = self.line.borrow();
        self.map_uri_into(&line.uri, out)
    }

    /// Whether an alias would cut the name of its location off a URI that does not begin with it; the log tells.
    fn is_misplaced(&self, root: &Root) -> bool {
        let misplaced = root.alias && !self.line.borrow().location_is_valid;
        if misplaced {
            let name = self.with_location(|location| location.name.clone());
            self.log(Level::Alert, &[b"\"alias\" cannot be used in location \"".as_slice(), &name, b"\" where URI was rewritten"].concat());
        }
        misplaced
    }

    /// As [`Request::map_path`], for another URI in the same location (`try_files`).
    ///
    /// # Errors
    /// The URI cannot be mapped safely.
    pub fn map_uri_into(&self, uri: &[u8], out: &mut MappedPath) -> Result<(), PathError> {
        let location = self.location();
        out.bytes.clear();
        // Most paths fit, so that the buffer does not grow step by step.
        out.bytes.reserve(uri.len() + USUAL_ROOT);
        let mut alias = None;
        match &location.core.root {
            Some(root) if self.is_misplaced(root) => return Err(PathError::Rewritten),
            Some(root) => {
                self.push_root(root, &mut out.bytes);
                alias = root.alias.then_some(root.cut);
            }
            None => {
                use std::os::unix::ffi::OsStrExt;
                out.bytes.extend_from_slice(self.http.paths.prefix.join("html").as_os_str().as_bytes());
            }
        }
        out.root_length = out.bytes.len();
        match alias {
            None => out.bytes.extend_from_slice(uri),
            Some(None) if self.find_context::<UriBelowAlias>().is_some() => out.bytes.extend_from_slice(uri),
            Some(None) => {}
            Some(Some(cut)) => {
                let rest = uri.get(cut..).unwrap_or_default();
                if rest == b".." || rest.starts_with(b"../") {
                    return Err(PathError::Escapes);
                }
                out.bytes.extend_from_slice(rest);
            }
        }
        if out.bytes.contains(&0) { Err(PathError::Nul) } else { Ok(()) }
    }

    fn push_root(&self, root: &Root, out: &mut Vec<u8>) {
        match root.path.literal() {
            Some(text) => out.extend_from_slice(text),
            None => {
                let value = root.path.to_vec(self);
                if value.first() != Some(&b'/') {
                    use std::os::unix::ffi::OsStrExt;
                    out.extend_from_slice(self.http.paths.prefix.as_os_str().as_bytes());
                }
                out.extend_from_slice(&value);
            }
        }
        // `root /a/;` and `root /a;` are the same.
        if !root.alias && out.last() == Some(&b'/') {
            out.pop();
        }
    }
}
