//! The part of a request's body that was received and not read yet.

/// Bytes, taken from the front.
#[derive(Debug, Default)]
pub struct Received {
    bytes: Vec<u8>,
    taken: usize,
}

impl Received {
    /// Appends received bytes.
    pub fn push(&mut self, data: &[u8]) {
        // Moved only when that is less than what was taken since, so that each byte moves once.
        if self.taken > self.bytes.len() / 2 {
            self.bytes.drain(..self.taken);
            self.taken = 0;
        }
        self.bytes.extend_from_slice(data);
    }

    /// How much has come and was not taken.
    pub fn left(&self) -> usize {
        self.bytes.len() - self.taken
    }

    /// Moves at most `limit` bytes to the end of `out`; how many.
    pub fn take(&mut self, limit: usize, out: &mut Vec<u8>) -> usize {
        let rest = self.bytes.get(self.taken..).unwrap_or_default();
        let part = rest.get(..limit).unwrap_or(rest);
        let count = part.len();
        if count == self.bytes.len() && out.capacity() == 0 {
            *out = std::mem::take(&mut self.bytes);
            return count;
        }
        out.extend_from_slice(part);
        self.taken += count;
        if self.taken == self.bytes.len() {
            *self = Received::default();
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_out_in_order() {
        let (mut received, mut out) = (Received::default(), Vec::new());
        received.push(b"abcdef");
        assert_eq!(received.take(4, &mut out), 4);
        received.push(b"ghi");
        assert_eq!(received.take(2, &mut out), 2);
        assert_eq!(received.take(9, &mut out), 3);
        assert_eq!(received.take(9, &mut out), 0);
        assert_eq!(out, b"abcdefghi");
        let mut all = Vec::new();
        received.push(b"xyz");
        assert_eq!((received.take(9, &mut all), all), (3, b"xyz".to_vec()));
    }
}
