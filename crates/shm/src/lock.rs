//! A lock between processes that survives its holder.
//!
//! The lock word holds the process id of the holder. Who waits in vain looks whether that process still lives, and
//! takes the lock over if it does not. Exclusion rests on compare-and-swap alone; the id serves only that test.

use std::cell::Cell;
use std::hint::spin_loop;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::yield_now;

thread_local!(static OWN: Cell<u32> = const { Cell::new(0) });

/// This process's id, asked for once.
fn own() -> u32 {
    if OWN.get() == 0 {
        OWN.set(sys::process::id().unsigned_abs());
    }
    OWN.get()
}

/// Must be called by a forked child: locks that it takes are held in its own name from then on.
pub fn after_fork() {
    OWN.set(sys::process::id().unsigned_abs());
}

/// Spins before the processor is given away; a critical section takes well under a microsecond.
const SPINS: u32 = 1024;
/// Rounds of giving the processor away between looks at the holder.
const ROUNDS: u32 = 64;

/// Takes the lock, waiting for it.
pub fn acquire(word: &AtomicU32) {
    let own = own();
    while !try_acquire(word, own) {
        wait(word);
    }
}

#[inline]
fn try_acquire(word: &AtomicU32, own: u32) -> bool {
    word.compare_exchange(0, own, Ordering::Acquire, Ordering::Relaxed).is_ok()
}

#[cold]
fn wait(word: &AtomicU32) {
    for _ in 0..SPINS {
        if word.load(Ordering::Relaxed) == 0 {
            return;
        }
        spin_loop();
    }
    for _ in 0..ROUNDS {
        if word.load(Ordering::Relaxed) == 0 {
            return;
        }
        yield_now();
    }
    let holder = word.load(Ordering::Relaxed);
    if holder != 0 && !lives(holder) {
        force(word, holder);
    }
}

fn lives(process: u32) -> bool {
    match i32::try_from(process) {
        // EPERM means that it lives but belongs to somebody else.
        Ok(id) => !matches!(sys::process::kill(id, 0), Err(error) if error.raw_os_error() == Some(nix::errno::Errno::ESRCH as i32)),
        Err(_) => false,
    }
}

/// Gives the lock back.
#[inline]
pub fn release(word: &AtomicU32) {
    word.store(0, Ordering::Release);
}

/// Frees a lock that `holder` died with; nothing happens if somebody else holds it by now.
pub fn force(word: &AtomicU32, holder: u32) -> bool {
    word.compare_exchange(holder, 0, Ordering::AcqRel, Ordering::Relaxed).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU64;

    #[test]
    fn excludes() {
        let word = AtomicU32::new(0);
        // Separate load and store: without exclusion increments get lost.
        let counter = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..5000 {
                        acquire(&word);
                        let value = counter.load(Ordering::Relaxed);
                        counter.store(value + 1, Ordering::Relaxed);
                        release(&word);
                    }
                });
            }
        });
        assert_eq!(counter.load(Ordering::Relaxed), 20_000);
    }

    #[test]
    fn a_dead_holder_loses_it() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let dead = child.id();
        child.wait().unwrap();
        let word = AtomicU32::new(dead);
        acquire(&word);
        assert_eq!(word.load(Ordering::Relaxed), own());
        assert!(!force(&word, dead));
    }
}
