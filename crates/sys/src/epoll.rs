//! An epoll(7) set: an own one, or one that stands at a known descriptor number (the event loop's).

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

pub use libc::{EPOLLET, EPOLLEXCLUSIVE, EPOLLHUP, EPOLLIN, EPOLLONESHOT, EPOLLOUT, EPOLLRDHUP};

/// An event of a watched descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// `EPOLLIN` and its like.
    pub flags: u32,
    /// The word given when the descriptor was added.
    pub data: u64,
}

/// How many events one [`Epoll::poll`] takes at most.
pub const BATCH: usize = 64;

/// An epoll(7) set.
#[derive(Debug)]
pub struct Epoll(OwnedFd);

impl Epoll {
    /// Makes an empty set that exec closes, epoll_create1(2).
    pub fn new() -> io::Result<Self> {
        // SAFETY: takes a flag, returns a new descriptor.
        let number = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if number == -1 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel has just made this descriptor for us.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(number) }))
    }

    /// A second handle on the set that stands at `number`, such as the one inside the event loop.
    ///
    /// # Errors
    /// `EBADF` when nothing is open there. Whether it is an epoll set shows at the first change of it (`EINVAL`).
    pub fn duplicate(number: RawFd) -> io::Result<Self> {
        // SAFETY: duplicates whatever stands at this number, or fails; it takes no ownership of the original.
        let copy = unsafe { libc::fcntl(number, libc::F_DUPFD_CLOEXEC, 3) };
        if copy == -1 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel has just made this descriptor for us.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(copy) }))
    }

    fn control(&self, operation: i32, target: BorrowedFd<'_>, flags: i32, data: u64) -> io::Result<()> {
        let mut event = libc::epoll_event { events: flags.cast_unsigned(), u64: data };
        // SAFETY: both descriptors are open and the event is live.
        let result = unsafe { libc::epoll_ctl(self.0.as_raw_fd(), operation, target.as_raw_fd(), &raw mut event) };
        if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Watches `target` for `flags`; `data` comes back with each event.
    pub fn add(&self, target: impl AsFd, flags: i32, data: u64) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, target.as_fd(), flags, data)
    }

    /// Changes what `target` is watched for; re-arms it after a one-shot event.
    pub fn modify(&self, target: impl AsFd, flags: i32, data: u64) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, target.as_fd(), flags, data)
    }

    /// Removes `target` from the set (`EPOLL_CTL_DEL`).
    pub fn delete(&self, target: impl AsFd) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_DEL, target.as_fd(), 0, 0)
    }

    /// Appends up to [`BATCH`] events to `into` and returns how many. Waits `timeout` milliseconds at most: 0 does not
    /// wait, -1 waits for ever. An interruption counts as no event.
    pub fn poll(&self, timeout: i32, into: &mut Vec<Event>) -> io::Result<usize> {
        let mut room = [MaybeUninit::<libc::epoll_event>::uninit(); BATCH];
        let limit = i32::try_from(BATCH).unwrap_or(1);
        // SAFETY: the kernel writes at most BATCH events into the room.
        let count = unsafe { libc::epoll_wait(self.0.as_raw_fd(), room.as_mut_ptr().cast(), limit, timeout) };
        let Ok(count) = usize::try_from(count) else {
            let error = io::Error::last_os_error();
            return if error.kind() == io::ErrorKind::Interrupted { Ok(0) } else { Err(error) };
        };
        into.extend(room.iter().take(count).map(|event| {
            // SAFETY: the kernel filled the first `count` events.
            let event = unsafe { event.assume_init() };
            Event { flags: event.events, data: event.u64 }
        }));
        Ok(count)
    }
}

impl AsFd for Epoll {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for Epoll {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    #[test]
    fn one_shot_reports_once() {
        let set = Epoll::new().unwrap();
        let (one, mut other) = UnixStream::pair().unwrap();
        set.add(&one, EPOLLIN | EPOLLONESHOT, 7).unwrap();
        let copy = Epoll::duplicate(set.as_raw_fd()).unwrap();
        let mut events = Vec::new();
        assert_eq!(copy.poll(0, &mut events).unwrap(), 0);
        other.write_all(b"x").unwrap();
        assert_eq!(copy.poll(0, &mut events).unwrap(), 1);
        assert_eq!(set.poll(0, &mut events).unwrap(), 0);
        assert_eq!(events.first().map(|event| event.data), Some(7));
        set.modify(&one, EPOLLIN, 8).unwrap();
        assert_eq!(set.poll(0, &mut events).unwrap(), 1);
        set.delete(&one).unwrap();
        assert_eq!(set.delete(&one).unwrap_err().raw_os_error(), Some(libc::ENOENT));
    }
}
