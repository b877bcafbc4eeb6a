//! Memory shared by a process and the children it forks later, mmap(2) with `MAP_SHARED`: anonymous, or in a file without a name that a
//! program executed later can map too.
//!
//! Other processes may write while this one reads. So there are no references into the bytes: words are reached as
//! atomics, byte ranges are copied with volatile accesses, and every access is checked against the length.

use std::io;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, mmap_anonymous, munmap};
use nix::sys::resource::{Resource, getrlimit};

/// A zero-filled mapping that forked children share. When the last clone is dropped it is unmapped, in this process only.
#[derive(Debug, Clone)]
pub struct SharedMemory {
    start: NonNull<u8>,
    len: usize,
    /// Unmaps; the copies of start and len above save an indirection in each access.
    _mapping: Arc<Mapping>,
}

#[derive(Debug)]
struct Mapping {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: the mapping belongs to the process, not to a thread, and every access is atomic or volatile.
unsafe impl Send for SharedMemory {}
// SAFETY: as above; no method gives out a plain reference to the bytes.
unsafe impl Sync for SharedMemory {}
// SAFETY: a mapping's address and length are only read, by the last owner.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

/// A word without alignment, so that ranges at any offset move eight bytes at a time.
#[derive(Clone, Copy)]
#[repr(C, packed)]
struct Word(u64);

const WORD: usize = size_of::<Word>();

/// Words of a mapping whose place was checked once; they keep the mapping.
#[derive(Debug)]
pub struct Words {
    start: NonNull<AtomicU64>,
    count: usize,
    _mapping: Arc<Mapping>,
}

impl std::ops::Deref for Words {
    type Target = [AtomicU64];

    #[inline]
    fn deref(&self) -> &[AtomicU64] {
        // SAFETY: `SharedMemory::kept` has taken them from a slice of the mapping, which lives as long as self; atomics may be written by others.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.count) }
    }
}

/// Bytes at the beginning of a file that are not part of the memory in it: its owner says there what it is. A multiple of all page sizes.
pub const PREFACE: usize = 64 * 1024;

impl SharedMemory {
    /// Maps `len` bytes (at least 1). Pages cost memory only when they are first written.
    ///
    /// # Errors
    /// `InvalidInput` for length 0, otherwise what mmap(2) reports, such as `ENOMEM`.
    pub fn new(len: usize) -> io::Result<Self> {
        let size = NonZeroUsize::new(len).ok_or(io::ErrorKind::InvalidInput)?;
        // SAFETY: a fresh anonymous mapping at an address of the kernel's choice aliases nothing.
        let start = unsafe { mmap_anonymous(None, size, ProtFlags::PROT_READ | ProtFlags::PROT_WRITE, MapFlags::MAP_SHARED) }?;
        Ok(Self::mapped(start.cast(), len))
    }

    fn mapped(start: NonNull<u8>, len: usize) -> Self {
        Self { start, len, _mapping: Arc::new(Mapping { start, len }) }
    }

    /// As [`SharedMemory::new`], in a file without a name, memfd_create(2), of an unchangeable length; closed on exec unless changed.
    ///
    /// # Errors
    /// Where the kernel has no such files or the process may not have files of this length; as [`SharedMemory::new`].
    pub fn in_file(len: usize) -> io::Result<(Self, OwnedFd)> {
        let whole = whole(len)?;
        // Beyond the limit the kernel sends a signal that ends the process.
        if getrlimit(Resource::RLIMIT_FSIZE)?.0 < whole {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let file = std::fs::File::from(memfd_create(c"lunette zone", MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)?);
        file.set_len(whole)?;
        fcntl(&file, FcntlArg::F_ADD_SEALS(fixed()))?;
        Ok((Self::of_file(&file, len)?, file.into()))
    }

    /// The memory in a file that [`SharedMemory::in_file`] has made, in this process or another.
    ///
    /// # Errors
    /// `InvalidInput` for a file of another length, or one whose length may change; as [`SharedMemory::new`].
    pub fn of_file(file: impl AsFd, len: usize) -> io::Result<Self> {
        let seals = SealFlag::from_bits_retain(fcntl(&file, FcntlArg::F_GET_SEALS)?);
        let found = u64::try_from(nix::sys::stat::fstat(&file)?.st_size).unwrap_or(0);
        if !seals.contains(fixed()) || found != whole(len)? {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let size = NonZeroUsize::new(len).ok_or(io::ErrorKind::InvalidInput)?;
        let (access, offset) = (ProtFlags::PROT_READ | ProtFlags::PROT_WRITE, PREFACE.try_into().map_err(io::Error::other)?);
        // SAFETY: a new mapping at an address of the kernel's choice; the file cannot become shorter than it.
        let start = unsafe { mmap(None, size, access, MapFlags::MAP_SHARED, file, offset) }?;
        Ok(Self::mapped(start.cast(), len))
    }

    /// Length in bytes.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Never true: a mapping has at least one byte.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    #[inline]
    fn at(&self, offset: usize, len: usize) -> Option<*mut u8> {
        let end = offset.checked_add(len)?;
        if end > self.len {
            return None;
        }
        // SAFETY: offset <= self.len, so the result stays inside the mapping or one past its end.
        Some(unsafe { self.start.as_ptr().add(offset) })
    }

    /// The four bytes at `offset` as an atomic; `None` outside the mapping or when `offset` is not a multiple of 4.
    #[must_use]
    #[inline]
    pub fn atomic_u32(&self, offset: usize) -> Option<&AtomicU32> {
        let place = self.at(offset, 4)?.cast::<u32>();
        if !place.is_aligned() {
            return None;
        }
        // SAFETY: aligned, inside the mapping, which lives as long as self.
        Some(unsafe { AtomicU32::from_ptr(place) })
    }

    /// The eight bytes at `offset` as an atomic; `None` outside the mapping or when `offset` is not a multiple of 8.
    #[must_use]
    #[inline]
    pub fn atomic_u64(&self, offset: usize) -> Option<&AtomicU64> {
        let place = self.at(offset, 8)?.cast::<u64>();
        if !place.is_aligned() {
            return None;
        }
        // SAFETY: aligned, inside the mapping, which lives as long as self.
        Some(unsafe { AtomicU64::from_ptr(place) })
    }

    /// The `N` words from `offset` on; `None` outside the mapping or when `offset` is not a multiple of 8. One check for all.
    #[must_use]
    #[inline]
    pub fn words<const N: usize>(&self, offset: usize) -> Option<&[AtomicU64; N]> {
        let place = self.at(offset, size_of::<[AtomicU64; N]>())?.cast::<[AtomicU64; N]>();
        if !place.is_aligned() {
            return None;
        }
        // SAFETY: aligned, inside the mapping, which lives as long as self; atomics may be written by others.
        Some(unsafe { &*place })
    }

    /// The `count` words from `offset` on; `None` outside the mapping or when `offset` is not a multiple of 8.
    #[must_use]
    #[inline]
    pub fn slice(&self, offset: usize, count: usize) -> Option<&[AtomicU64]> {
        let place = self.at(offset, count.checked_mul(WORD)?)?.cast::<AtomicU64>();
        if !place.is_aligned() {
            return None;
        }
        // SAFETY: aligned, inside the mapping, which lives as long as self; atomics may be written by others.
        Some(unsafe { std::slice::from_raw_parts(place, count) })
    }

    /// As [`SharedMemory::slice`], for later too.
    #[must_use]
    pub fn kept(&self, offset: usize, count: usize) -> Option<Words> {
        let words = self.slice(offset, count)?;
        Some(Words { start: NonNull::from(words).cast(), count, _mapping: self._mapping.clone() })
    }

    /// Appends `len` bytes that lie in whole words from `offset` on, each word read as one atomic. False, with nothing appended,
    /// when the words leave the mapping or `offset` is not a multiple of 8.
    #[must_use]
    #[inline]
    pub fn append_words(&self, offset: usize, len: usize, into: &mut Vec<u8>) -> bool {
        let Some(words) = self.slice(offset, len.div_ceil(WORD)) else { return false };
        into.reserve(words.len() * WORD);
        let old = into.len();
        // SAFETY: reserve made room for the whole words behind the old length.
        let mut place = unsafe { into.as_mut_ptr().add(old) };
        for word in words {
            // SAFETY: inside of the reserved room; Word has alignment 1.
            unsafe { place.cast::<Word>().write(Word(word.load(Ordering::Relaxed))) };
            // SAFETY: at most the end of the reserved room.
            place = unsafe { place.add(WORD) };
        }
        // SAFETY: len bytes behind the old length were just written, and they fit in the reserved room.
        unsafe { into.set_len(old + len) };
        true
    }

    /// Copies `into.len()` bytes out of the mapping. False, with nothing copied, when the range leaves the mapping.
    /// Bytes that another process writes meanwhile may be torn; a lock is the caller's affair.
    #[must_use]
    pub fn read(&self, offset: usize, into: &mut [u8]) -> bool {
        let Some(from) = self.at(offset, into.len()) else { return false };
        let mut done = 0;
        let (words, rest) = into.as_chunks_mut::<WORD>();
        for word in words {
            // SAFETY: done + 8 <= into.len(), which `at` checked; Word has alignment 1.
            let value = unsafe { from.add(done).cast::<Word>().read_volatile() };
            *word = value.0.to_ne_bytes();
            done += WORD;
        }
        for byte in rest {
            // SAFETY: done < into.len(), which `at` checked.
            *byte = unsafe { from.add(done).read_volatile() };
            done += 1;
        }
        true
    }

    /// Appends `len` bytes from `offset` to `into`. False, with nothing appended, when the range leaves the mapping.
    #[must_use]
    pub fn append_to(&self, offset: usize, len: usize, into: &mut Vec<u8>) -> bool {
        if self.at(offset, len).is_none() {
            return false;
        }
        let old = into.len();
        into.resize(old + len, 0);
        match into.get_mut(old..) {
            Some(room) => self.read(offset, room),
            None => false,
        }
    }

    /// Copies `from` into the mapping. False, with nothing written, when the range leaves the mapping.
    #[must_use]
    pub fn write(&self, offset: usize, from: &[u8]) -> bool {
        let Some(to) = self.at(offset, from.len()) else { return false };
        let mut done = 0;
        let (words, rest) = from.as_chunks::<WORD>();
        for word in words {
            // SAFETY: done + 8 <= from.len(), which `at` checked; Word has alignment 1.
            unsafe { to.add(done).cast::<Word>().write_volatile(Word(u64::from_ne_bytes(*word))) };
            done += WORD;
        }
        for byte in rest {
            // SAFETY: done < from.len(), which `at` checked.
            unsafe { to.add(done).write_volatile(*byte) };
            done += 1;
        }
        true
    }

    /// Whether the bytes at `offset` equal `with`; false when the range leaves the mapping.
    #[must_use]
    pub fn equals(&self, offset: usize, with: &[u8]) -> bool {
        let Some(from) = self.at(offset, with.len()) else { return false };
        let mut done = 0;
        let (words, rest) = with.as_chunks::<WORD>();
        for word in words {
            // SAFETY: done + 8 <= with.len(), which `at` checked; Word has alignment 1.
            let value = unsafe { from.add(done).cast::<Word>().read_volatile() };
            if value.0.to_ne_bytes() != *word {
                return false;
            }
            done += WORD;
        }
        for byte in rest {
            // SAFETY: done < with.len(), which `at` checked.
            if unsafe { from.add(done).read_volatile() } != *byte {
                return false;
            }
            done += 1;
        }
        true
    }

    /// Sets `len` bytes from `offset` to `value`. False, with nothing written, when the range leaves the mapping.
    #[must_use]
    pub fn fill(&self, offset: usize, len: usize, value: u8) -> bool {
        let Some(to) = self.at(offset, len) else { return false };
        for index in 0..len {
            // SAFETY: index < len, which `at` checked.
            unsafe { to.add(index).write_volatile(value) };
        }
        true
    }
}

/// The length of a file with `len` bytes of memory.
fn whole(len: usize) -> io::Result<u64> {
    let whole = len.checked_add(PREFACE).filter(|_| len > 0).ok_or(io::ErrorKind::InvalidInput)?;
    whole.try_into().map_err(io::Error::other)
}

/// What forbids to change a file's length.
fn fixed() -> SealFlag {
    SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SEAL
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: start and len are the mapping made in `new`, and no reference outlives its last owner. The result does not
        // matter: munmap of a whole own mapping fails only on arguments that are wrong.
        let _ = unsafe { munmap(self.start.cast(), self.len) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_of_every_length_and_alignment_come_back() {
        let memory = SharedMemory::new(64).unwrap();
        let source: Vec<u8> = (1..=40).collect();
        for offset in 0..10 {
            for len in 0..source.len() {
                let part = &source[..len];
                assert!(memory.fill(0, 64, 0xee));
                assert!(memory.write(offset, part));
                let mut back = Vec::new();
                assert!(memory.append_to(offset, len, &mut back));
                assert_eq!(back, part);
                assert!(memory.equals(offset, part));
                assert!(memory.equals(offset + len, &[0xee]));
                if len > 0 {
                    back[len - 1] ^= 1;
                    assert!(!memory.equals(offset, &back));
                }
            }
        }
    }

    #[test]
    fn words_come_back_and_stay_inside() {
        let memory = SharedMemory::new(64).unwrap();
        for (word, value) in memory.words::<8>(0).unwrap().iter().zip(1u64..) {
            word.store(u64::from_ne_bytes([value as u8; 8]), Ordering::Relaxed);
        }
        for len in 0..24 {
            let mut back = vec![9];
            assert!(memory.append_words(8, len, &mut back));
            let expected: Vec<u8> = std::iter::once(9).chain((0..len).map(|i| 2 + (i / 8) as u8)).collect();
            assert_eq!(back, expected);
        }
        assert!(memory.words::<8>(8).is_none() && memory.words::<1>(4).is_none());
        assert!(memory.slice(56, 2).is_none() && memory.slice(0, usize::MAX).is_none() && memory.slice(64, 0).is_some());
        let kept = memory.kept(8, 7).unwrap();
        assert!(memory.kept(8, 8).is_none() && memory.kept(4, 1).is_none());
        assert!(!memory.append_words(56, 9, &mut Vec::new()) && !memory.append_words(4, 1, &mut Vec::new()));
        memory.words::<8>(0).unwrap()[1].store(5, Ordering::Relaxed);
        drop(memory);
        assert_eq!((kept.len(), kept[0].load(Ordering::Relaxed)), (7, 5));
    }

    #[test]
    fn memory_in_a_file_is_the_same_for_all_who_map_it() {
        let (memory, file) = SharedMemory::in_file(40_000).unwrap();
        let other = SharedMemory::of_file(&file, 40_000).unwrap();
        assert!(memory.write(39_000, b"here") && other.equals(39_000, b"here") && other.equals(0, &[0; 8]));
        for len in [0, 39_999, 40_001, usize::MAX] {
            assert!(SharedMemory::of_file(&file, len).is_err());
        }
        assert!(SharedMemory::in_file(0).is_err() && SharedMemory::in_file(usize::MAX).is_err());
        let file = std::fs::File::from(file);
        assert!(file.set_len(10).is_err());
        // The length of an ordinary file may change.
        let plain = memfd_create(c"plain", MFdFlags::MFD_ALLOW_SEALING).unwrap();
        std::fs::File::from(plain.try_clone().unwrap()).set_len(whole(8).unwrap()).unwrap();
        assert!(SharedMemory::of_file(&plain, 8).is_err() && SharedMemory::of_file(std::io::stdin(), 8).is_err());
    }

    #[test]
    fn ranges_outside_are_refused() {
        let memory = SharedMemory::new(16).unwrap();
        assert!(!memory.write(9, &[0; 8]));
        assert!(!memory.read(usize::MAX, &mut [0; 2]));
        assert!(!memory.fill(16, 1, 0));
        assert!(memory.write(16, &[]));
        assert!(memory.atomic_u64(9).is_none());
        assert!(memory.atomic_u64(16).is_none());
        assert!(memory.atomic_u32(2).is_none());
        assert!(memory.atomic_u32(12).is_some());
        assert!(SharedMemory::new(0).is_err());
    }
}
