//! The parking lot: idle keep-alive connections.
//!
//! A connection with its own task and its own place in the event loop costs hundreds of bytes. Here it costs one slab
//! entry and the kernel's registration: its descriptor, what the user wants to remember, two list links and a
//! deadline. All wait in one inner epoll set that the event loop watches, and deadlines are a wheel of one-second slots.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use sys::epoll::{BATCH, EPOLLIN, EPOLLONESHOT, EPOLLRDHUP, Epoll, Event};
use tokio::io::unix::AsyncFd;
use tokio::sync::Notify;

/// Slots of the wheel; a deadline further away stays in its slot for another round.
const SLOTS: usize = 256;

/// The end of a list.
const NONE: u32 = u32::MAX;

/// A connection that leaves the lot.
#[derive(Debug)]
pub enum Unparked<T> {
    /// Bytes, the end of the stream or an error have arrived.
    Woken {
        /// The socket, non-blocking as it came.
        fd: OwnedFd,
        /// What the user remembered.
        payload: T,
    },
    /// The deadline passed.
    Expired {
        /// The socket.
        fd: OwnedFd,
        /// What the user remembered.
        payload: T,
    },
}

#[derive(Debug)]
struct Parked<T> {
    fd: OwnedFd,
    deadline: u32,
    previous: u32,
    next: u32,
    payload: T,
}

/// One slab entry. The generation tells an event for an earlier tenant from one for the present.
#[derive(Debug)]
struct SlabEntry<T> {
    generation: u32,
    tenant: Option<Parked<T>>,
}

/// The slab and the wheel, without any clock or system call.
#[derive(Debug)]
struct Slab<T> {
    places: Vec<SlabEntry<T>>,
    free: Vec<u32>,
    wheel: Vec<u32>,
    /// The second up to which deadlines have been honoured.
    swept: u32,
}

fn slot_of(second: u32) -> usize {
    usize::try_from(second).unwrap_or(0) % SLOTS
}

impl<T> Slab<T> {
    fn new() -> Self {
        Self { places: Vec::new(), free: Vec::new(), wheel: vec![NONE; SLOTS], swept: 0 }
    }

    fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    fn tenant(&mut self, index: u32) -> Option<&mut Parked<T>> {
        self.places.get_mut(usize::try_from(index).ok()?)?.tenant.as_mut()
    }

    /// Where the next tenant would stand: its index and generation. `None` when 2^32 - 1 stand already.
    fn reserve(&mut self) -> Option<(u32, u32)> {
        if self.free.is_empty() {
            let index = u32::try_from(self.places.len()).ok().filter(|index| *index != NONE)?;
            self.places.push(SlabEntry { generation: 0, tenant: None });
            self.free.push(index);
        }
        let index = *self.free.last()?;
        let place = self.places.get(usize::try_from(index).ok()?)?;
        Some((index, place.generation))
    }

    /// Lets a tenant into the place that [`Slab::reserve`] named.
    fn enter(&mut self, index: u32, fd: OwnedFd, payload: T, deadline: u32) {
        let deadline = deadline.max(self.swept.saturating_add(1));
        let Some(head) = self.wheel.get_mut(slot_of(deadline)) else { return };
        let next = std::mem::replace(head, index);
        if let Some(neighbour) = self.tenant(next) {
            neighbour.previous = index;
        }
        if let Some(place) = usize::try_from(index).ok().and_then(|place| self.places.get_mut(place)) {
            place.tenant = Some(Parked { fd, deadline, previous: NONE, next, payload });
            self.free.pop();
        }
    }

    fn remove(&mut self, index: u32) -> Option<(OwnedFd, T)> {
        let place = self.places.get_mut(usize::try_from(index).ok()?)?;
        let tenant = place.tenant.take()?;
        place.generation = place.generation.wrapping_add(1);
        self.free.push(index);
        if let Some(neighbour) = self.tenant(tenant.next) {
            neighbour.previous = tenant.previous;
        }
        if let Some(neighbour) = self.tenant(tenant.previous) {
            neighbour.next = tenant.next;
        } else if let Some(head) = self.wheel.get_mut(slot_of(tenant.deadline)) {
            *head = tenant.next;
        }
        if self.len() == 0 {
            // After a mass wake the memory goes back.
            self.places = Vec::new();
            self.free = Vec::new();
        }
        Some((tenant.fd, tenant.payload))
    }

    /// One of those in the next slot of the wheel that holds any.
    fn nearest(&self) -> Option<u32> {
        (1..)
            .take(SLOTS)
            .map(|turn| slot_of(self.swept.wrapping_add(turn)))
            .find_map(|slot| self.wheel.get(slot).copied().filter(|i| *i != NONE))
    }

    fn leave_at(&mut self, data: u64) -> Option<(OwnedFd, T)> {
        let index = u32::try_from(data & u64::from(u32::MAX)).ok()?;
        let generation = u32::try_from(data >> 32).ok()?;
        let place = self.places.get(usize::try_from(index).ok()?)?;
        if place.generation == generation { self.remove(index) } else { None }
    }

    /// Moves those whose deadline is `now` or earlier to `into`.
    fn expire(&mut self, now: u32, into: &mut VecDeque<Unparked<T>>) {
        let turns = now.saturating_sub(self.swept).min(u32::try_from(SLOTS).unwrap_or(NONE));
        for turn in 0..turns {
            let mut index = self.wheel.get(slot_of(now - turn)).copied().unwrap_or(NONE);
            while let Some(tenant) = self.tenant(index) {
                let (next, due) = (tenant.next, tenant.deadline <= now);
                if due && let Some((fd, payload)) = self.remove(index) {
                    into.push_back(Unparked::Expired { fd, payload });
                }
                index = next;
            }
        }
        self.swept = self.swept.max(now);
    }
}

#[derive(Debug)]
struct Inner<T> {
    places: Slab<T>,
    leaving: VecDeque<Unparked<T>>,
    events: Vec<Event>,
}

/// A parking lot of one worker. `T` is what the user remembers of a connection; keep it small.
#[derive(Debug)]
pub struct ParkingLot<T> {
    io: AsyncFd<Epoll>,
    inner: RefCell<Inner<T>>,
    started: Instant,
    filled: Notify,
}

impl<T> ParkingLot<T> {
    /// An empty lot, registered with the current event loop.
    ///
    /// # Errors
    /// What epoll_create1(2) or epoll_ctl(2) report.
    pub fn new() -> io::Result<Self> {
        let io = sys::watch::readable(Epoll::new()?)?;
        let inner = Inner { places: Slab::new(), leaving: VecDeque::new(), events: Vec::new() };
        Ok(Self { io, inner: RefCell::new(inner), started: Instant::now(), filled: Notify::new() })
    }

    fn second(&self) -> u32 {
        u32::try_from(self.started.elapsed().as_secs()).unwrap_or(NONE - 1)
    }

    /// Lets a non-blocking socket wait for at least `seconds` (and less than two more) or until something arrives,
    /// whichever is first. What has arrived already wakes it at once.
    ///
    /// # Errors
    /// What epoll_ctl(2) reports, with the socket and the payload given back.
    pub fn park(&self, fd: OwnedFd, payload: T, seconds: u32) -> Result<(), (io::Error, OwnedFd, T)> {
        let mut inner = self.inner.borrow_mut();
        let was_empty = inner.places.len() == 0;
        let Some((index, generation)) = inner.places.reserve() else {
            return Err((io::ErrorKind::OutOfMemory.into(), fd, payload));
        };
        let now = self.second();
        if was_empty {
            inner.places.swept = now;
        }
        let data = u64::from(generation) << 32 | u64::from(index);
        if let Err(error) = self.io.get_ref().add(&fd, EPOLLIN | EPOLLRDHUP | EPOLLONESHOT, data) {
            return Err((error, fd, payload));
        }
        inner.places.enter(index, fd, payload, now.saturating_add(seconds).saturating_add(1));
        if was_empty {
            self.filled.notify_one();
        }
        Ok(())
    }

    /// How many connections wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.inner.borrow().places.len()
    }

    /// Whether no connection waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The next connection to leave. One task of the worker calls this in a loop; it may be dropped without loss.
    ///
    /// # Errors
    /// What epoll_wait(2) reports.
    pub async fn next(&self) -> io::Result<Unparked<T>> {
        loop {
            if let Some(left) = self.inner.borrow_mut().leaving.pop_front() {
                return Ok(left);
            }
            if self.is_empty() {
                self.filled.notified().await;
            }
            let tick = self.started + Duration::from_secs(u64::from(self.second()) + 1);
            tokio::select! {
                ready = self.io.readable() => {
                    let mut ready = ready?;
                    if self.collect()? < BATCH {
                        ready.clear_ready();
                    }
                }
                () = crate::time::sleep_until(tick) => {
                    let Inner { places, leaving, .. } = &mut *self.inner.borrow_mut();
                    places.expire(self.second(), leaving);
                }
            }
        }
    }

    fn collect(&self) -> io::Result<usize> {
        let Inner { places, leaving, events } = &mut *self.inner.borrow_mut();
        events.clear();
        let count = self.io.get_ref().poll(0, events)?;
        for event in events.iter() {
            if let Some((fd, payload)) = places.leave_at(event.data) {
                // The descriptor lives on in the event loop, so it must leave this set; it is there, so this cannot fail.
                let _ = self.io.get_ref().delete(&fd);
                leaving.push_back(Unparked::Woken { fd, payload });
            }
        }
        Ok(count)
    }

    /// Takes out the connection whose deadline is nearest, to make room for another. `None`: the lot is empty.
    pub fn evict(&self) -> Option<(OwnedFd, T)> {
        let mut inner = self.inner.borrow_mut();
        let index = inner.places.nearest()?;
        let evicted = inner.places.remove(index)?;
        // Closing would remove it from the set all the same.
        let _ = self.io.get_ref().delete(&evicted.0);
        Some(evicted)
    }

    /// Empties the lot, for the shutdown of a worker.
    pub fn drain_all(&self) -> Vec<(OwnedFd, T)> {
        let Inner { places, leaving, .. } = &mut *self.inner.borrow_mut();
        let mut all: Vec<_> = leaving
            .drain(..)
            .map(|left| match left {
                Unparked::Woken { fd, payload } | Unparked::Expired { fd, payload } => (fd, payload),
            })
            .collect();
        let count = u32::try_from(places.places.len()).unwrap_or(NONE);
        for index in 0..count {
            if let Some((fd, payload)) = places.remove(index) {
                // The descriptor may live on with its new owner; a failure only means that it was not watched.
                let _ = self.io.get_ref().delete(&fd);
                all.push((fd, payload));
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    fn socket() -> (OwnedFd, UnixStream) {
        let (one, other) = UnixStream::pair().unwrap();
        (one.into(), other)
    }

    #[test]
    fn an_entry_is_small() {
        assert!(size_of::<SlabEntry<[u64; 5]>>() + size_of::<u32>() <= 72);
    }

    #[test]
    fn the_wheel_expires_each_at_its_second_even_rounds_later() {
        let mut places = Slab::new();
        let deadlines = [3, 3, 4, 259, 700];
        for deadline in deadlines {
            let (index, _) = places.reserve().unwrap();
            places.enter(index, socket().0, deadline, deadline);
        }
        let mut left = VecDeque::new();
        let mut seen = Vec::new();
        for now in (0..300).chain([2000]) {
            places.expire(now, &mut left);
            for one in left.drain(..) {
                let Unparked::Expired { payload, .. } = one else { panic!("nothing can wake here") };
                assert!(now == payload || now == 2000);
                seen.push(payload);
            }
        }
        seen.sort_unstable();
        assert_eq!(seen, deadlines);
        assert_eq!(places.len(), 0);
    }

    #[test]
    fn leaving_from_the_middle_keeps_the_list_whole() {
        let mut places = Slab::new();
        let mut data = Vec::new();
        for payload in 0..5_u32 {
            let (index, generation) = places.reserve().unwrap();
            places.enter(index, socket().0, payload, 9);
            data.push(u64::from(generation) << 32 | u64::from(index));
        }
        for gone in [2, 4, 0] {
            assert_eq!(places.leave_at(data[gone]).map(|(_, payload)| payload as usize), Some(gone));
            assert!(places.leave_at(data[gone]).is_none());
        }
        let mut left = VecDeque::new();
        places.expire(9, &mut left);
        assert_eq!(left.len(), 2);
    }

    #[tokio::test]
    async fn a_byte_wakes_only_its_own_connection() {
        let lot = ParkingLot::new().unwrap();
        let mut others: Vec<_> = (0..200)
            .map(|number| {
                let (one, other) = socket();
                lot.park(one, number, 600).unwrap();
                other
            })
            .collect();
        others[150].write_all(b"x").unwrap();
        let Unparked::Woken { payload, .. } = lot.next().await.unwrap() else { panic!("nothing is due") };
        assert_eq!(payload, 150);
        others.clear();
        let mut seen = [false; 200];
        for _ in 0..199 {
            let Unparked::Woken { payload, .. } = lot.next().await.unwrap() else { panic!("nothing is due") };
            seen[payload] = true;
        }
        assert_eq!(seen.iter().filter(|seen| **seen).count(), 199);
        assert!(lot.is_empty());
    }

    #[tokio::test]
    async fn a_deadline_ends_the_wait_and_draining_empties() {
        let lot = ParkingLot::new().unwrap();
        let (one, _other) = socket();
        lot.park(one, 'a', 0).unwrap();
        assert!(matches!(lot.next().await.unwrap(), Unparked::Expired { payload: 'a', .. }));
        let (one, _other) = socket();
        lot.park(one, 'b', 60).unwrap();
        assert_eq!(lot.drain_all().len(), 1);
        assert!(lot.is_empty());
    }
}
