//! Purges by prefix: what was stored before one and has a key that begins so is gone.
//!
//! They stand in a file beside the answers, one a line, so that they hold after a restart too; a number in shared memory tells workers
//! that there are new ones.

use base::text::push_number;
use std::cell::{Cell, RefCell};
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The file's name in the cache's directory. It is no name of an answer.
const NAME: &str = "purges";

/// What one worker knows of a cache's purges.
#[derive(Debug, Default)]
pub struct Purges {
    /// Times in milliseconds and prefixes, in the order of time.
    list: RefCell<Vec<(i64, Box<[u8]>)>>,
    /// The number up to which they are known, plus one.
    known: Cell<u64>,
}

impl Purges {
    /// Whether what was stored under `key` at `stored_ms` is gone. `number` is the shared number of purges.
    pub fn cover(&self, root: &Path, number: u64, key: &[u8], stored_ms: i64) -> bool {
        if self.known.get() != number.wrapping_add(1) {
            self.list.replace(load(root));
            self.known.set(number.wrapping_add(1));
        }
        self.list.borrow().iter().rev().take_while(|(time, _)| *time >= stored_ms).any(|(_, prefix)| key.starts_with(prefix))
    }
}

/// Adds a purge; the caller raises the shared number after that.
///
/// # Errors
/// Those of `open(2)` and `write(2)`.
pub fn add(root: &Path, now_ms: i64, prefix: &[u8]) -> io::Result<()> {
    let mut line = Vec::new();
    push_number(&mut line, now_ms.max(0).cast_unsigned());
    line.push(b' ');
    line.extend_from_slice(prefix);
    line.push(b'\n');
    // One write at the end: lines of several workers do not mix.
    OpenOptions::new().append(true).create(true).mode(0o600).open(path(root))?.write_all(&line)
}

/// Forgets purges before a time: nothing older is left that they could mean.
///
/// # Errors
/// Those of `open(2)`, `write(2)` and `rename(2)`.
pub fn forget(root: &Path, before_ms: i64) -> io::Result<()> {
    let list = load(root);
    if list.iter().all(|(time, _)| *time >= before_ms) {
        return Ok(());
    }
    // A purge that comes in between would be lost with the file: only a list of old ones alone goes.
    if list.iter().all(|(time, _)| *time < before_ms) { fs::remove_file(path(root)) } else { Ok(()) }
}

fn path(root: &Path) -> PathBuf {
    root.join(NAME)
}

fn load(root: &Path) -> Vec<(i64, Box<[u8]>)> {
    let text = fs::read(path(root)).unwrap_or_default();
    let mut list: Vec<_> = text.split(|b| *b == b'\n').filter_map(parse).collect();
    list.sort_by_key(|(time, _)| *time);
    list
}

fn parse(line: &[u8]) -> Option<(i64, Box<[u8]>)> {
    let at = memchr::memchr(b' ', line)?;
    let time = i64::try_from(base::text::parse_number(line.get(..at)?)?).ok()?;
    Some((time, line.get(at + 1..)?.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_purge_covers_what_was_there_before_it() {
        let root = std::env::temp_dir().join(format!("purges-{}", std::process::id()));
        fs::create_dir_all(&root).unwrap();
        let purges = Purges::default();
        assert!(!purges.cover(&root, 0, b"/a/b", 5));
        add(&root, 10, b"/a/").unwrap();
        assert!(!purges.cover(&root, 0, b"/a/b", 5), "not told yet");
        assert!(purges.cover(&root, 1, b"/a/b", 5) && purges.cover(&root, 1, b"/a/b", 10));
        assert!(!purges.cover(&root, 1, b"/a/b", 11) && !purges.cover(&root, 1, b"/b", 5));
        add(&root, 20, b"").unwrap();
        assert!(purges.cover(&root, 2, b"/b", 5));
        forget(&root, 15).unwrap();
        assert!(Purges::default().cover(&root, 2, b"/a/b", 5));
        forget(&root, 30).unwrap();
        assert!(!Purges::default().cover(&root, 2, b"/a/b", 5));
        fs::remove_dir_all(&root).unwrap();
    }
}
