//! File system usage.

use std::io;
use std::path::Path;

/// Bytes that are free for this process on the file system of `path`.
///
/// # Errors
/// Those of `statvfs(3)`.
pub fn free(path: &Path) -> io::Result<u64> {
    let found = nix::sys::statvfs::statvfs(path)?;
    Ok(found.blocks_available().saturating_mul(found.fragment_size()))
}
