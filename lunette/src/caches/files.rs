//! The files of a cache's directory, whose `levels` are unknown.

use cache::{Digest, Head, file_store, key};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// The deepest that directories lie in each other.
const DEPTH: usize = 3;

/// A stored response.
pub(super) struct StoredResponse {
    pub(super) digest: Digest,
    pub(super) head: Head,
    pub(super) size: u64,
    pub(super) path: PathBuf,
}

/// All answers below a directory; other files are passed over.
pub(super) fn answers(root: &Path) -> impl Iterator<Item = StoredResponse> {
    let mut open = vec![(root.to_owned(), 0)];
    let mut found: Vec<PathBuf> = Vec::new();
    std::iter::from_fn(move || {
        loop {
            if let Some(path) = found.pop() {
                match read(path) {
                    Some(stored) => return Some(stored),
                    None => continue,
                }
            }
            let (directory, depth) = open.pop()?;
            for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
                match entry.file_type() {
                    Ok(kind) if kind.is_dir() && depth < DEPTH => open.push((entry.path(), depth + 1)),
                    Ok(kind) if kind.is_file() => found.push(entry.path()),
                    _ => {}
                }
            }
        }
    })
}

fn read(path: PathBuf) -> Option<StoredResponse> {
    let digest = key::parse_name(path.file_name()?.as_encoded_bytes())?;
    let file = File::open(&path).ok()?;
    let size = file.metadata().ok()?.len();
    let head = file_store::read_head(&file).ok()?;
    Some(StoredResponse { digest, head, size, path })
}

/// The response of a key, in whichever levels.
pub(super) fn find(root: &Path, wanted: &[u8]) -> Option<StoredResponse> {
    let digest = key::digest(wanted);
    let levels = || 0..=2_u8;
    let all = levels().flat_map(|a| levels().flat_map(move |b| levels().map(move |c| [a, b, c])));
    all.filter_map(|levels| read(key::path(root, levels, &digest))).find(|stored| stored.head.key == wanted)
}
