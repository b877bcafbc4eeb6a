//! A zone and access to it.

pub mod slab;

use crate::{lock, zone_file};
use std::cell::{Cell, RefCell};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use sys::shared::SharedMemory;

/// Places of the zone's own words. All are multiples of eight.
mod at {
    pub(super) const LOCK: usize = 0;
    pub(super) const DIRTY: usize = 8;
    pub(super) const READY: usize = 16;
    pub(super) const RESETS: usize = 24;
    pub(super) const SEED: usize = 32;
    pub(super) const ROOTS: usize = 64;
}

/// Words that the structure in a zone has for its own beginnings.
pub(crate) const ROOTS: usize = 16;
/// Where a structure begins that has locks of its own and shares only the seed with this one.
pub(crate) const FREE_FOR_USE: usize = 256;
/// Where the allocator's words begin.
pub(crate) const SLAB: usize = at::ROOTS + 8 * ROOTS;
/// Marks a zone that is set up.
const READY: u64 = 0x6c75_6e65_7474_6531;
/// Smallest zone in bytes: eight pages, as nginx demands of its own.
pub const MIN_SIZE: usize = 8 * 4096;

/// Shared memory with a name. Made by the master; workers inherit it.
#[derive(Debug)]
pub struct Zone {
    name: Box<str>,
    owner: &'static str,
    memory: SharedMemory,
    /// What the master remembers of the zone from one configuration to the next, such as the key of a limit.
    pub note: RefCell<Vec<u8>>,
    /// How many losses of the structure in it the master knows of.
    known_losses: Cell<u64>,
    /// Where its memory is, if a new binary may have it.
    file: Option<Arc<OwnedFd>>,
}

impl Zone {
    /// Maps a zone of `size` bytes for `owner`, the kind of structure it will hold.
    ///
    /// # Errors
    /// Those of `mmap(2)`; `InvalidInput` below [`MIN_SIZE`].
    pub fn new(name: &str, owner: &'static str, size: usize) -> io::Result<Zone> {
        if size < MIN_SIZE {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        Ok(Zone::create(name, owner, SharedMemory::new(size)?))
    }

    /// As [`Zone::new`], but a new binary may have it ([`Zone::file`]). `format` numbers what `owner` keeps in it.
    ///
    /// # Errors
    /// As [`Zone::new`].
    pub fn persistent(name: &str, owner: &'static str, format: u32, size: usize) -> io::Result<Zone> {
        if size < MIN_SIZE {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let (memory, file) = match SharedMemory::in_file(size) {
            Ok((memory, file)) if zone_file::describe(&file, name, owner, format, size).is_ok() => (memory, Some(Arc::new(file))),
            // It serves all the same.
            _ => (SharedMemory::new(size)?, None),
        };
        Ok(Zone { file, ..Zone::create(name, owner, memory) })
    }

    /// The zone that another binary has made for `owner` with this `format`.
    ///
    /// # Errors
    /// It is something else.
    pub fn inherited(file: Arc<OwnedFd>, owner: &'static str, format: u32) -> io::Result<Zone> {
        let (name, size) = zone_file::read(&file, owner, format)?;
        let memory = SharedMemory::of_file(&file, size)?;
        Ok(Zone { file: Some(file), ..Zone::from_memory(name, owner, memory) })
    }

    fn create(name: &str, owner: &'static str, memory: SharedMemory) -> Zone {
        let zone = Zone::from_memory(name.into(), owner, memory);
        let seed = RandomState::new().hash_one(name);
        if let Some(word) = zone.memory.atomic_u64(at::SEED) {
            word.store(seed, Ordering::Relaxed);
        }
        zone
    }

    fn from_memory(name: Box<str>, owner: &'static str, memory: SharedMemory) -> Zone {
        Zone { name, owner, memory, note: RefCell::default(), known_losses: Cell::default(), file: None }
    }

    /// The file by which a new binary gets it.
    pub fn file(&self) -> Option<&Arc<OwnedFd>> {
        self.file.as_ref()
    }

    /// The same zone for another thread of this process.
    #[must_use]
    pub fn share(&self) -> Zone {
        Zone::from_memory(self.name.clone(), self.owner, self.memory.clone())
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The kind of structure that it holds.
    pub fn owner(&self) -> &'static str {
        self.owner
    }

    /// The size of the zone's memory, bytes.
    pub fn size(&self) -> usize {
        self.memory.len()
    }

    /// Its memory, for a structure that has locks of its own.
    pub(crate) fn memory(&self) -> &SharedMemory {
        &self.memory
    }

    /// A random number, the same for all processes, to seed hashes with.
    pub(crate) fn seed(&self) -> u64 {
        self.memory.atomic_u64(at::SEED).map_or(0, |word| word.load(Ordering::Relaxed))
    }

    fn word(&self) -> &AtomicU64 {
        static NOWHERE: AtomicU64 = AtomicU64::new(0);
        // The mapping is never shorter than its header, so the fallback is never taken.
        self.memory.atomic_u64(at::LOCK).unwrap_or(&NOWHERE)
    }

    /// Locks the zone, which is set up when that happens first. If its last holder died or panicked while it was changing something, the zone is empty now.
    pub fn lock(&self) -> Guard<'_> {
        lock::acquire(self.word());
        let guard = Guard { zone: self, changed: Cell::new(false) };
        if guard.get(at::DIRTY) != 0 || guard.get(at::READY) != READY {
            guard.reset();
        }
        guard
    }

    /// Sets the zone up, if nobody has: for those who keep in it what they allocate.
    pub fn prepare(&self) {
        drop(self.lock());
    }

    /// What of it is used; `None`: it is not set up, or what is in it is not allocated.
    #[must_use]
    pub fn usage(&self) -> Option<slab::usage::Usage> {
        self.is_ready().then(|| slab::usage::usage(&self.lock()))
    }

    /// Lets the numbers of requests in [`Zone::usage`] begin anew.
    pub fn forget_requests(&self) {
        if self.is_ready() {
            slab::usage::reset(&self.lock());
        }
    }

    fn is_ready(&self) -> bool {
        self.memory.atomic_u64(at::READY).is_some_and(|word| word.load(Ordering::Acquire) == READY)
    }

    /// Of `losses` in all, those that are new since the last call.
    pub(crate) fn new_losses(&self, losses: u64) -> u64 {
        losses.wrapping_sub(self.known_losses.replace(losses))
    }

    /// To be called by the master when it has reaped a worker: frees the lock if that one held it.
    pub fn reap(&self, process: i32) {
        lock::force(self.word(), process);
    }
}

/// A locked zone: reads and writes by offset. Reads outside of the zone give zero, writes there are dropped.
#[derive(Debug)]
pub struct Guard<'a> {
    zone: &'a Zone,
    changed: Cell<bool>,
}

impl Guard<'_> {
    fn reset(&self) {
        self.set(at::READY, 0);
        for i in 0..ROOTS {
            self.set_root(i, 0);
        }
        slab::format(self);
        self.set(at::RESETS, self.get(at::RESETS).wrapping_add(1));
        self.set(at::READY, READY);
    }

    /// How often the zone was set up: more than once means that it was emptied after an accident.
    pub fn resets(&self) -> u64 {
        self.get(at::RESETS)
    }

    /// A random number, the same for all processes, to seed hashes with.
    pub fn seed(&self) -> u64 {
        self.get(at::SEED)
    }

    /// Size of the zone in bytes.
    pub fn size(&self) -> usize {
        self.zone.memory.len()
    }

    /// The word at a multiple of eight.
    #[inline]
    pub fn get(&self, offset: usize) -> u64 {
        self.zone.memory.atomic_u64(offset).map_or(0, |word| word.load(Ordering::Relaxed))
    }

    /// Says that a change has begun; until the guard is dropped the zone counts as half-written.
    #[inline]
    fn change(&self) {
        if !self.changed.replace(true)
            && let Some(word) = self.zone.memory.atomic_u64(at::DIRTY)
        {
            // Release order keeps the mark before the changes that it stands for.
            word.swap(1, Ordering::AcqRel);
        }
    }

    /// Writes the word at a multiple of eight.
    #[inline]
    pub fn set(&self, offset: usize, value: u64) {
        self.change();
        if let Some(word) = self.zone.memory.atomic_u64(offset) {
            word.store(value, Ordering::Relaxed);
        }
    }

    /// Word `i` of the structure's beginnings; zero in a fresh zone.
    pub fn root(&self, i: usize) -> u64 {
        if i < ROOTS { self.get(at::ROOTS + 8 * i) } else { 0 }
    }

    /// Writes word `i` of the structure's beginnings.
    pub fn set_root(&self, i: usize, value: u64) {
        if i < ROOTS {
            self.set(at::ROOTS + 8 * i, value);
        }
    }

    /// Whether the bytes at `offset` are `text`.
    pub fn equals(&self, offset: usize, text: &[u8]) -> bool {
        self.zone.memory.equals(offset, text)
    }

    /// Writes bytes; false if they do not fit in the zone.
    pub fn write(&self, offset: usize, bytes: &[u8]) -> bool {
        self.change();
        self.zone.memory.write(offset, bytes)
    }

    /// Appends bytes of the zone to `out`; false if the range leaves the zone.
    pub fn append_to(&self, offset: usize, length: usize, out: &mut Vec<u8>) -> bool {
        self.zone.memory.append_to(offset, length, out)
    }

    /// Fills a range; false if it leaves the zone.
    pub fn fill(&self, offset: usize, length: usize, value: u8) -> bool {
        self.change();
        self.zone.memory.fill(offset, length, value)
    }

    /// Allocates; `None` if there is no room. The bytes are not cleared.
    pub fn allocate(&self, size: usize) -> Option<usize> {
        slab::allocate(self, size)
    }

    /// Frees what [`Guard::allocate`] gave. An offset that was never given is ignored.
    pub fn free(&self, offset: usize) {
        slab::free(self, offset);
    }

    /// Bytes that whole free pages hold.
    pub fn free_space(&self) -> u64 {
        slab::free_space(self)
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        if self.changed.get()
            && !std::thread::panicking()
            && let Some(word) = self.zone.memory.atomic_u64(at::DIRTY)
        {
            word.store(0, Ordering::Release);
        }
        lock::release(self.zone.word());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_left_half_written_is_emptied() {
        let zone = Zone::new("z", "test", MIN_SIZE).unwrap();
        zone.lock().set_root(0, 7);
        assert_eq!(zone.lock().root(0), 7);
        let broken = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let guard = zone.lock();
            guard.set_root(0, 8);
            panic!("in the middle");
        }));
        assert!(broken.is_err());
        let guard = zone.lock();
        assert_eq!((guard.root(0), guard.resets()), (0, 2));
    }

    #[test]
    fn reading_only_leaves_no_mark() {
        let zone = Zone::new("z", "test", MIN_SIZE).unwrap();
        zone.lock().set_root(0, 7);
        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let guard = zone.lock();
            assert_eq!(guard.root(0), 7);
            panic!("while reading");
        }));
        assert_eq!(zone.lock().root(0), 7);
    }

    #[test]
    fn nothing_leads_outside() {
        let zone = Zone::new("z", "test", MIN_SIZE).unwrap();
        let guard = zone.lock();
        guard.set(MIN_SIZE, 1);
        assert_eq!(guard.get(MIN_SIZE), 0);
        assert_eq!(guard.get(usize::MAX - 7), 0);
        assert!(!guard.write(MIN_SIZE - 1, b"ab"));
        assert!(Zone::new("z", "test", 100).is_err());
    }
}
