//! The state of one request.

use std::cell::{Cell, RefCell};

/// A request that `srcache_*` looks at.
#[derive(Default)]
pub(crate) struct State {
    /// The subrequest that fetches was made.
    pub(crate) fetched: Cell<bool>,
    /// The response comes from there.
    pub(crate) from_cache: Cell<bool>,
    /// The client does not want the response to be kept.
    pub(crate) unwanted: Cell<bool>,
    /// The response is copied.
    pub(crate) storing: Cell<bool>,
    /// Seconds that it lives.
    pub(crate) expire: Cell<i64>,
    /// Head and body so far.
    pub(crate) text: RefCell<Vec<u8>>,
    /// Bytes of the head.
    pub(crate) head: Cell<usize>,
}

impl State {
    /// `$srcache_fetch_status`
    pub(crate) fn fetch_status(&self) -> &'static str {
        match (self.from_cache.get(), self.fetched.get()) {
            (true, _) => "HIT",
            (false, true) => "MISS",
            (false, false) => "BYPASS",
        }
    }

    /// Whether the response is stored.
    pub(crate) fn stores(&self) -> bool {
        self.storing.get()
    }

    /// `$srcache_expire`
    pub(crate) fn expire(&self) -> Option<i64> {
        self.storing.get().then(|| self.expire.get())
    }

    /// The response is not stored after all.
    pub(crate) fn abandon(&self) {
        self.storing.set(false);
        self.text.take();
    }
}
