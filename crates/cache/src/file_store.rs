//! The files of a cache: lookup, writing to a temporary file that is renamed when complete, removal.

use crate::head::{FIXED, Head, HeadError};
use crate::key::{self, Digest};
use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Where the files of a cache stand.
#[derive(Clone, Debug)]
pub struct FileStore {
    /// The directory.
    pub root: PathBuf,
    /// Digits of the names of its subdirectories.
    pub levels: [u8; 3],
}

/// A file that is being written.
#[derive(Debug)]
pub struct FileWriter {
    path: PathBuf,
    file: File,
    head: Head,
    start: u64,
    written: u64,
    sum: crc32fast::Hasher,
    committed: bool,
}

/// Why there is no stored response.
#[derive(Debug)]
pub enum LoadError {
    /// No file.
    None,
    /// One that is of no use.
    Fault(HeadError),
    /// The disk refused.
    Error(io::Error),
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LoadError::None => f.write_str("no cache file"),
            LoadError::Fault(fault) => fault.fmt(f),
            LoadError::Error(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for LoadError {}

impl FileStore {
    /// The path of the file that holds the response with this digest.
    #[must_use]
    pub fn path(&self, digest: &Digest) -> PathBuf {
        key::path(&self.root, self.levels, digest)
    }

    /// Opens the response that stands under a digest.
    ///
    /// # Errors
    /// There is none, or none that is whole and belongs to `key`.
    pub fn open(&self, digest: &Digest, key: &[u8]) -> Result<(File, Head), LoadError> {
        let file = match File::open(self.path(digest)) {
            Ok(file) => file,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return Err(LoadError::None),
            Err(error) => return Err(LoadError::Error(error)),
        };
        let head = read_head(&file)?;
        if head.key == key { Ok((file, head)) } else { Err(LoadError::Fault(HeadError::OtherKey)) }
    }

    /// Starts a file, in `directory` or next to its final path.
    ///
    /// # Errors
    /// Those of `open(2)` and `mkdir(2)`.
    pub fn create(&self, digest: &Digest, directory: Option<&Path>, head: Head) -> io::Result<FileWriter> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let unique = format!("{:010}.{}", number, std::process::id());
        let path = match directory {
            Some(directory) => directory.join(unique),
            None => {
                let mut path = self.path(digest).into_os_string();
                path.push(".");
                path.push(unique);
                PathBuf::from(path)
            }
        };
        let make = || OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path);
        let file = match make() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                make_parent(&path)?;
                make()?
            }
            other => other?,
        };
        let start = head.body_start() as u64;
        Ok(FileWriter { path, file, head, start, written: 0, sum: crc32fast::Hasher::new(), committed: false })
    }

    /// Writes a new head over one of the same size.
    ///
    /// # Errors
    /// Those of `open(2)` and `write(2)`.
    pub fn rewrite_head(&self, digest: &Digest, head: &Head) -> io::Result<()> {
        let file = OpenOptions::new().write(true).open(self.path(digest))?;
        let mut bytes = Vec::new();
        head.write(&mut bytes);
        file.write_all_at(&bytes, 0)
    }

    /// All its files, read directory by directory.
    #[must_use]
    pub fn files(&self) -> FileWalk<'_> {
        let depth = self.levels.iter().filter(|level| **level > 0).count();
        FileWalk { store: self, depth, open: vec![(self.root.clone(), 0)], current: None }
    }

    /// Removes a file. That it was gone already is fine.
    ///
    /// # Errors
    /// Those of `unlink(2)`.
    pub fn remove(&self, digest: &Digest) -> io::Result<()> {
        match fs::remove_file(self.path(digest)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

/// The files of a shelf, on the way.
pub struct FileWalk<'a> {
    store: &'a FileStore,
    depth: usize,
    open: Vec<(PathBuf, usize)>,
    current: Option<(fs::ReadDir, usize)>,
}

impl Iterator for FileWalk<'_> {
    type Item = (Digest, PathBuf);

    fn next(&mut self) -> Option<(Digest, PathBuf)> {
        self.next_beside(|_, _| ())
    }
}

impl FileWalk<'_> {
    /// The next file of a response; `other` gets the names and paths of files that are none.
    pub fn next_beside(&mut self, other: impl Fn(&[u8], &Path)) -> Option<(Digest, PathBuf)> {
        loop {
            let Some((entries, depth)) = &mut self.current else {
                let (directory, depth) = self.open.pop()?;
                self.current = fs::read_dir(directory).ok().map(|entries| (entries, depth));
                continue;
            };
            let Some(entry) = entries.next() else {
                self.current = None;
                continue;
            };
            let Ok((entry, kind)) = entry.and_then(|entry| entry.file_type().map(|kind| (entry, kind))) else { continue };
            if kind.is_dir() && *depth < self.depth {
                self.open.push((entry.path(), *depth + 1));
            } else if kind.is_file() {
                let (name, path) = (entry.file_name(), entry.path());
                match key::parse_name(name.as_encoded_bytes()).filter(|digest| path == self.store.path(digest)) {
                    Some(digest) => return Some((digest, path)),
                    None => other(name.as_encoded_bytes(), &path),
                }
            }
        }
    }
}

fn make_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) => DirBuilder::new().recursive(true).mode(0o700).create(parent),
        None => Ok(()),
    }
}

/// Reads the head of a file.
///
/// # Errors
/// It is not whole.
pub fn read_head(file: &File) -> Result<Head, LoadError> {
    let size = file.metadata().map_err(LoadError::Error)?.len();
    let (mut bytes, first) = (Vec::new(), 4096.min(usize::try_from(size).unwrap_or(4096)));
    sys::descriptor::read_exact_at(file, &mut bytes, 0, first).map_err(LoadError::Error)?;
    let fixed = bytes.get(..FIXED).unwrap_or(&bytes);
    let total = Head::measure(fixed).map_err(LoadError::Fault)?;
    if total as u64 > size {
        return Err(LoadError::Fault(HeadError::Short));
    }
    if total > first {
        sys::descriptor::read_exact_at(file, &mut bytes, first as u64, total - first).map_err(LoadError::Error)?;
    }
    Head::read(&bytes, size).map_err(LoadError::Fault)
}

/// The disk's blocks of 512 bytes that a file takes.
#[must_use]
pub fn blocks(file: &fs::Metadata) -> u64 {
    // A file system may tell them only later.
    file.blocks().max(file.len().div_ceil(512))
}

impl FileWriter {
    /// What the file will say before its body.
    #[must_use]
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// How many bytes have been written, the file's own header included.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.start + self.written
    }

    /// Appends bytes of the body.
    ///
    /// # Errors
    /// Those of `write(2)`.
    pub fn write(&mut self, data: &[u8]) -> io::Result<()> {
        self.file.write_all_at(data, self.start + self.written)?;
        self.written += data.len() as u64;
        self.sum.update(data);
        Ok(())
    }

    /// Moves the file, which is whole, to its place. Answers the blocks that it takes.
    ///
    /// # Errors
    /// Those of `write(2)` and `rename(2)`.
    pub fn commit(mut self, shelf: &FileStore, digest: &Digest) -> io::Result<u64> {
        self.head.length = self.written;
        self.head.body_sum = self.sum.clone().finalize();
        let mut bytes = Vec::new();
        self.head.write(&mut bytes);
        self.file.write_all_at(&bytes, 0)?;
        let size = blocks(&self.file.metadata()?);
        let place = shelf.path(digest);
        match fs::rename(&self.path, &place) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                make_parent(&place)?;
                fs::rename(&self.path, &place)?;
            }
            Err(error) if error.kind() == io::ErrorKind::CrossesDevices => copy_over(&self.path, &place)?,
            other => other?,
        }
        self.committed = true;
        Ok(size)
    }
}

/// Moves a file to another file system: a copy next to its final path, then a rename.
fn copy_over(from: &Path, to: &Path) -> io::Result<()> {
    let mut beside = to.as_os_str().to_owned();
    beside.push(format!(".{}", std::process::id()));
    make_parent(to)?;
    let copied = fs::copy(from, &beside).and_then(|_| fs::rename(&beside, to));
    if copied.is_err() {
        // The first error is the one to tell.
        let _ = fs::remove_file(&beside);
    }
    copied?;
    fs::remove_file(from)
}

impl Drop for FileWriter {
    fn drop(&mut self) {
        if !self.committed {
            // It may be gone with its directory.
            let _ = fs::remove_file(&self.path);
        }
    }
}
