//! Sources of configuration text: disk or memory.

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

/// A file that could not be opened, in the system's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenError {
    /// The error number; 0 when the system did not give one.
    pub code: i32,
    /// Its text (`No such file or directory`).
    pub text: String,
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({}: {})", self.code, self.text)
    }
}

impl std::error::Error for OpenError {}

impl From<io::Error> for OpenError {
    fn from(error: io::Error) -> Self {
        let code = error.raw_os_error().unwrap_or(0);
        let text = error.to_string();
        // The standard library puts its own number behind the text; nginx puts it in front.
        let text = text.split(" (os error").next().unwrap_or_default().to_owned();
        Self { code, text }
    }
}

impl OpenError {
    /// nginx's `CALL() "PATH" failed (CODE: TEXT)`.
    #[must_use]
    pub fn message(&self, call: &str, path: &[u8]) -> String {
        let path = String::from_utf8_lossy(path);
        format!("{call}() \"{path}\" failed ({}: {})", self.code, self.text)
    }
}

/// Gives the parser its texts.
pub trait Loader {
    /// The whole text of a file.
    ///
    /// # Errors
    /// The file cannot be opened or read.
    fn read(&mut self, path: &[u8]) -> Result<Vec<u8>, OpenError>;

    /// The files a pattern names, sorted; none is no error.
    ///
    /// # Errors
    /// The pattern is malformed, or a directory on the way cannot be read.
    fn glob(&mut self, pattern: &[u8]) -> Result<Vec<Vec<u8>>, OpenError>;
}

/// One text, whatever file is asked for.
#[derive(Clone, Debug, Default)]
pub struct Text(pub Vec<u8>);

impl Loader for Text {
    fn read(&mut self, _: &[u8]) -> Result<Vec<u8>, OpenError> {
        Ok(self.0.clone())
    }

    fn glob(&mut self, _: &[u8]) -> Result<Vec<Vec<u8>>, OpenError> {
        Ok(Vec::new())
    }
}

/// The file system.
#[derive(Clone, Copy, Debug, Default)]
pub struct Disk;

impl Loader for Disk {
    fn read(&mut self, path: &[u8]) -> Result<Vec<u8>, OpenError> {
        Ok(std::fs::read(Path::new(OsStr::from_bytes(path)))?)
    }

    fn glob(&mut self, pattern: &[u8]) -> Result<Vec<Vec<u8>>, OpenError> {
        let invalid = |text: String| OpenError { code: 22, text };
        let text = std::str::from_utf8(pattern).map_err(|e| invalid(e.to_string()))?;
        // As glob(3): wildcards match neither a slash nor a leading dot.
        let options = glob::MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: true };
        let paths = glob::glob_with(text, options).map_err(|e| invalid(e.to_string()))?;
        let mut names = Vec::new();
        for path in paths {
            // A directory that may not be read is skipped, as glob(3) does without GLOB_ERR.
            names.extend(path.ok().map(|path| path.into_os_string().into_vec()));
        }
        names.sort();
        Ok(names)
    }
}

/// True when nginx treats the argument of `include` as a pattern.
#[must_use]
pub(crate) fn is_pattern(path: &[u8]) -> bool {
    memchr::memchr3(b'*', b'?', b'[', path).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_disk_speaks_like_nginx() {
        let error = Disk.read(b"/nonexistent/x.conf").unwrap_err();
        assert_eq!(error.message("open", b"/nonexistent/x.conf"), "open() \"/nonexistent/x.conf\" failed (2: No such file or directory)");
        assert_eq!(Disk.glob(b"/nonexistent/*.conf"), Ok(Vec::new()));
        assert!(Disk.glob(b"/a/***").is_err());
        assert!(Disk.read(b"/a\0b").is_err());
        assert!(is_pattern(b"a/[bc]") && !is_pattern(b"a/b"));
    }
}
