//! Who looks after a cache: one process of all that have it.

use crate::cells::{Cells, own};
use shm::lock;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};

impl Cells {
    /// Gives the lease back, if this process has it.
    pub fn release_lease(&self) {
        // Another's stays.
        let _ = self.word(0, own::LEASE).compare_exchange(lock::after_fork(), 0, AcqRel, Relaxed);
    }

    /// Takes the lease, or keeps it.
    pub fn lease(&self) -> bool {
        let word = self.word(0, own::LEASE);
        let own = lock::after_fork();
        let holder = word.load(Acquire);
        if holder == own {
            return true;
        }
        let alive = holder != 0 && {
            let id = i32::try_from(holder & 0xffff_ffff).unwrap_or(0);
            sys::process::birth(id).is_some_and(|(ticks, ended)| !ended && (ticks << 32) == holder & !0xffff_ffff)
        };
        !alive && word.compare_exchange(holder, own, AcqRel, Relaxed).is_ok()
    }
}
