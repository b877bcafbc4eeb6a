//! Failure injection: tests let a process die at its n-th step inside a dictionary's locks.

/// One step is done next.
#[cfg(not(test))]
#[inline(always)]
pub(super) fn step() {}

#[cfg(test)]
pub(super) use armed::{arm, step};

#[cfg(test)]
mod armed {
    use std::cell::Cell;

    thread_local!(static LEFT: Cell<u64> = const { Cell::new(0) });

    /// The process ends before step `n` from now on, by this thread's count, with all locks held; 0: never.
    pub(in crate::dict) fn arm(n: u64) {
        LEFT.set(n);
    }

    pub(in crate::dict) fn step() {
        match LEFT.get() {
            0 => {}
            1 => sys::process::exit_now(9),
            left => LEFT.set(left - 1),
        }
    }
}
