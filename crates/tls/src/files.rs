//! The files of a configuration, each of them read once (`ssl_object_cache_inheritable`).

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::rc::Rc;

/// What tells whether a file is still the same, to the second as nginx does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FileVersion {
    device: u64,
    inode: u64,
    modified: i64,
}

impl FileVersion {
    fn of(metadata: &Metadata) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino(), modified: metadata.mtime() }
    }
}

#[derive(Debug, Clone)]
struct CachedFile {
    bytes: Rc<[u8]>,
    stamp: FileVersion,
    /// It was looked at in this configuration.
    is_current: bool,
}

/// What was read so far.
#[derive(Debug, Default)]
pub struct Files(RefCell<HashMap<String, CachedFile>>);

impl Files {
    /// Nothing is read yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What a former configuration has read; it is used where files have not changed since.
    #[must_use]
    pub fn successor(&self) -> Self {
        // What that one no longer used itself is forgotten.
        let files = self.0.borrow();
        let used = files.iter().filter(|(_, kept)| kept.is_current);
        Self(RefCell::new(used.map(|(name, kept)| (name.clone(), CachedFile { is_current: false, ..kept.clone() })).collect()))
    }

    /// The bytes of a file, or of what stands behind `data:`.
    ///
    /// # Errors
    /// What open(2), stat(2) and read(2) report.
    pub fn read(&self, name: &str) -> io::Result<Rc<[u8]>> {
        if let Some(data) = name.strip_prefix("data:") {
            return Ok(data.as_bytes().into());
        }
        let mut files = self.0.borrow_mut();
        if let Some(kept) = files.get_mut(name) {
            let is_same = || std::fs::metadata(name).is_ok_and(|metadata| FileVersion::of(&metadata) == kept.stamp);
            if kept.is_current || is_same() {
                kept.is_current = true;
                return Ok(kept.bytes.clone());
            }
        }
        let mut file = File::open(name)?;
        let stamp = FileVersion::of(&file.metadata()?);
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let bytes: Rc<[u8]> = bytes.into();
        files.insert(name.to_owned(), CachedFile { bytes: bytes.clone(), stamp, is_current: true });
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::FileTimes;
    use std::time::{Duration, SystemTime};

    #[test]
    fn a_file_is_read_once_and_again_when_it_has_changed() {
        let path = std::env::temp_dir().join(format!("lunette-files-{}", std::process::id()));
        let name = path.display().to_string();
        let write = |text: &str, second: u64| {
            std::fs::write(&path, text).unwrap();
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(second);
            File::options().write(true).open(&path).unwrap().set_times(FileTimes::new().set_modified(time)).unwrap();
        };
        write("one", 1);
        let first = Files::new();
        assert_eq!(&*first.read(&name).unwrap(), b"one");
        write("two", 2);
        assert_eq!(&*first.read(&name).unwrap(), b"one");
        let second = first.successor();
        assert_eq!(&*second.read(&name).unwrap(), b"two");
        write("six", 2);
        let third = second.successor();
        assert_eq!(&*third.read(&name).unwrap(), b"two");
        // What nobody used is forgotten, and what is gone is an error.
        let fourth = third.successor().successor();
        assert_eq!(&*fourth.read(&name).unwrap(), b"six");
        std::fs::remove_file(&path).unwrap();
        assert_eq!(fourth.successor().read(&name).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(&*fourth.read("data:x").unwrap(), b"x");
    }
}
