//! The keys and values of a zone, and the file that persists them.

use crate::cidr::{Cidr, mask_v4, mask_v6};
use base::clock;
use conf::include::{Disk, Loader};
use conf::parser::Parser;
use conf::tree::SettingError;
use shm::Zone;
use shm::dict::{Dict, Refusal, Store, StoreMode, Value};
use std::fmt;
use std::fmt::Write;
use std::fs::File;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use upstream::live::{quoted, replace};

/// A longer key is none where keys are beginnings: a client must not have each length of a long text looked up.
const LONGEST_PREFIX: usize = 255;

/// How a key is found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It is the same.
    #[default]
    Text,
    /// It is a network or an address that has what is looked for in it.
    Ip,
    /// What is looked for begins so; the longest counts.
    Prefix,
}

impl Kind {
    pub(crate) fn named(name: &[u8]) -> Option<Kind> {
        [Kind::Text, Kind::Ip, Kind::Prefix].into_iter().find(|kind| kind.name().as_bytes() == name)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Text => "string",
            Kind::Ip => "ip",
            Kind::Prefix => "prefix",
        }
    }
}

/// Why a pair is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AddError {
    /// The key is no address, or too long for a beginning.
    Key,
    /// There is one, or there is none.
    When,
    /// There is no room.
    Full,
}

impl fmt::Display for AddError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            AddError::Key => "invalid key",
            AddError::When => "key already exists or does not exist",
            AddError::Full => "no room in the zone",
        })
    }
}

impl std::error::Error for AddError {}

/// A pair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pair {
    pub(crate) key: String,
    pub(crate) value: String,
    /// When it ends, milliseconds since the epoch; 0 is never.
    pub(crate) ends_ms: u64,
}

/// The pairs of a zone.
pub(crate) struct Pairs {
    dict: Dict,
    pub(crate) kind: Kind,
    /// How long pairs live that say nothing of it, milliseconds.
    pub(crate) timeout: Option<u64>,
    state: Option<PathBuf>,
}

/// Others wait with their changes while this lives.
pub(crate) struct ChangeGuard {
    _directory: Option<File>,
}

impl Pairs {
    pub(crate) fn new(zone: &Zone, kind: Kind, timeout: Option<u64>, state: Option<PathBuf>) -> Pairs {
        Pairs { dict: Dict::new(zone), kind, timeout, state }
    }

    /// Appends the value for a key; false: there is none.
    pub(crate) fn look_up(&self, key: &[u8], out: &mut Vec<u8>) -> bool {
        let now = clock::epoch_ms();
        let mut find = |key: &[u8]| matches!(self.dict.get(key, false, now, out), Ok(Some(_)));
        match self.kind {
            Kind::Text => find(key),
            Kind::Prefix => (1..=key.len().min(LONGEST_PREFIX)).rev().any(|length| key.get(..length).is_some_and(&mut find)),
            Kind::Ip => {
                let Some(ip) = std::str::from_utf8(key).ok().and_then(|text| text.parse::<IpAddr>().ok()) else { return false };
                let mut text = String::new();
                let mut find = |cidr| {
                    text.clear();
                    push_cidr(cidr, &mut text);
                    find(text.as_bytes())
                };
                match ip.to_canonical() {
                    IpAddr::V4(v4) => (0..=32).rev().any(|length| find(Cidr::V4(mask_v4(v4.to_bits(), length), length))),
                    IpAddr::V6(v6) => (0..=128).rev().any(|length| find(Cidr::V6(mask_v6(v6.to_bits(), length), length))),
                }
            }
        }
    }

    /// The key as it is stored.
    fn normal(&self, key: &str) -> Option<String> {
        match self.kind {
            Kind::Ip => {
                let mut text = String::new();
                push_cidr(Cidr::parse(key.as_bytes())?, &mut text);
                Some(text)
            }
            Kind::Prefix if key.len() > LONGEST_PREFIX => None,
            Kind::Text | Kind::Prefix => (!key.is_empty()).then(|| key.to_owned()),
        }
    }

    /// Keeps others from changing pairs, as far as there is a file that all of it goes to.
    pub(crate) fn change(&self) -> ChangeGuard {
        // Where the directory cannot be locked the file cannot be written either.
        let directory = self.state.as_ref().and_then(|path| File::open(path.parent()?).ok());
        ChangeGuard { _directory: directory.filter(|directory| directory.lock().is_ok()) }
    }

    /// Stores a pair that lives for `expire` milliseconds, or as long as the zone says.
    pub(crate) fn store(&self, key: &str, value: &str, expire: Option<u64>, when: StoreMode) -> Result<(), AddError> {
        let key = self.normal(key).ok_or(AddError::Key)?;
        let how = Store { when, safe: true, lifetime: expire.or(self.timeout).unwrap_or(0), flags: 0 };
        match self.dict.store(key.as_bytes(), Value::Text(value.as_bytes()), how, clock::epoch_ms()) {
            Ok(_) => Ok(()),
            Err((Refusal::Exists | Refusal::NotFound, _)) => Err(AddError::When),
            Err(_) => Err(AddError::Full),
        }
    }

    /// Removes a pair; false: there is none.
    pub(crate) fn remove(&self, key: &str) -> bool {
        let found = self.get(key).is_some();
        if let Some(key) = self.normal(key) {
            self.dict.delete(key.as_bytes());
        }
        found
    }

    /// Removes all pairs.
    pub(crate) fn clear(&self) {
        self.dict.flush_all();
        self.dict.flush_expired(0, clock::epoch_ms());
    }

    /// The value of exactly this key.
    pub(crate) fn get(&self, key: &str) -> Option<String> {
        let mut value = Vec::new();
        let key = self.normal(key)?;
        self.dict.get(key.as_bytes(), false, clock::epoch_ms(), &mut value).ok()??;
        Some(String::from_utf8_lossy(&value).into_owned())
    }

    /// All pairs, by their keys.
    pub(crate) fn all(&self) -> Vec<Pair> {
        let now = clock::epoch_ms();
        let keys = self.dict.keys(0, now);
        let mut keys: Vec<&[u8]> = keys.iter().collect();
        keys.sort_unstable();
        let pair = |key: &[u8]| {
            let mut value = Vec::new();
            self.dict.get(key, false, now, &mut value).ok()??;
            let left = self.dict.ttl(key, now).ok()?;
            let ends_ms = if left > 0 { now.saturating_add(left.unsigned_abs()) } else { 0 };
            let [key, value] = [key, &value].map(|text| String::from_utf8_lossy(text).into_owned());
            Some(Pair { key, value, ends_ms })
        };
        keys.into_iter().filter_map(pair).collect()
    }

    /// Writes the file, if there is one.
    pub(crate) fn save(&self, _: &ChangeGuard) -> Result<(), (PathBuf, io::Error)> {
        let Some(path) = &self.state else { return Ok(()) };
        replace(path, self.lines().as_bytes()).map_err(|error| (path.clone(), error))
    }

    /// What the file of these pairs has in it.
    pub(crate) fn lines(&self) -> String {
        let mut text = String::new();
        for pair in self.all() {
            // Writing to a string does not fail.
            let _ = match pair.ends_ms {
                0 => writeln!(text, "pair {} {};", quoted(&pair.key), quoted(&pair.value)),
                ends => writeln!(text, "pair {} {} {ends};", quoted(&pair.key), quoted(&pair.value)),
            };
        }
        text
    }

    /// Reads the file, if there is one.
    ///
    /// # Errors
    /// The line for the log.
    pub(crate) fn load(&self) -> Result<(), SettingError> {
        let Some(path) = self.state.as_ref().filter(|path| path.exists()) else { return Ok(()) };
        self.take_lines(Disk, path)
    }

    /// Stores the pairs of a file, which `loader` reads.
    pub(crate) fn take_lines(&self, loader: impl Loader, path: &Path) -> Result<(), SettingError> {
        let shown = path.display();
        let block = Parser::without_includes(loader).parse_file(path.as_os_str().as_bytes()).into_result();
        let block = block.map_err(|error| format!("{} in {shown}:{}", error.message, error.line))?;
        let now = clock::epoch_ms();
        for directive in &block.directives {
            let words: Vec<&[u8]> = directive.args.iter().map(|word| word.bytes.as_slice()).collect();
            let text = |word: &[u8]| String::from_utf8(word.to_vec()).ok();
            let (pair, ends) = match (&*directive.name.bytes, &*words) {
                (b"pair", [key, value]) => (text(key).zip(text(value)), Some(0)),
                (b"pair", [key, value, ends]) => (text(key).zip(text(value)), base::text::parse_number(ends)),
                _ => (None, None),
            };
            let ((key, value), ends) = pair.zip(ends).ok_or_else(|| format!("invalid line in {shown}:{}", directive.line))?;
            if ends != 0 && ends <= now {
                continue;
            }
            let left = if ends == 0 { None } else { Some(ends - now) };
            let stored = self.store(&key, &value, left, StoreMode::Always);
            stored.map_err(|refused| match refused {
                AddError::Full => format!("keyval zone is too small for {shown}"),
                AddError::Key | AddError::When => format!("invalid key \"{key}\" in {shown}:{}", directive.line),
            })?;
        }
        Ok(())
    }
}

/// Appends a network as text; one of a single address is that.
fn push_cidr(cidr: Cidr, out: &mut String) {
    // Writing to a string does not fail.
    let _ = match cidr {
        Cidr::V4(bits, 32) => write!(out, "{}", Ipv4Addr::from_bits(bits)),
        Cidr::V4(bits, length) => write!(out, "{}/{length}", Ipv4Addr::from_bits(bits)),
        Cidr::V6(bits, 128) => write!(out, "{}", Ipv6Addr::from_bits(bits)),
        Cidr::V6(bits, length) => write!(out, "{}/{length}", Ipv6Addr::from_bits(bits)),
        Cidr::Unix => out.write_str("unix:"),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(kind: Kind, state: Option<PathBuf>) -> Pairs {
        Pairs::new(&Zone::new("z", "keyval", shm::zone::MIN_SIZE).unwrap(), kind, None, state)
    }

    fn found(pairs: &Pairs, key: &str) -> Option<String> {
        let mut out = Vec::new();
        pairs.look_up(key.as_bytes(), &mut out).then(|| String::from_utf8(out).unwrap())
    }

    #[test]
    fn keys_of_all_kinds() {
        let text = pairs(Kind::Text, None);
        assert_eq!(text.store("a", "1", None, StoreMode::Absent), Ok(()));
        assert_eq!(text.store("a", "2", None, StoreMode::Absent), Err(AddError::When));
        assert_eq!(text.store("b", "2", None, StoreMode::Present), Err(AddError::When));
        assert_eq!((found(&text, "a").as_deref(), found(&text, "ab"), found(&text, "")), (Some("1"), None, None));
        let ip = pairs(Kind::Ip, None);
        for (key, value) in
            [("10.0.0.0/8", "net"), ("10.1.1.1/16", "inner"), ("10.1.0.7", "one"), ("2001:db8::/32", "six"), ("0.0.0.0/0", "all")]
        {
            assert_eq!(ip.store(key, value, None, StoreMode::Absent), Ok(()), "{key}");
        }
        assert_eq!(ip.store("x", "", None, StoreMode::Absent), Err(AddError::Key));
        for (key, value) in [
            ("10.9.9.9", "net"),
            ("10.1.2.3", "inner"),
            ("10.1.0.7", "one"),
            ("::ffff:10.1.0.7", "one"),
            ("2001:db8::1", "six"),
            ("1.1.1.1", "all"),
        ] {
            assert_eq!(found(&ip, key).as_deref(), Some(value), "{key}");
        }
        assert_eq!((found(&ip, "::1"), found(&ip, "x")), (None, None));
        let prefix = pairs(Kind::Prefix, None);
        for (key, value) in [("/a", "1"), ("/a/b", "2")] {
            prefix.store(key, value, None, StoreMode::Always).unwrap();
        }
        let expected = [Some("1"), Some("1"), Some("2"), None].map(|text| text.map(str::to_owned));
        assert_eq!(["/a", "/a/c", "/a/bc", "/"].map(|key| found(&prefix, key)), expected);
        let long = "p".repeat(LONGEST_PREFIX);
        assert_eq!(prefix.store(&long, "3", None, StoreMode::Always), Ok(()));
        assert_eq!(prefix.store(&format!("{long}p"), "4", None, StoreMode::Always), Err(AddError::Key));
        assert_eq!(found(&prefix, &long.repeat(9)).as_deref(), Some("3"));
    }

    #[test]
    fn a_file_keeps_them() {
        let directory = std::env::temp_dir().join(format!("lunette-keyval-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let state = Some(directory.join("state"));
        let first = pairs(Kind::Text, state.clone());
        let odd = "a \"b\" \\ {;}\n$x #";
        first.store("include", odd, None, StoreMode::Always).unwrap();
        first.store(odd, "2", Some(3_600_000), StoreMode::Always).unwrap();
        let changing = first.change();
        first.save(&changing).unwrap();
        drop(changing);
        let second = pairs(Kind::Text, state);
        second.load().unwrap();
        assert_eq!((second.get("include").as_deref(), second.get(odd).as_deref()), (Some(odd), Some("2")));
        let ends: Vec<bool> = second.all().iter().map(|pair| pair.ends_ms > 0).collect();
        assert_eq!(ends, [true, false]);
        assert!(second.remove("include") && !second.remove("include"));
        second.clear();
        assert_eq!(second.all(), []);
        let file = directory.join("state");
        std::fs::write(directory.join("other"), "pair a 1;").unwrap();
        let other = directory.join("other").display().to_string();
        for text in ["pair a;", "pair a 1 soon;", "other a 1;", "pair a 1;\npair", &format!("include {other};")] {
            std::fs::write(&file, text).unwrap();
            assert!(second.load().unwrap_err().to_string().contains(&format!(" in {}:", file.display())), "{text:?}");
        }
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
