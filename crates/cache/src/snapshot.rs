//! The keys of a running server as seen by another program, which reads its memory as bytes.

use crate::cells::{HOME, IS_KEYS, MARK, at, flag};
use crate::key::Digest;
use std::collections::HashMap;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;

/// Where the words stand that belong to all records, in bytes from the zone's beginning, and how many bytes of them are looked at.
pub const WORDS: (usize, usize) = (shm::records::START, 8 * shm::records::HEADER);
/// Bytes before the first record.
const RECORDS: usize = WORDS.0 + WORDS.1;

/// What a server knows of one response.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IndexEntry {
    /// How often it was given.
    pub hits: u64,
    /// When it was last asked for, seconds since 1970.
    pub accessed: i64,
}

/// Whether [`WORDS`] of a mapping are those of the keys of this directory.
#[must_use]
pub fn is_of(words: &[u8], directory: &Metadata) -> bool {
    let at = |i: usize| word(words, 8 * i);
    at(MARK) == IS_KEYS && at(HOME) == directory.dev() && at(HOME + 1) == directory.ino()
}

/// The responses that a zone knows. It may be changing meanwhile: what is read is for people.
#[must_use]
pub fn read(zone: &[u8]) -> HashMap<Digest, IndexEntry> {
    let size = at::WORDS * 8;
    let records = zone.get(RECORDS..).unwrap_or_default().chunks_exact(size).skip(1);
    let files = records.filter(|record| word(record, at::STATE * 8) & u64::from(flag::FILE) != 0);
    let known = |record: &[u8]| {
        let mut key = Digest::default();
        key.copy_from_slice(record.get(..16)?);
        Some((key, IndexEntry { hits: word(record, at::HITS * 8), accessed: word(record, at::ACCESSED * 8).cast_signed() }))
    };
    files.filter_map(known).collect()
}

fn word(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|b| b.try_into().ok()).map_or(0, u64::from_le_bytes)
}
