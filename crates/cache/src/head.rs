//! The beginning of a cache file: what is known of the response, its key, its head. The body follows.
//!
//! A file is whole or it is none: one checksum covers everything up to the body, one the body, the length is the file's.

use crate::key::Digest;
use std::fmt;

/// What a file of this version begins with.
const MAGIC: [u8; 8] = *b"LNTCACH2";
/// Bytes of the part of fixed size.
pub const FIXED: usize = 128;
const LABEL: &[u8] = b"\nKEY: ";
/// The longest head and key that a file may have, bytes.
pub const LONGEST: usize = 1 << 20;

/// What a cache file says before its body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// Until when the response is fresh, seconds since 1970.
    pub valid: i64,
    /// How long it may be used after that while it is fetched anew, seconds.
    pub updating: i64,
    /// How long it may be used after that when it cannot be fetched, seconds.
    pub error: i64,
    /// When it was stored or last confirmed.
    pub date: i64,
    /// When it was stored, milliseconds.
    pub stored_ms: i64,
    /// When the key got its first response since there was none, milliseconds: variants from before that belong to it no more.
    pub born_ms: i64,
    /// `Last-Modified`, or -1.
    pub last_modified: i64,
    /// How old the response was at `date`, seconds (RFC 9111: the corrected initial age).
    pub age: i64,
    /// Bytes of the body.
    pub length: u64,
    /// The body's CRC-32.
    pub body_sum: u32,
    /// Status code.
    pub status: u16,
    /// It answers HEAD: that it has no body says nothing of other methods.
    pub to_head: bool,
    /// It is never given without asking the upstream (`no-cache`; RFC 9111 only).
    pub must_validate: bool,
    /// It is never given when it is no longer fresh (`must-revalidate`; RFC 9111 only).
    pub must_revalidate: bool,
    /// The variant that it is; zeroes without `Vary`.
    pub variant: Digest,
    /// The key.
    pub key: Vec<u8>,
    /// `Vary`.
    pub vary: Vec<u8>,
    /// `ETag`.
    pub etag: Vec<u8>,
    /// The response's status line (code and reason) and fields, each line with its end.
    pub text: Vec<u8>,
    /// Bytes before the body that are left free, so that fields may grow when a response is confirmed.
    pub room: usize,
}

/// Why a file is no response to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadError {
    /// It is shorter than it says.
    Short,
    /// Something else, or of another version.
    Foreign,
    /// Its bytes are not those that were written.
    Damaged,
    /// It belongs to another key with the same digest.
    OtherKey,
}

impl fmt::Display for HeadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            HeadError::Short => "cache file is too small",
            HeadError::Foreign => "cache file has another version",
            HeadError::Damaged => "cache file has another checksum",
            HeadError::OtherKey => "cache file is of another key",
        })
    }
}

impl std::error::Error for HeadError {}

impl Head {
    /// The offset of the body in the file, bytes.
    #[must_use]
    pub fn body_start(&self) -> usize {
        FIXED + LABEL.len() + self.key.len() + 1 + self.vary.len() + self.etag.len() + self.text.len() + self.room
    }

    /// Whether the response ceased to be fresh at most `window` seconds ago, for which it may still be used. A window of nothing is none: what is
    /// stale from the second on in which it was stored would have one of a second otherwise.
    #[must_use]
    pub fn is_within(&self, window: i64, now: i64) -> bool {
        window > 0 && self.valid.saturating_add(window) >= now
    }

    /// Gives the free room such a size that the body begins where it does in `other`; false: there is too little.
    pub fn pad_to(&mut self, other: &Head) -> bool {
        self.room = 0;
        let room = other.body_start().checked_sub(self.body_start());
        self.room = room.unwrap_or(0);
        room.is_some()
    }

    /// Appends the file's beginning.
    pub fn write(&self, out: &mut Vec<u8>) {
        let start = out.len();
        let size = |text: &[u8]| u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes();
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&[0; 4]);
        let flags = [self.to_head, self.must_validate, self.must_revalidate];
        let bits = flags.iter().zip(16..).fold(u32::from(self.status), |bits, (flag, at)| bits | u32::from(*flag) << at);
        out.extend_from_slice(&bits.to_le_bytes());
        for number in [self.valid, self.updating, self.error, self.date, self.last_modified] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&self.length.to_le_bytes());
        for text in [&self.key, &self.vary, &self.etag, &self.text] {
            out.extend_from_slice(&size(text));
        }
        out.extend_from_slice(&self.variant);
        for number in [self.stored_ms, self.born_ms, self.age] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&self.body_sum.to_le_bytes());
        out.extend_from_slice(&u32::try_from(self.room).unwrap_or(u32::MAX).to_le_bytes());
        out.resize(start + FIXED, 0);
        out.extend_from_slice(LABEL);
        out.extend_from_slice(&self.key);
        out.push(b'\n');
        for text in [&self.vary, &self.etag, &self.text] {
            out.extend_from_slice(text);
        }
        out.resize(out.len().saturating_add(self.room), 0);
        let sum = crc32fast::hash(out.get(start + 12..).unwrap_or_default());
        if let Some(place) = out.get_mut(start + 8..start + 12) {
            place.copy_from_slice(&sum.to_le_bytes());
        }
    }

    /// How many bytes the beginning has, by its fixed part.
    ///
    /// # Errors
    /// The part is short or foreign.
    pub fn measure(fixed: &[u8]) -> Result<usize, HeadError> {
        if fixed.len() < FIXED {
            return Err(HeadError::Short);
        }
        if !fixed.starts_with(&MAGIC) {
            return Err(HeadError::Foreign);
        }
        let sizes = (0..4).map(|i| word(fixed, 64 + 4 * i) as usize);
        let room = word(fixed, 124) as usize;
        let total = sizes.fold(FIXED + LABEL.len() + 1, usize::saturating_add).saturating_add(room);
        if total > LONGEST { Err(HeadError::Damaged) } else { Ok(total) }
    }

    /// Reads the beginning of a file that has `size` bytes.
    ///
    /// # Errors
    /// It is not a whole response.
    pub fn read(bytes: &[u8], size: u64) -> Result<Head, HeadError> {
        let total = Head::measure(bytes)?;
        let bytes = bytes.get(..total).ok_or(HeadError::Short)?;
        if crc32fast::hash(bytes.get(12..).unwrap_or_default()) != word(bytes, 8) {
            return Err(HeadError::Damaged);
        }
        let mut at = FIXED;
        let mut take = |length: usize| {
            let found = bytes.get(at..at.saturating_add(length)).ok_or(HeadError::Damaged);
            at = at.saturating_add(length);
            found.map(<[u8]>::to_vec)
        };
        let length = |i: usize| word(bytes, 64 + 4 * i) as usize;
        take(LABEL.len())?;
        let key = take(length(0))?;
        take(1)?;
        let (vary, etag, text) = (take(length(1))?, take(length(2))?, take(length(3))?);
        let mut variant = Digest::default();
        variant.copy_from_slice(bytes.get(80..96).ok_or(HeadError::Damaged)?);
        let bits = word(bytes, 12);
        let head = Head {
            valid: long(bytes, 16),
            updating: long(bytes, 24),
            error: long(bytes, 32),
            date: long(bytes, 40),
            last_modified: long(bytes, 48),
            length: long(bytes, 56).cast_unsigned(),
            stored_ms: long(bytes, 96),
            born_ms: long(bytes, 104),
            age: long(bytes, 112),
            body_sum: word(bytes, 120),
            status: u16::try_from(bits & 0xffff).map_err(|_| HeadError::Damaged)?,
            to_head: bits >> 16 & 1 != 0,
            must_validate: bits >> 17 & 1 != 0,
            must_revalidate: bits >> 18 & 1 != 0,
            variant,
            key,
            vary,
            etag,
            text,
            room: word(bytes, 124) as usize,
        };
        if size != (total as u64).saturating_add(head.length) { Err(HeadError::Short) } else { Ok(head) }
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, u32::from_le_bytes)
}

fn long(bytes: &[u8], at: usize) -> i64 {
    bytes.get(at..at + 8).and_then(|b| b.try_into().ok()).map_or(0, i64::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Head {
        Head {
            valid: 1_700_000_000,
            updating: 1,
            error: 2,
            date: 3,
            stored_ms: 3100,
            born_ms: 3050,
            last_modified: -1,
            age: 9,
            length: 5,
            body_sum: 77,
            status: 404,
            to_head: true,
            must_validate: false,
            must_revalidate: true,
            room: 20,
            variant: [7; 16],
            key: b"httpexample.com/a".to_vec(),
            vary: b"Accept".to_vec(),
            etag: b"\"x\"".to_vec(),
            text: b"404 Not Found\r\nA: b\r\n".to_vec(),
        }
    }

    #[test]
    fn a_stale_answer_has_only_the_time_that_was_allowed() {
        let rows =
            [(100, 0, 100, false), (100, 0, 101, false), (100, 1, 101, true), (100, 1, 102, false), (i64::MAX, i64::MAX, i64::MAX, true)];
        for (valid, window, now, expected) in rows {
            let head = Head { valid, ..Head::default() };
            assert_eq!(head.is_within(window, now), expected, "{valid} {window} {now}");
        }
    }

    #[test]
    fn what_is_written_is_read_and_names_its_key() {
        let mut bytes = Vec::new();
        sample().write(&mut bytes);
        assert_eq!(bytes.len(), sample().body_start());
        assert_eq!(Head::measure(&bytes), Ok(bytes.len()));
        assert_eq!(Head::read(&bytes, bytes.len() as u64 + 5), Ok(sample()));
        assert!(memchr::memmem::find(&bytes, b"\nKEY: httpexample.com/a\n").is_some());
    }

    #[test]
    fn no_damage_passes() {
        let mut bytes = Vec::new();
        sample().write(&mut bytes);
        let size = bytes.len() as u64 + 5;
        for at in 0..bytes.len() {
            for mask in [1, 0x80, 0xff] {
                let mut damaged = bytes.clone();
                damaged[at] ^= mask;
                assert!(Head::read(&damaged, size).is_err(), "byte {at}");
            }
            assert!(Head::read(&bytes[..at], size).is_err(), "cut at {at}");
        }
        for size in [0, size - 1, size + 1] {
            assert_eq!(Head::read(&bytes, size), Err(HeadError::Short));
        }
        assert_eq!(Head::read(&[0; 200], 200), Err(HeadError::Foreign));
    }
}
