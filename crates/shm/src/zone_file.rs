//! The header of a zone's file: a new binary adopts a zone only if it would have written the same header.

use std::io;
use std::os::fd::OwnedFd;

use sys::shared::PREFACE;

/// How zones and what this crate keeps in them are laid out. It changes with them: a test shows when that is.
const LAYOUT: u32 = 2;

/// The first bytes.
const MAGIC: &[u8; 8] = b"lunette\n";

/// Magic, three numbers of four bytes, one of eight; behind them owner and name.
const FIXED: usize = MAGIC.len() + 3 * 4 + 8;

/// Says in the file what is in it.
pub(crate) fn describe(file: &OwnedFd, name: &str, owner: &str, format: u32, size: usize) -> io::Result<()> {
    let size = u64::try_from(size).map_err(io::Error::other)?;
    let length = u32::try_from(owner.len()).map_err(io::Error::other)?;
    let mut text = MAGIC.to_vec();
    for number in [LAYOUT, format, length] {
        text.extend(number.to_le_bytes());
    }
    text.extend(size.to_le_bytes());
    text.extend([owner, name].concat().bytes());
    // A byte behind it ends the name.
    if text.len() >= PREFACE {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    sys::descriptor::write_at(file, &text, 0)
}

/// Name and size of a zone that was made for `owner` with this `format`.
pub(crate) fn read(file: &OwnedFd, owner: &str, format: u32) -> io::Result<(Box<str>, usize)> {
    let mut text = Vec::new();
    sys::descriptor::read_at(file, &mut text, 0, PREFACE)?;
    parse(&text, owner, format).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

fn parse(text: &[u8], owner: &str, format: u32) -> Option<(Box<str>, usize)> {
    let (fixed, text) = text.split_at_checked(FIXED)?;
    let (numbers, size) = fixed.strip_prefix(MAGIC)?.split_last_chunk()?;
    let (numbers, _) = numbers.as_chunks();
    let expected = [LAYOUT, format, u32::try_from(owner.len()).ok()?];
    if !numbers.iter().map(|number| u32::from_le_bytes(*number)).eq(expected) {
        return None;
    }
    let name = text.strip_prefix(owner.as_bytes())?.split(|byte| *byte == 0).next()?;
    Some((std::str::from_utf8(name).ok()?.into(), usize::try_from(u64::from_le_bytes(*size)).ok()?))
}

#[cfg(test)]
mod tests {
    use crate::dict::{Dict, FIXED, Store, StoreMode, Value};
    use crate::zone::{MIN_SIZE, Zone};
    use std::os::fd::OwnedFd;
    use std::sync::Arc;
    use std::sync::atomic::Ordering::Relaxed;

    const OWNER: &str = "test";

    fn store(zone: &Zone, key: &str, value: &[u8]) {
        let how = Store { when: StoreMode::Always, safe: false, lifetime: 0, flags: 0 };
        Dict::new(zone).store(key.as_bytes(), Value::Text(value), how, 1_000).unwrap();
    }

    fn passed_on(zone: &Zone) -> Arc<OwnedFd> {
        zone.file().unwrap().clone()
    }

    #[test]
    fn who_expects_it_gets_the_zone_with_what_is_in_it() {
        let zone = Zone::persistent("sessions", OWNER, 3, MIN_SIZE).unwrap();
        store(&zone, "a", b"first");
        let again = Zone::inherited(passed_on(&zone), OWNER, 3).unwrap();
        assert_eq!((again.name(), again.owner(), again.size()), ("sessions", OWNER, MIN_SIZE));
        store(&again, "b", b"second");
        for zone in [&zone, &again, &Zone::inherited(passed_on(&again), OWNER, 3).unwrap()] {
            let found = ["a", "b"].map(|key| {
                let mut value = Vec::new();
                Dict::new(zone).get(key.as_bytes(), false, 1_000, &mut value).unwrap();
                value
            });
            assert_eq!(found, [b"first".to_vec(), b"second".to_vec()]);
        }
    }

    #[test]
    fn what_is_something_else_is_not_taken() {
        let zone = Zone::persistent("sessions", OWNER, 3, MIN_SIZE).unwrap();
        assert!(Zone::inherited(passed_on(&zone), "tests", 3).is_err());
        assert!(Zone::inherited(passed_on(&zone), OWNER, 4).is_err());
        let before = |place: u64, byte: u8| {
            let changed = Zone::persistent("sessions", OWNER, 3, MIN_SIZE).unwrap();
            let file = passed_on(&changed);
            sys::descriptor::write_at(&file, &[byte], place).unwrap();
            Zone::inherited(file, OWNER, 3)
        };
        // Magic, layout, format, owner's length, size, owner.
        for place in [0, 8, 12, 16, 20, 28] {
            assert!(before(place, 0x7f).is_err(), "{place}");
        }
        assert_eq!(before(32, b'S').unwrap().name(), "Sessions");
        assert!(Zone::inherited(Arc::new(std::fs::File::open("/dev/null").unwrap().into()), OWNER, 3).is_err());
        let long = "n".repeat(sys::shared::PREFACE);
        let zone = Zone::persistent(&long, OWNER, 3, MIN_SIZE).unwrap();
        assert!(zone.file().is_none());
        store(&zone, "a", b"served all the same");
    }

    fn seeded() -> Zone {
        let zone = Zone::persistent("sessions", OWNER, 3, 4 << 20).unwrap();
        zone.memory().atomic_u64(32).unwrap().store(5, Relaxed);
        zone
    }

    fn sum(zone: &Zone) -> u64 {
        let mut bytes = Vec::new();
        assert!(zone.memory().append_to(0, zone.size(), &mut bytes));
        bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum: u64, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
    }

    /// A change of the zones' layout must change `LAYOUT`, and then these sums.
    #[test]
    fn the_layout_is_the_one_that_the_number_stands_for() {
        let (dict, slab) = (seeded(), seeded());
        FIXED.set(Some(9));
        for number in 0..1_000 {
            store(&dict, &format!("key {number}"), format!("{number}").repeat(number % 90).as_bytes());
        }
        let guard = slab.lock();
        for number in 0..100 {
            let place = guard.allocate(10 * (number + 1)).unwrap();
            guard.set_root(number % 16, place as u64);
        }
        drop(guard);
        assert_eq!((super::LAYOUT, sum(&dict), sum(&slab)), (2, 10_017_252_561_188_920_196, 3_560_790_396_342_920_420));
    }
}
