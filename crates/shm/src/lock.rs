//! A lock between processes that survives its holder.
//!
//! The lock word holds the id of the holding process and when that was started. Who waits in vain looks whether it still
//! lives, and takes the lock over if it does not. Exclusion rests on compare-and-swap alone, so threads of one process exclude
//! each other too; the word's content serves only that test.

use std::hint::spin_loop;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::yield_now;

/// What this process writes into lock words; 0 until it is asked for.
static OWN: AtomicU64 = AtomicU64::new(0);

const ID: u64 = 0xffff_ffff;

#[inline]
fn pid_word() -> u64 {
    match OWN.load(Ordering::Relaxed) {
        0 => after_fork(),
        own => own,
    }
}

/// Must be called by a forked child: locks that it takes are held in its own name from then on.
#[cold]
pub fn after_fork() -> u64 {
    let id = sys::process::id();
    let started = sys::process::start_time(id).map_or(0, |(ticks, _)| ticks);
    let own = u64::from(id.unsigned_abs()) | (started << 32);
    OWN.store(own, Ordering::Relaxed);
    own
}

/// Spins before the processor is given away; a critical section takes well under a microsecond.
const SPINS: u32 = 1024;
/// Rounds of giving the processor away between looks at the holder. On a busy machine one may take some milliseconds.
const ROUNDS: u32 = 4;

/// Takes the lock, waiting for it; true if it was taken from a dead process.
#[inline]
pub fn acquire(word: &AtomicU64) -> bool {
    let own = pid_word();
    !try_acquire(word, own) && wait(word, own)
}

#[inline]
fn try_acquire(word: &AtomicU64, own: u64) -> bool {
    word.compare_exchange(0, own, Ordering::Acquire, Ordering::Relaxed).is_ok()
}

#[cold]
fn wait(word: &AtomicU64, own: u64) -> bool {
    let mut robbed = false;
    loop {
        robbed |= spin(word);
        if try_acquire(word, own) {
            return robbed;
        }
    }
}

/// Waits until the lock seems free, or for a while; true if its holder was dead and it was freed.
fn spin(word: &AtomicU64) -> bool {
    for _ in 0..SPINS {
        if word.load(Ordering::Relaxed) == 0 {
            return false;
        }
        spin_loop();
    }
    for _ in 0..ROUNDS {
        if word.load(Ordering::Relaxed) == 0 {
            return false;
        }
        yield_now();
    }
    let holder = word.load(Ordering::Relaxed);
    holder != 0 && !is_alive(holder) && word.compare_exchange(holder, 0, Ordering::AcqRel, Ordering::Relaxed).is_ok()
}

/// Whether the process that wrote `holder` still runs. One that has ended but was not reaped yet runs no more, and a process that
/// got its id was started later.
fn is_alive(holder: u64) -> bool {
    let Ok(id) = i32::try_from(holder & ID) else { return false };
    // EPERM means that it lives but belongs to somebody else.
    if matches!(sys::process::kill(id, 0), Err(error) if error.raw_os_error() == Some(nix::errno::Errno::ESRCH as i32)) {
        return false;
    }
    match sys::process::start_time(id) {
        Some((started, ended)) => !ended && (holder >> 32 == 0 || holder >> 32 == started & ID),
        None => true,
    }
}

/// Releases the lock, which this process holds.
#[inline]
pub fn release(word: &AtomicU64) {
    word.store(0, Ordering::Release);
}

/// Frees a lock that process `dead` died with; nothing happens if another process holds it.
pub fn force(word: &AtomicU64, dead: i32) -> bool {
    let holder = word.load(Ordering::Relaxed);
    holder & ID == u64::from(dead.unsigned_abs()) && word.compare_exchange(holder, 0, Ordering::AcqRel, Ordering::Relaxed).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn excludes() {
        let word = AtomicU64::new(0);
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
        let id = child.id();
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while !sys::process::start_time(id as i32).is_some_and(|(_, ended)| ended) {
            assert!(std::time::Instant::now() < deadline);
            yield_now();
        }
        // Nobody has waited for it, so its id is still taken.
        let word = AtomicU64::new(u64::from(id));
        assert!(acquire(&word));
        assert_eq!(word.load(Ordering::Relaxed), pid_word());
        release(&word);
        assert!(!acquire(&word));
        child.wait().unwrap();
        word.store(u64::from(id), Ordering::Relaxed);
        assert!(acquire(&word) && !force(&word, id as i32) && force(&word, sys::process::id()));
    }

    #[test]
    fn a_process_with_the_same_id_is_another() {
        let word = AtomicU64::new(pid_word() ^ (1 << 40));
        assert!(acquire(&word));
        assert!(is_alive(pid_word()) && is_alive(pid_word() & ID));
    }
}
