//! `*_cache_path`: where a cache's files are, and the zone of its keys.

use crate::caching::store::{BatchLimits, Caches, OWNER, Store};
use crate::limits::default::PAGE;
use base::saturated::Saturated;
use base::serial;
use base::text::{parse_number, parse_size, parse_time_ms, parse_time_sec};
use cache::purges::Purges;
use cache::{FileStore, Index, Policy};
use conf::row::Cx;
use conf::tree::Error;
use http::cache_report::{CACHES, CacheReports};
use http::purge_registry::Purgeables;
use http::root::MainContext;
use session::directories::{Directories, Layout};
use shm::{ClaimError, Zone, Zones};
use std::path::Path;
use std::rc::Rc;

/// What the parameters say.
struct CachePathParameters {
    levels: [u8; 3],
    use_temp_path: bool,
    zone: Option<(String, usize)>,
    inactive: i64,
    max_size: u64,
    min_free: u64,
    loader: BatchLimits,
    manager: BatchLimits,
    policy: Policy,
}

impl Default for CachePathParameters {
    fn default() -> CachePathParameters {
        let portion = BatchLimits { files: 100, sleep: 50, threshold: 200 };
        CachePathParameters {
            levels: [0; 3],
            use_temp_path: true,
            zone: None,
            inactive: 600,
            max_size: 0,
            min_free: 0,
            loader: portion,
            manager: portion,
            policy: Policy::default(),
        }
    }
}

/// Reads the directive and makes the cache.
///
/// # Errors
/// nginx's for what is wrong.
pub fn set(cx: &mut Cx<'_>) -> Result<(), Error> {
    let mut draft = CachePathParameters::default();
    for i in 1..cx.args().len() {
        parameter(cx, i, &mut draft)?;
    }
    let Some((name, size)) = draft.zone.take() else {
        return Err(cx.error(format!("\"{}\" must have \"keys_zone\" parameter", cx.name())));
    };
    let given = cx.arg(0);
    let root = cx.global::<MainContext>().paths.resolve(given.strip_suffix(b"/").unwrap_or(given));
    let place = cx.main::<Caches>().named(&name);
    if place.store.get().is_some() {
        return Err(cx.error(format!("duplicate zone \"{name}\"")));
    }
    let zone = claim(cx, &name, size, &root)?;
    let at = cx.place();
    cx.global::<Directories>().claim(&root, Layout::Cache, Some(at)).map_err(|text| cx.error(text))?;
    let meter = cx.global::<Zones>().meters.claim(&CACHES, &name);
    let meter = meter.map_err(|error| cx.error(ClaimError::Map(name.clone(), error).to_string()))?;
    let store = Store {
        number: serial::next(),
        meter,
        files: FileStore { root, levels: draft.levels },
        index: Index::new(zone, draft.policy, draft.max_size.div_ceil(512)),
        purges: Purges::default(),
        use_temp_path: draft.use_temp_path,
        inactive: draft.inactive,
        min_free: draft.min_free,
        loader: draft.loader,
        manager: draft.manager,
    };
    let store = Rc::new(store);
    cx.main::<Purgeables>().add(&name, store.clone());
    cx.main::<CacheReports>().add(store.clone());
    // The place was empty a moment ago.
    let _ = place.store.set(store);
    Ok(())
}

/// The zone of the keys. Those of another directory would be wrong ones.
fn claim(cx: &Cx<'_>, name: &str, size: usize, root: &Path) -> Result<Rc<Zone>, Error> {
    let zone = match cx.global::<Zones>().claim(name, OWNER, size) {
        Ok(zone) => zone,
        Err(ClaimError::Bound(_)) => return Err(cx.error(format!("duplicate zone \"{name}\""))),
        Err(error) => return Err(cx.error(error.to_string())),
    };
    let mut note = zone.note.borrow_mut();
    let text = root.as_os_str().as_encoded_bytes();
    if note.is_empty() {
        note.extend_from_slice(text);
    } else if **note != *text {
        let old = String::from_utf8_lossy(&note);
        let new = root.display();
        return Err(cx.error(format!("cache \"{name}\" uses the \"{new}\" cache path while previously it used the \"{old}\" cache path")));
    }
    drop(note);
    Ok(zone)
}

// tidy: table
fn parameter(cx: &Cx<'_>, i: usize, draft: &mut CachePathParameters) -> Result<(), Error> {
    let arg = cx.arg(i);
    let (name, value) = match memchr::memchr(b'=', arg) {
        Some(at) => arg.split_at_checked(at + 1).unwrap_or((arg, b"")),
        None => (arg, &b""[..]),
    };
    let shown = String::from_utf8_lossy(value);
    let invalid = |what: &str| cx.error_at(i, format!("invalid {what} \"{shown}\""));
    let number = |what: &str| parse_number(value).ok_or_else(|| invalid(what));
    let time = |what: &str| parse_time_ms(value).ok_or_else(|| invalid(what));
    match name {
        b"levels=" => draft.levels = levels(value).ok_or_else(|| cx.error_at(i, format!("invalid \"levels\" \"{}\"", cx.text(i))))?,
        b"use_temp_path=" => {
            draft.use_temp_path = match value {
                b"on" => true,
                b"off" => false,
                _ => return Err(cx.error_at(i, format!("invalid use_temp_path value \"{}\", it must be \"on\" or \"off\"", cx.text(i)))),
            }
        }
        b"keys_zone=" => {
            let (name, size) = zone(value).ok_or_else(|| cx.error_at(i, format!("invalid keys zone size \"{}\"", cx.text(i))))?;
            if size < 2 * usize::saturated(PAGE) {
                return Err(cx.error_at(i, format!("keys zone \"{}\" is too small", cx.text(i))));
            }
            draft.zone = Some((name, size.max(shm::zone::MIN_SIZE)));
        }
        b"inactive=" => {
            let seconds = parse_time_sec(value).and_then(|n| i64::try_from(n).ok());
            draft.inactive = seconds.ok_or_else(|| invalid("inactive value"))?;
        }
        b"max_size=" => draft.max_size = parse_size(value, true).ok_or_else(|| invalid("max_size value"))?,
        b"min_free=" => draft.min_free = parse_size(value, true).ok_or_else(|| invalid("min_free value"))?,
        b"loader_files=" => draft.loader.files = number("loader_files value")?,
        b"loader_sleep=" => draft.loader.sleep = time("loader_sleep value")?,
        b"loader_threshold=" => draft.loader.threshold = time("loader_threshold value")?,
        b"manager_files=" => draft.manager.files = number("manager_files value")?,
        b"manager_sleep=" => draft.manager.sleep = time("manager_sleep value")?,
        b"manager_threshold=" => draft.manager.threshold = time("manager_threshold value")?,
        b"policy=" => {
            draft.policy = match value {
                b"s3fifo" => Policy::S3Fifo,
                b"lru" => Policy::Lru,
                _ => return Err(invalid("policy")),
            }
        }
        _ => return Err(cx.invalid_parameter(i)),
    }
    Ok(())
}

/// `1:2:2`: up to three levels of one or two digits.
fn levels(text: &[u8]) -> Option<[u8; 3]> {
    let mut levels = [0; 3];
    let mut parts = text.split(|b| *b == b':');
    for level in &mut levels {
        match parts.next() {
            None => break,
            Some(b"1") => *level = 1,
            Some(b"2") => *level = 2,
            Some(_) => return None,
        }
    }
    (parts.next().is_none() && levels[0] > 0).then_some(levels)
}

/// `NAME:SIZE`
fn zone(text: &[u8]) -> Option<(String, usize)> {
    let at = memchr::memchr(b':', text).filter(|at| *at > 0)?;
    let size = usize::try_from(parse_size(text.get(at + 1..)?, false)?).ok()?;
    Some((String::from_utf8_lossy(text.get(..at).unwrap_or_default()).into_owned(), size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_ones_and_twos() {
        assert_eq!(levels(b"1:2"), Some([1, 2, 0]));
        assert_eq!(levels(b"2:2:1"), Some([2, 2, 1]));
        for wrong in ["", "3", "1:", "1:2:2:1", "1::2", "12"] {
            assert_eq!(levels(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn a_zone_is_a_name_and_a_size() {
        assert_eq!(zone(b"one:1m"), Some(("one".to_owned(), 1 << 20)));
        assert_eq!(zone(b"one:8k"), Some(("one".to_owned(), 8192)));
        for wrong in ["one", ":1m", "one:", "one:1x"] {
            assert_eq!(zone(wrong.as_bytes()), None, "{wrong}");
        }
    }
}
