//! Exact strings and host names with wildcards, matched as nginx's combined hash does.

use foldhash::HashMap;

/// Why a key cannot be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AddError {
    /// Not a host name, or a wildcard in the wrong place.
    Invalid,
    /// It is there already.
    Conflict,
}

/// Values by key. Keys compare without case.
pub(crate) struct Table<T> {
    exact: HashMap<Box<[u8]>, T>,
    /// `*.example.com` under `example.com`.
    leading: HashMap<Box<[u8]>, T>,
    /// `www.example.*` under `www.example`.
    trailing: HashMap<Box<[u8]>, T>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Table { exact: HashMap::default(), leading: HashMap::default(), trailing: HashMap::default() }
    }
}

fn insert<T>(map: &mut HashMap<Box<[u8]>, T>, key: &[u8], value: T) -> Result<(), AddError> {
    match map.insert(key.to_ascii_lowercase().into(), value) {
        None => Ok(()),
        Some(_) => Err(AddError::Conflict),
    }
}

impl<T> Table<T> {
    /// Adds an exact key.
    pub(crate) fn add(&mut self, key: &[u8], value: T) -> Result<(), AddError> {
        insert(&mut self.exact, key, value)
    }

    /// Whether there is no key.
    pub(crate) fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.leading.is_empty() && self.trailing.is_empty()
    }

    /// The value for a lower-case key: exact, then the longest `*.x`, then the longest `x.*`.
    pub(crate) fn find(&self, key: &[u8]) -> Option<&T> {
        self.exact.get(key).or_else(|| self.find_leading(key)).or_else(|| self.find_trailing(key))
    }

    fn find_leading(&self, key: &[u8]) -> Option<&T> {
        if self.leading.is_empty() {
            return None;
        }
        memchr::memchr_iter(b'.', key).filter(|at| *at > 0).find_map(|at| self.leading.get(key.get(at + 1..)?))
    }

    fn find_trailing(&self, key: &[u8]) -> Option<&T> {
        if self.trailing.is_empty() {
            return None;
        }
        memchr::memrchr_iter(b'.', key).filter(|at| at + 1 < key.len()).find_map(|at| self.trailing.get(key.get(..at)?))
    }
}

impl<T: Clone> Table<T> {
    /// Adds a host name, which may be `.x` (both `x` and `*.x`), `*.x` or `x.*`.
    pub(crate) fn add_host(&mut self, key: &[u8], value: T) -> Result<(), AddError> {
        let stars = key.iter().filter(|b| **b == b'*').count();
        if stars > 1 || key.windows(2).any(|pair| pair == b"..") || key.contains(&0) {
            return Err(AddError::Invalid);
        }
        if let Some(host) = key.strip_prefix(b".").filter(|host| !host.is_empty() && stars == 0) {
            insert(&mut self.exact, host, value.clone())?;
            return insert(&mut self.leading, host, value);
        }
        if let Some(host) = key.strip_prefix(b"*.").filter(|host| !host.is_empty()) {
            return insert(&mut self.leading, host, value);
        }
        if let Some(host) = key.strip_suffix(b".*").filter(|host| !host.is_empty()) {
            return insert(&mut self.trailing, host, value);
        }
        if stars > 0 {
            return Err(AddError::Invalid);
        }
        self.add(key, value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_with_wildcards() {
        let mut table = Table::default();
        for (i, key) in [".example.com", "*.a.example.com", "www.Example.*", "plain"].iter().enumerate() {
            table.add_host(key.as_bytes(), i).unwrap();
        }
        let find = |key: &str| table.find(key.as_bytes()).copied();
        assert_eq!(find("example.com"), Some(0));
        assert_eq!(find("x.y.example.com"), Some(0));
        assert_eq!(find("x.a.example.com"), Some(1));
        assert_eq!(find("a.example.com"), Some(0));
        assert_eq!(find("www.example.org"), Some(2));
        assert_eq!(find("www.example"), None);
        assert_eq!(find("plain"), Some(3));
        assert_eq!(find(""), None);
    }

    #[test]
    fn keys_that_are_refused() {
        let mut table = Table::default();
        assert_eq!(table.add_host(b"a.*.b", 0), Err(AddError::Invalid));
        assert_eq!(table.add_host(b"a..b", 0), Err(AddError::Invalid));
        assert_eq!(table.add_host(b"*.*", 0), Err(AddError::Invalid));
        assert_eq!(table.add(b"x", 0), Ok(()));
        assert_eq!(table.add(b"X", 0), Err(AddError::Conflict));
    }
}
