//! Small responses that a worker keeps in its own memory while their version in the index is unchanged.

use crate::caching::stored::Stored;
use cache::Digest;
use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

/// The largest body that is kept, bytes.
pub const LARGEST: u64 = 64 * 1024;
/// Bytes that all of them may have.
const ROOM: usize = 32 << 20;

struct CachedHead {
    version: u64,
    stored: Rc<Stored>,
    used: bool,
}

/// The responses of one worker, of all caches.
#[derive(Default)]
pub struct Memory {
    inner: RefCell<Inner>,
}

/// Which cache, and which answer.
type Name = (u64, Digest);

#[derive(Default)]
struct Inner {
    heads: HashMap<Name, CachedHead>,
    order: VecDeque<Name>,
    size: usize,
}

impl Memory {
    /// The response, if it is of this version.
    #[must_use]
    pub fn get(&self, name: &Name, version: u64) -> Option<Rc<Stored>> {
        let mut inner = self.inner.borrow_mut();
        let kept = inner.heads.get_mut(name)?;
        if kept.version != version {
            return None;
        }
        kept.used = true;
        Some(kept.stored.clone())
    }

    /// Keeps a response; others go for it, those first that were not used since they were looked at.
    pub fn put(&self, name: Name, version: u64, stored: &Rc<Stored>) {
        let mut inner = self.inner.borrow_mut();
        inner.size += stored.size();
        let old = inner.heads.insert(name, CachedHead { version, stored: stored.clone(), used: false });
        match old {
            Some(old) => inner.size = inner.size.saturating_sub(old.stored.size()),
            None => inner.order.push_back(name),
        }
        while inner.size > ROOM {
            let Some(oldest) = inner.order.pop_front() else { return };
            match inner.heads.get_mut(&oldest) {
                Some(kept) if kept.used => {
                    kept.used = false;
                    inner.order.push_back(oldest);
                }
                _ => {
                    let gone = inner.heads.remove(&oldest).map_or(0, |kept| kept.stored.size());
                    inner.size = inner.size.saturating_sub(gone);
                }
            }
        }
    }
}
