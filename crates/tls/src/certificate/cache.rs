//! Certificates and keys whose names are known only at request time (`*_ssl_certificate_cache`).

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt as _;
use std::time::SystemTime;

use super::{Chain, Key, LoadError, Pair, STORED_FILE};
use crate::files::Files;

/// How long something is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most certificates and keys together.
    pub most: usize,
    /// Milliseconds after which a file is looked at again.
    pub valid_ms: u64,
    /// Milliseconds without use after which something goes.
    pub inactive_ms: u64,
}

/// Certificates and keys by name. A key that is encrypted is not kept.
#[derive(Debug)]
pub struct Cache {
    limits: Limits,
    items: HashMap<(Kind, String), Item>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Chain,
    Key,
}

#[derive(Debug, Clone)]
enum Value {
    Chain(Chain),
    Key(Key),
}

#[derive(Debug)]
struct Item {
    value: Value,
    stamp: Option<FileVersion>,
    checked_ms: u64,
    used_ms: u64,
}

/// What tells whether a file is still the same.
#[derive(Debug, PartialEq, Eq)]
struct FileVersion {
    inode: u64,
    modified: Option<SystemTime>,
}

impl FileVersion {
    fn of(name: &str) -> Option<Self> {
        let metadata = std::fs::metadata(name.strip_prefix(STORED_FILE).unwrap_or(name)).ok()?;
        Some(Self { inode: metadata.ino(), modified: metadata.modified().ok() })
    }
}

impl Cache {
    /// An empty cache.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits, items: HashMap::new() }
    }

    /// The pair of these names, which are files or `data:` and what follows. `now_ms` is the time on any clock that does not
    /// go back.
    ///
    /// # Errors
    /// nginx's message.
    pub fn pair(&mut self, certificate: &str, key: &str, passwords: &[Vec<u8>], now_ms: u64) -> Result<Pair, LoadError> {
        for again in [false, true] {
            let chain = self.get(Kind::Chain, certificate, passwords, now_ms, again)?;
            let loaded = self.get(Kind::Key, key, passwords, now_ms, again)?;
            let (Value::Chain(chain), Value::Key(loaded)) = (chain, loaded) else { continue };
            match Pair::new(&chain, &loaded) {
                Ok(pair) => return Ok(pair),
                // One file may have been replaced after the other was kept.
                Err(_) if !again => {}
                Err(text) => return Err(LoadError(format!("SSL_use_PrivateKey(\"{key}\") failed (SSL: {text})"))),
            }
        }
        Err(LoadError(format!("cannot load certificate key \"{key}\"")))
    }

    fn get(&mut self, kind: Kind, name: &str, passwords: &[Vec<u8>], now_ms: u64, again: bool) -> Result<Value, LoadError> {
        let id = (kind, name.to_owned());
        let is_data = name.starts_with("data:");
        if let Some(item) = self.items.get_mut(&id) {
            let fresh = !again && now_ms.saturating_sub(item.checked_ms) <= self.limits.valid_ms;
            if is_data || fresh || (!again && item.stamp.is_some() && item.stamp == FileVersion::of(name)) {
                if !fresh {
                    item.checked_ms = now_ms;
                }
                item.used_ms = now_ms;
                return Ok(item.value.clone());
            }
            self.items.remove(&id);
        }
        let stamp = if is_data { None } else { FileVersion::of(name) };
        let value = match kind {
            Kind::Chain => Value::Chain(Chain::load(&Files::new(), name)?),
            Kind::Key => Value::Key(Key::load(&Files::new(), name, passwords)?),
        };
        if kind == Kind::Chain || !is_encrypted(name, passwords) {
            self.make_room(now_ms);
            self.items.insert(id, Item { value: value.clone(), stamp, checked_ms: now_ms, used_ms: now_ms });
        }
        Ok(value)
    }

    fn make_room(&mut self, now_ms: u64) {
        let inactive = self.limits.inactive_ms;
        self.items.retain(|_, item| now_ms.saturating_sub(item.used_ms) <= inactive);
        while self.items.len() >= self.limits.most.max(1) {
            let Some(oldest) = self.items.iter().min_by_key(|(_, item)| item.used_ms).map(|(id, _)| id.clone()) else { return };
            self.items.remove(&oldest);
        }
    }
}

fn is_encrypted(name: &str, passwords: &[Vec<u8>]) -> bool {
    // Without passwords it could not have been loaded.
    let path = name.strip_prefix(STORED_FILE).unwrap_or(name);
    !passwords.is_empty() && Files::new().read(path).is_ok_and(|text| text.windows(9).any(|word| word == b"ENCRYPTED"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(name: &str) -> (String, String) {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        (made.cert.pem(), made.signing_key.serialize_pem())
    }

    fn write(directory: &std::path::Path, name: &str, (certificate, key): &(String, String)) -> (String, String) {
        let names = ["crt", "key"].map(|end| directory.join(format!("{name}.{end}")).display().to_string());
        for (file, text) in names.iter().zip([certificate, key]) {
            let fresh = format!("{file}.new");
            std::fs::write(&fresh, text).unwrap();
            std::fs::rename(fresh, file).unwrap();
        }
        let [certificate, key] = names;
        (certificate, key)
    }

    #[test]
    fn what_is_kept_outlives_its_files_for_a_while() {
        let directory = std::env::temp_dir().join(format!("lunette-certificates-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let (one, two) = (made("one"), made("two"));
        let (certificate, key) = write(&directory, "a", &one);
        let mut cache = Cache::new(Limits { most: 4, valid_ms: 10, inactive_ms: 100 });
        let mut get = |name: &(String, String), now| cache.pair(&name.0, &name.1, &[], now).map(|pair| pair.certificates().to_vec());
        let a = (certificate.clone(), key.clone());
        let first = get(&a, 0).unwrap();
        write(&directory, "a", &two);
        assert_eq!(get(&a, 10).unwrap(), first);
        let second = get(&a, 11).unwrap();
        assert_ne!(second, first);
        // Only one file is new: both are looked at.
        std::fs::write(&certificate, &one.0).unwrap();
        assert!(get(&a, 12).is_ok_and(|kept| kept == second));
        // Four more things, and the first two are gone.
        for name in ["b", "c"] {
            let other = write(&directory, name, &one);
            get(&other, 13).unwrap();
        }
        std::fs::remove_file(&key).unwrap();
        let error = get(&a, 14).unwrap_err().to_string();
        assert!(error.starts_with(&format!("cannot load certificate key \"{key}\": BIO_new_file() failed")), "{error}");
        let data = (format!("data:{}", one.0), format!("data:{}", one.1));
        assert_eq!(get(&data, 14).unwrap(), first);
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
