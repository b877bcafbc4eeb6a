//! Purges by key, prefix and tag: what was stored before one and is meant by it is gone or, with a soft one, no longer fresh.
//!
//! They stand in a file beside the responses, one a line, so that they hold after a restart too; a number in shared memory tells workers
//! that there are new ones. A worker reads only what was added since it last looked.

use base::text::push_number;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The file's name in the cache's directory. It is no name of a response.
pub const NAME: &str = "purges";

/// Which answers a purge means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PurgeTarget<'a> {
    /// All variants of one key.
    Key(&'a [u8]),
    /// All keys that begin so.
    Prefix(&'a [u8]),
    /// All that have this tag.
    Tag(&'a [u8]),
}

/// A request to remove stored responses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Purge<'a> {
    /// Which answers it means.
    pub target: PurgeTarget<'a>,
    /// They stay, but are not fresh any more.
    pub soft: bool,
}

/// What purges say of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purged {
    /// Nothing.
    None,
    /// It was fresh until this time at most, milliseconds.
    Soft(i64),
    /// It is gone.
    Hard,
}

/// Times of the last purges of one kind, milliseconds.
#[derive(Clone, Copy, Debug, Default)]
struct Times {
    hard: i64,
    soft: i64,
}

impl Times {
    fn add(&mut self, time: i64, soft: bool) {
        let place = if soft { &mut self.soft } else { &mut self.hard };
        *place = time.max(*place);
    }

    fn apply(self, stored_ms: i64) -> Purged {
        match self {
            Times { hard, .. } if hard >= stored_ms => Purged::Hard,
            Times { soft, .. } if soft >= stored_ms => Purged::Soft(soft),
            _ => Purged::None,
        }
    }
}

#[derive(Debug, Default)]
struct List {
    prefixes: HashMap<Box<[u8]>, Times>,
    tags: HashMap<Box<[u8]>, Times>,
    keys: HashMap<Box<[u8]>, Times>,
    newest: i64,
    /// The file that it was read from (inode numbers are used again, so its beginning too), and how far.
    file: u64,
    beginning: Box<[u8]>,
    read: u64,
}

/// How much of a file's beginning tells it from others: the first purge's time is in it.
const BEGINNING: usize = 24;

impl List {
    /// Reads what is new in the file.
    fn update(&mut self, root: &Path) {
        let Ok(file) = File::open(path(root)) else { return *self = List::default() };
        let Ok(metadata) = file.metadata() else { return };
        let mut beginning = vec![0; BEGINNING];
        let there = file.read_at(&mut beginning, 0).unwrap_or(0);
        beginning.truncate(there);
        if metadata.ino() != self.file || metadata.len() < self.read || !beginning.starts_with(&self.beginning) {
            *self = List { file: metadata.ino(), beginning: beginning.into(), ..List::default() };
        }
        let mut text = vec![0; usize::try_from(metadata.len().saturating_sub(self.read)).unwrap_or(0)];
        if file.read_exact_at(&mut text, self.read).is_err() {
            return;
        }
        // A line without its end is still being written.
        let end = memchr::memrchr(b'\n', &text).map_or(0, |at| at + 1);
        for (time, purge) in text.get(..end).unwrap_or_default().split(|b| *b == b'\n').filter_map(parse) {
            let (map, name) = match purge.target {
                PurgeTarget::Key(name) => (&mut self.keys, name),
                PurgeTarget::Prefix(name) => (&mut self.prefixes, name),
                PurgeTarget::Tag(name) => (&mut self.tags, name),
            };
            map.entry(name.into()).or_default().add(time, purge.soft);
            self.newest = self.newest.max(time);
        }
        self.read += end as u64;
    }

    fn apply(&self, key: &[u8], head: &[u8], stored_ms: i64) -> Purged {
        if self.newest < stored_ms {
            return Purged::None;
        }
        let mut all = self.keys.get(key).copied().unwrap_or_default();
        let mut add = |times: &Times| {
            all.add(times.hard, false);
            all.add(times.soft, true);
        };
        self.prefixes.iter().filter(|(prefix, _)| key.starts_with(prefix)).for_each(|(_, times)| add(times));
        if !self.tags.is_empty() {
            crate::tags::each_of_head(head, &mut |tag| self.tags.get(tag).into_iter().for_each(&mut add));
        }
        all.apply(stored_ms)
    }
}

/// What one worker knows of a cache's purges.
#[derive(Debug, Default)]
pub struct Purges {
    list: RefCell<List>,
    /// The number up to which they are known, plus one.
    loaded: Cell<u64>,
}

impl Purges {
    /// What purges say of a response with this `head` that was stored under `key`. `number` is the shared number of purges.
    pub fn apply(&self, root: &Path, number: u64, key: &[u8], head: &[u8], stored_ms: i64) -> Purged {
        if self.loaded.get() != number.wrapping_add(1) {
            self.list.borrow_mut().update(root);
            self.loaded.set(number.wrapping_add(1));
        }
        self.list.borrow().apply(key, head, stored_ms)
    }
}

/// Adds a purge; the caller raises the shared number after that.
///
/// # Errors
/// Those of `open(2)` and `write(2)`; `InvalidInput` for what has a line's end in it.
pub fn add(root: &Path, now_ms: i64, purge: &Purge<'_>) -> io::Result<()> {
    let (letter, name) = match purge.target {
        PurgeTarget::Key(name) => (b'K', name),
        PurgeTarget::Prefix(name) => (b'P', name),
        PurgeTarget::Tag(name) => (b'T', name),
    };
    if name.contains(&b'\n') {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut line = Vec::new();
    push_number(&mut line, now_ms.max(0).cast_unsigned());
    line.extend_from_slice(&[b' ', if purge.soft { letter.to_ascii_lowercase() } else { letter }, b' ']);
    line.extend_from_slice(name);
    line.push(b'\n');
    // One write at the end: lines of several processes do not mix.
    open_locked(root)?.write_all(&line)
}

/// The file for appending, locked: it is the one that stands there, and no other process puts another in its place.
fn open_locked(root: &Path) -> io::Result<File> {
    let path = path(root);
    loop {
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(&path)?;
        file.lock()?;
        change_owner(root, &file);
        if fs::metadata(&path).is_ok_and(|there| file.metadata().is_ok_and(|ours| ours.ino() == there.ino())) {
            return Ok(file);
        }
    }
}

/// The file belongs to whom the directory does: workers must read it when the superuser has purged by hand.
fn change_owner(root: &Path, file: &File) {
    if let (Ok(directory), Ok(own)) = (fs::metadata(root), file.metadata())
        && directory.uid() != own.uid()
    {
        // Only the superuser can, and only he needs to.
        let _ = std::os::unix::fs::fchown(file, Some(directory.uid()), Some(directory.gid()));
    }
}

/// Forgets purges up to a time: no response is left that they could mean.
///
/// # Errors
/// Those of `open(2)`, `write(2)` and `rename(2)`.
pub fn remove_until(root: &Path, until_ms: i64) -> io::Result<()> {
    let _held = open_locked(root)?;
    let text = fs::read(path(root))?;
    let mut kept = Vec::new();
    for line in text.split_inclusive(|b| *b == b'\n') {
        if parse(line).is_some_and(|(time, _)| time > until_ms) {
            kept.extend_from_slice(line);
        }
    }
    let beside = root.join(format!("{NAME}.new"));
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?.write_all(&kept)?;
    fs::rename(beside, path(root))
}

/// The file's length and last change, by which news of other programs are noticed.
#[must_use]
pub fn state(root: &Path) -> (u64, i64) {
    fs::metadata(path(root)).map_or((0, 0), |file| (file.len(), file.mtime_nsec().wrapping_add(file.mtime().wrapping_mul(1_000_000_000))))
}

fn path(root: &Path) -> PathBuf {
    root.join(NAME)
}

fn parse(line: &[u8]) -> Option<(i64, Purge<'_>)> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let at = memchr::memchr(b' ', line)?;
    let time = i64::try_from(base::text::parse_number(line.get(..at)?)?).ok()?;
    let (letter, name) = match line.get(at + 1..)? {
        [letter, b' ', name @ ..] => (*letter, name),
        _ => return None,
    };
    let target = match letter.to_ascii_uppercase() {
        b'K' => PurgeTarget::Key(name),
        b'P' => PurgeTarget::Prefix(name),
        b'T' => PurgeTarget::Tag(name),
        _ => return None,
    };
    Some((time, Purge { target, soft: letter.is_ascii_lowercase() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(name: &str) -> PathBuf {
        let root = std::env::temp_dir().join(format!("purges-{name}-{}", std::process::id()));
        fs::create_dir_all(&root).unwrap();
        root
    }

    const HARD: fn(PurgeTarget<'_>) -> Purge<'_> = |target| Purge { target, soft: false };
    const HEAD: &[u8] = b"200 OK\r\nCache-Tag: red, blue\r\n";

    #[test]
    fn a_purge_covers_what_was_there_before_it() {
        let root = root("cover");
        let purges = Purges::default();
        let cover = |number, key: &[u8], stored| purges.apply(&root, number, key, HEAD, stored);
        assert_eq!(cover(0, b"/a/b", 5), Purged::None);
        add(&root, 10, &HARD(PurgeTarget::Prefix(b"/a/"))).unwrap();
        assert_eq!(cover(0, b"/a/b", 5), Purged::None, "not told yet");
        assert_eq!((cover(1, b"/a/b", 5), cover(1, b"/a/b", 10)), (Purged::Hard, Purged::Hard));
        assert_eq!((cover(1, b"/a/b", 11), cover(1, b"/b", 5)), (Purged::None, Purged::None));
        add(&root, 20, &HARD(PurgeTarget::Tag(b"blue"))).unwrap();
        add(&root, 30, &Purge { target: PurgeTarget::Key(b"/b"), soft: true }).unwrap();
        assert_eq!((cover(2, b"/b", 5), cover(2, b"/b", 25), cover(2, b"/c", 25)), (Purged::Hard, Purged::Soft(30), Purged::None));
        assert_eq!(purges.apply(&root, 2, b"/c", b"200 OK\r\nCache-Tag: green\r\n", 5), Purged::None);
        assert!(add(&root, 40, &HARD(PurgeTarget::Key(b"a\nb"))).is_err());
        fs::remove_dir_all(&root).unwrap();
    }

    #[test]
    fn what_is_forgotten_is_gone_and_the_rest_stays() {
        let root = root("forget");
        for (time, prefix) in [(10, b"/a"), (20, b"/b")] {
            add(&root, time, &HARD(PurgeTarget::Prefix(prefix))).unwrap();
        }
        let purges = Purges::default();
        assert_eq!(purges.apply(&root, 0, b"/a", HEAD, 5), Purged::Hard);
        remove_until(&root, 15).unwrap();
        add(&root, 30, &HARD(PurgeTarget::Prefix(b"/c"))).unwrap();
        for purges in [purges, Purges::default()] {
            let cover = |key: &[u8]| purges.apply(&root, 1, key, HEAD, 5);
            assert_eq!((cover(b"/a"), cover(b"/b"), cover(b"/c")), (Purged::None, Purged::Hard, Purged::Hard));
        }
        fs::remove_dir_all(&root).unwrap();
    }
}
