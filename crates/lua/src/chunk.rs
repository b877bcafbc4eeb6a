//! Compiled code, kept by name and source or by path. A chunk is compiled once; every slot makes its closure of it.

use crate::raise::{ErrorKind, LuaError};
use std::collections::HashMap;
use std::ffi::{CStr, c_int};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// A compiled chunk of one VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkId(pub(crate) u32);

/// What tells one version of a file from the next: modification time (seconds, nanoseconds) and size.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct FileVersion(i64, i64, u64);

#[derive(Default)]
pub(crate) struct Chunks {
    text: HashMap<Box<[u8]>, ChunkId>,
    files: HashMap<Box<[u8]>, (FileVersion, ChunkId)>,
    factories: Vec<c_int>,
}

impl Chunks {
    pub(crate) fn text(&self, key: &[u8]) -> Option<ChunkId> {
        self.text.get(key).copied()
    }

    pub(crate) fn keep_text(&mut self, key: Vec<u8>, id: ChunkId) {
        self.text.insert(key.into_boxed_slice(), id);
    }

    /// The chunk of a file; of whichever version when no stamp is given.
    pub(crate) fn file(&self, path: &Path, stamp: Option<FileVersion>) -> Option<ChunkId> {
        let (kept, id) = self.files.get(path.as_os_str().as_bytes())?;
        (stamp.is_none() || stamp == Some(*kept)).then_some(*id)
    }

    pub(crate) fn keep_file(&mut self, path: &Path, stamp: FileVersion, id: ChunkId) {
        self.files.insert(path.as_os_str().as_bytes().into(), (stamp, id));
    }

    pub(crate) fn add(&mut self, factory: c_int) -> ChunkId {
        let id = ChunkId(u32::try_from(self.factories.len()).unwrap_or(u32::MAX));
        self.factories.push(factory);
        id
    }

    pub(crate) fn factory(&self, id: ChunkId) -> Option<c_int> {
        self.factories.get(id.0 as usize).copied()
    }
}

/// The key of inline code: its name, a NUL, its source. Names never contain NUL.
pub(crate) fn text_key(source: &[u8], name: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(name.len() + 1 + source.len());
    key.extend_from_slice(name.as_bytes());
    key.push(0);
    key.extend_from_slice(source);
    key
}

fn file_error(verb: &str, path: &Path, error: &std::io::Error) -> LuaError {
    let errno = error.raw_os_error().unwrap_or(0);
    // SAFETY: strerror returns a string that lives until its next call; this thread copies it at once.
    let reason = unsafe { CStr::from_ptr(libc::strerror(errno)) }.to_string_lossy();
    let mut error = LuaError::plain(ErrorKind::File, format!("cannot {verb} {}: {reason}", path.display()));
    error.errno = errno;
    error
}

/// The version of a file.
///
/// # Errors
/// `cannot open F: reason`, as `luaL_loadfile`.
pub(crate) fn stamp(path: &Path) -> Result<FileVersion, LuaError> {
    let meta = std::fs::metadata(path).map_err(|e| file_error("open", path, &e))?;
    Ok(FileVersion(meta.mtime(), meta.mtime_nsec(), meta.size()))
}

/// The bytes of a file.
///
/// # Errors
/// `cannot open F: reason` or, for a directory and the like, `cannot read F: reason`.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, LuaError> {
    use std::io::Read;
    let mut file = std::fs::File::open(path).map_err(|e| file_error("open", path, &e))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(|e| file_error("read", path, &e))?;
    Ok(bytes)
}
