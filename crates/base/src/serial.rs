//! Numbers that are given out once, to tell by what an address cannot: that of something that is gone may be another's.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number that nothing else in this process has. It is never 0.
#[must_use]
pub fn next() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    LAST.fetch_add(1, Ordering::Relaxed) + 1
}

#[cfg(test)]
mod tests {
    #[test]
    fn no_number_comes_twice() {
        let mut numbers: Vec<u64> = (0..100).map(|_| super::next()).collect();
        numbers.dedup();
        assert!(numbers.len() == 100 && numbers.is_sorted() && !numbers.contains(&0));
    }
}
