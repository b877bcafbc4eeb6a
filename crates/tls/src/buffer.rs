//! The buffers that one worker uses for all of its sessions.

/// Sealed records on their way to a socket. What was allocated once is kept and never cleared again: sealing into a
/// fresh slice would cost its zeroing.
#[derive(Debug, Default)]
pub struct Records {
    /// Initialised to its whole length; the records stand in `start..end`.
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl Records {
    /// No records and no memory yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What is still to be sent.
    #[must_use]
    pub fn pending(&self) -> &[u8] {
        self.bytes.get(self.start..self.end).unwrap_or_default()
    }

    /// What is still to be sent, to be changed.
    pub(crate) fn pending_mut(&mut self) -> &mut [u8] {
        self.bytes.get_mut(self.start..self.end).unwrap_or_default()
    }

    /// Whether everything was sent.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Notes that the first `count` pending bytes were sent.
    pub fn sent(&mut self, count: usize) {
        self.start = self.start.saturating_add(count).min(self.end);
        if self.is_empty() {
            (self.start, self.end) = (0, 0);
        }
    }

    /// Drops what is pending; the memory stays.
    pub fn clear(&mut self) {
        (self.start, self.end) = (0, 0);
    }

    /// At least `least` bytes to write records into.
    pub(crate) fn spare_capacity(&mut self, least: usize) -> &mut [u8] {
        if self.bytes.len() - self.end < least {
            self.bytes.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
            if self.bytes.len() - self.end < least {
                self.bytes.resize(self.end + least, 0);
            }
        }
        self.bytes.get_mut(self.end..).unwrap_or_default()
    }

    /// Notes that `count` bytes of [`Records::room`] now are records.
    pub(crate) fn wrote(&mut self, count: usize) {
        self.end = (self.end + count).min(self.bytes.len());
    }
}

/// What one worker needs to run any number of sessions, one at a time.
#[derive(Debug, Default)]
pub struct Buffers {
    /// Where the caller puts bytes from the network; [`crate::session::Session::receive`] leaves it empty.
    pub incoming: Vec<u8>,
    /// Where sealed records are; the caller sends them, or keeps what a socket did not take.
    pub records: Records,
    /// Where small pieces become one record.
    pub(crate) gathered: Vec<u8>,
}

impl Buffers {
    /// No memory yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_move_to_the_front_instead_of_growing() {
        let mut records = Records::new();
        records.spare_capacity(10)[..10].copy_from_slice(b"0123456789");
        records.wrote(10);
        records.sent(8);
        assert_eq!(records.pending(), b"89");
        records.spare_capacity(8)[..3].copy_from_slice(b"abc");
        records.wrote(3);
        assert_eq!((records.pending(), records.bytes.len()), (&b"89abc"[..], 10));
        records.sent(99);
        assert!(records.is_empty() && records.pending().is_empty());
    }
}
