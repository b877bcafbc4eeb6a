//! The part of a request's body that was received and not read yet.

use std::collections::VecDeque;

/// Room of a part, once so much has come.
const PART: usize = 16 * 1024;

/// What has come of a body.
#[derive(Debug)]
pub enum BodyPart<'a> {
    /// Part of a buffer: it is copied.
    Slice(&'a [u8]),
    /// All that was received: it stays where it is.
    Whole(Vec<u8>),
}

/// Bytes, taken from the front. They stand in parts, so that none moves when more come.
#[derive(Debug, Default)]
pub struct Received {
    /// None is empty.
    parts: VecDeque<Vec<u8>>,
    /// Bytes of the first that were taken.
    consumed: usize,
    unread: usize,
}

impl Received {
    /// Appends what has come.
    pub fn push(&mut self, data: BodyPart<'_>) {
        match data {
            BodyPart::Slice(data) => self.push_slice(data),
            BodyPart::Whole(part) if part.is_empty() => {}
            BodyPart::Whole(part) => {
                self.unread += part.len();
                self.parts.push_back(part);
            }
        }
    }

    fn push_slice(&mut self, data: &[u8]) {
        if data.is_empty() {
            return;
        }
        self.unread += data.len();
        match self.parts.back_mut() {
            Some(last) if last.capacity() - last.len() >= data.len() => last.extend_from_slice(data),
            _ => {
                let mut part = Vec::with_capacity(data.len().max(self.unread.min(PART)));
                part.extend_from_slice(data);
                self.parts.push_back(part);
            }
        }
    }

    /// How much has come and was not taken.
    pub fn unread(&self) -> usize {
        self.unread
    }

    /// Moves at most `limit` bytes to the end of `out`; how many, at least one where there is one and `limit` allows it.
    pub fn take(&mut self, limit: usize, out: &mut Vec<u8>) -> usize {
        // A part that is wanted whole need not be copied where nothing is before it.
        if out.is_empty()
            && let Some(first) =
                self.parts.pop_front_if(|first| self.consumed == 0 && first.len() <= limit && first.capacity() >= out.capacity())
        {
            *out = first;
            self.unread -= out.len();
            return out.len();
        }
        let wanted = limit.min(self.unread);
        let mut open = wanted;
        while open > 0
            && let Some(first) = self.parts.front()
        {
            let rest = first.get(self.consumed..).unwrap_or_default();
            let part = rest.get(..open).unwrap_or(rest);
            out.extend_from_slice(part);
            open -= part.len();
            self.consumed += part.len();
            if self.consumed == first.len() {
                self.parts.pop_front();
                self.consumed = 0;
            }
        }
        self.unread -= wanted;
        if self.unread == 0 {
            *self = Received::default();
        }
        wanted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_out_in_order() {
        let (mut received, mut out) = (Received::default(), Vec::new());
        received.push(BodyPart::Slice(b"abcdef"));
        assert_eq!(received.take(4, &mut out), 4);
        received.push(BodyPart::Whole(b"ghi".to_vec()));
        assert_eq!(received.take(2, &mut out), 2);
        assert_eq!(received.take(9, &mut out), 3);
        assert_eq!(received.take(9, &mut out), 0);
        assert_eq!(out, b"abcdefghi");
        for n in 0..5000_usize {
            let text = format!("{n},");
            received.push(if n % 7 == 0 { BodyPart::Whole(text.into()) } else { BodyPart::Slice(text.as_bytes()) });
            if n % 3 == 0 {
                received.take(n % 29, &mut out);
            }
        }
        while received.take(1000, &mut out) > 0 {}
        let expected: String = (0..5000).map(|n| format!("{n},")).collect();
        assert_eq!((&out[9..], received.unread()), (expected.as_bytes(), 0));
        let mut all = Vec::new();
        received.push(BodyPart::Whole(Vec::new()));
        received.push(BodyPart::Slice(b"xyz"));
        assert_eq!((received.take(9, &mut all), all), (3, b"xyz".to_vec()));
    }
}
