//! A lease on work that only one process does: its holder keeps it until it releases it, exits or dies.

use crate::lock;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};

/// Takes the lease of a word of shared memory, or keeps it.
pub fn take(word: &AtomicU64) -> bool {
    let own = lock::after_fork();
    let holder = word.load(Acquire);
    if holder == own {
        return true;
    }
    !is_alive(holder) && word.compare_exchange(holder, own, AcqRel, Relaxed).is_ok()
}

/// Gives the lease back, if this process has it.
pub fn release(word: &AtomicU64) {
    // Another's stays.
    let _ = word.compare_exchange(lock::after_fork(), 0, AcqRel, Relaxed);
}

/// Whether the process that holds a lease runs: one that got its number was started at another time.
fn is_alive(holder: u64) -> bool {
    let id = i32::try_from(holder & 0xffff_ffff).unwrap_or(0);
    holder != 0 && sys::process::start_time(id).is_some_and(|(ticks, ended)| !ended && (ticks << 32) == holder & !0xffff_ffff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_one_process_s_and_passes_on_when_that_is_gone() {
        let word = AtomicU64::new(0);
        assert!(take(&word) && take(&word));
        let own = word.load(Relaxed);
        // The same number, another time of birth.
        word.store(own ^ (1 << 40), Relaxed);
        assert!(take(&word));
        let other = sys::process::parent_id();
        let (ticks, _) = sys::process::start_time(other).unwrap_or_default();
        word.store(u64::from(other.unsigned_abs()) | (ticks << 32), Relaxed);
        assert!(!take(&word));
        release(&word);
        assert!(!take(&word));
        word.store(own, Relaxed);
        release(&word);
        assert_eq!(word.load(Relaxed), 0);
    }
}
