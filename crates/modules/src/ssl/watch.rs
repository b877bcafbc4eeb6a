//! `ssl_certificate_watch`: certificates that change in their files are taken up without a reload.
//!
//! A worker looks at the files when clients come, at most twice a second, so that a server without clients costs nothing.

use base::clock;
use base::log::{ErrorLog, Level};
use std::cell::{Cell, RefCell};
use std::os::unix::fs::MetadataExt as _;
use std::rc::Rc;
use tls::certificate::{LoadError, Pair, STORED_FILE};
use tls::files::Files;

/// Milliseconds between two looks.
pub(super) const PAUSE: u64 = 500;

/// What tells whether a file is still the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FileVersion {
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

/// The certificates of a server, by their files.
pub(super) struct Watch {
    /// Certificate and key.
    names: Vec<(String, String)>,
    passwords: Rc<Vec<Vec<u8>>>,
    /// `ssl_stapling_file`
    staple: Option<Rc<str>>,
    versions: RefCell<Vec<Option<FileVersion>>>,
    /// When to look next, in milliseconds.
    next: Cell<u64>,
    /// Why the files could not be taken up the last time, which is tried again and logged once.
    trouble: RefCell<Option<String>>,
}

fn stamp(name: &str) -> Option<FileVersion> {
    let metadata = std::fs::metadata(name.strip_prefix(STORED_FILE).unwrap_or(name)).ok()?;
    Some(FileVersion { inode: metadata.ino(), size: metadata.size(), modified: (metadata.mtime(), metadata.mtime_nsec()) })
}

impl Watch {
    /// To be made before the files are read.
    pub(super) fn new(names: Vec<(String, String)>, passwords: Rc<Vec<Vec<u8>>>, staple: Option<Rc<str>>) -> Watch {
        let seen = RefCell::new(Watch::stamps(&names));
        Watch { names, passwords, staple, versions: seen, next: Cell::new(0), trouble: RefCell::default() }
    }

    fn stamps(names: &[(String, String)]) -> Vec<Option<FileVersion>> {
        names.iter().flat_map(|(certificate, key)| [stamp(certificate), stamp(key)]).collect()
    }

    /// The certificates, if a file has changed and all can be read.
    pub(super) fn changed(&self, log: &ErrorLog) -> Option<Vec<Pair>> {
        let now = clock::monotonic_ms();
        if now < self.next.get() {
            return None;
        }
        self.next.set(now + PAUSE);
        let found = Watch::stamps(&self.names);
        if *self.versions.borrow() == found && self.trouble.borrow().is_none() {
            return None;
        }
        self.versions.replace(found);
        match self.load() {
            Ok(pairs) => {
                self.trouble.take();
                for (name, _) in &self.names {
                    log.write(Level::Notice, 0, format!("certificate \"{name}\" has been read again").as_bytes());
                }
                Some(pairs)
            }
            Err(problem) => {
                let text = problem.to_string();
                if self.trouble.borrow().as_ref() != Some(&text) {
                    log.write(Level::Error, 0, format!("{text}, the former certificate stays").as_bytes());
                    self.trouble.replace(Some(text));
                }
                None
            }
        }
    }

    fn load(&self) -> Result<Vec<Pair>, LoadError> {
        let files = Files::new();
        let staple = self.staple.as_deref().and_then(|path| files.read(path).ok()).map(|bytes| bytes.to_vec());
        let load =
            |(certificate, key): &(String, String)| Ok(Pair::load(&files, certificate, key, &self.passwords)?.with_ocsp(staple.clone()));
        let pairs = self.names.iter().map(load).collect::<Result<Vec<_>, _>>()?;
        let places = vec![(); pairs.len()];
        Ok(Pair::last_of_each_kind(pairs, places).0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log() -> ErrorLog {
        ErrorLog::stderr(Level::Emerg)
    }

    #[test]
    fn certificates_are_taken_up_once_all_of_them_fit() {
        let directory = std::env::temp_dir().join(format!("lunette-watch-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let names = ["crt", "key"].map(|end| directory.join(format!("a.{end}")).display().to_string());
        let made = || {
            let made = rcgen::generate_simple_self_signed(["a".to_owned()]).unwrap();
            (made.cert.pem(), made.signing_key.serialize_pem())
        };
        let ((first, first_key), (second, second_key)) = (made(), made());
        std::fs::write(&names[0], &first).unwrap();
        std::fs::write(&names[1], first_key).unwrap();
        let watch = Watch::new(vec![(names[0].clone(), names[1].clone())], Rc::default(), None);
        let look = || {
            watch.next.set(0);
            watch.changed(&log())
        };
        assert!(look().is_none());
        // The key does not fit yet.
        std::fs::write(&names[0], second).unwrap();
        assert!(look().is_none() && watch.trouble.borrow().is_some());
        std::fs::write(&names[1], second_key).unwrap();
        let pairs = look().unwrap();
        assert_ne!(
            pairs[0].certificates(),
            Pair::load(&Files::new(), &format!("data:{first}"), &names[1], &[]).map_or(vec![], |p| p.certificates().to_vec())
        );
        assert!(look().is_none() && watch.trouble.borrow().is_none());
        std::fs::write(&names[1], "no key").unwrap();
        assert!(look().is_none());
        // Nothing is looked at before the pause is over.
        assert!(watch.changed(&log()).is_none() && watch.next.get() > 0);
        std::fs::remove_dir_all(&directory).unwrap();
        assert!(look().is_none());
    }
}
