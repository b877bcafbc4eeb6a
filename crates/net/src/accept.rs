//! Accepting connections in a worker, without waking the others.
//!
//! Workers inherit one listening socket. The event loop registers it edge-triggered and not exclusively, so each new
//! connection would wake every worker. An epoll set inside the loop's does not help: the kernel tells an exclusive
//! wait queue "woken" only when somebody sleeps directly on that set. So the registration inside the loop's own set is
//! replaced: same descriptor, same token, but level-triggered with `EPOLLEXCLUSIVE` (epoll_ctl(2)). Level-triggered,
//! because then a worker may take a few connections and leave the rest to others: the kernel reports again.
//! The loop's set and the token are found in `/proc/self/fdinfo` (proc_pid_fdinfo(5)); where that fails, the ordinary
//! registration stays, which is correct but wakes more.
//!
//! Among those who sleep on a listener the kernel wakes the one that has been registered longest, so that alone a few
//! workers would get all connections of a quiet server. After `TURN` connections a worker therefore registers anew
//! and stands last, as with nginx. In a burst all are awake, and chance decides; who is ahead stays away for a moment.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

use base::log::Level;
use sys::epoll::{EPOLLET, EPOLLEXCLUSIVE, EPOLLIN, Epoll};
pub use sys::socket::Peer;
use tokio::io::unix::AsyncFd;

/// How many connections one turn of the loop takes from one listener.
const BATCH: u32 = 4;

/// After how many connections a worker leaves its place at the head of those who wait to the next.
const TURN: u32 = 16;

/// How long accepting rests when it fails for want of descriptors or memory (`accept_mutex_delay` of nginx).
const REST: Duration = Duration::from_millis(500);

const EMFILE: i32 = 24;
const ENFILE: i32 = 23;
const ECONNABORTED: i32 = 103;
/// What befell a connection that is off the queue now: a firewall refused it, or its network failed.
const OF_ONE_CONNECTION: [i32; 9] = [
    ECONNABORTED,
    1,   // EPERM
    71,  // EPROTO
    92,  // ENOPROTOOPT
    100, // ENETDOWN
    101, // ENETUNREACH
    64,  // ENONET
    112, // EHOSTDOWN
    113, // EHOSTUNREACH
];

/// A registration of which an event wakes one worker, not all that wait.
#[derive(Debug)]
pub(crate) struct Exclusive {
    set: Epoll,
    token: u64,
    events: i32,
}

/// A listening socket of a worker. While it is open its [`Acceptor::accept`] must be polled: the level-triggered
/// registration would otherwise keep the loop turning.
#[derive(Debug)]
pub struct Acceptor {
    io: AsyncFd<OwnedFd>,
    exclusive: Option<Exclusive>,
    /// Connections of this turn of the loop.
    this_turn: Cell<u32>,
    /// Connections since it was registered.
    since_registered: Cell<u32>,
    /// Until when it rests because descriptors or memory have run out.
    rests_until: Cell<Option<Instant>>,
    /// Others shall take the connections.
    paused: Cell<bool>,
    /// The listener is registered with the loop.
    watched: Cell<bool>,
}

impl Acceptor {
    /// Registers a non-blocking listening socket with the current event loop. `shared` says that other workers wait on
    /// the same socket; a `reuseport` socket is not shared.
    ///
    /// # Errors
    /// What epoll_ctl(2) reports.
    pub fn new(listener: OwnedFd, shared: bool) -> io::Result<Self> {
        let io = sys::watch::readable(listener)?;
        let exclusive = if shared { make_exclusive(&io, EPOLLIN | EPOLLEXCLUSIVE)? } else { None };
        let (taken, turn) = (Cell::new(0), Cell::new(0));
        Ok(Self {
            io,
            exclusive,
            this_turn: taken,
            since_registered: turn,
            rests_until: Cell::new(None),
            paused: Cell::new(false),
            watched: Cell::new(true),
        })
    }

    /// Whether a new connection wakes only this worker or another one, never several.
    #[must_use]
    pub fn is_exclusive(&self) -> bool {
        self.exclusive.is_some()
    }

    /// The next connection, for one task at a time; its socket is non-blocking. Can be dropped and called again without loss.
    ///
    /// # Errors
    /// What accept4(2) reports, to be logged with [`severity`] as `accept4() failed (…)`; call again afterwards. When
    /// the same would come of it, as descriptors or memory have run out, the next call first rests for half a second.
    pub async fn accept(&self) -> io::Result<(OwnedFd, Peer)> {
        loop {
            if let Some(until) = self.rests_until.get() {
                crate::time::sleep_until(until).await;
                self.rests_until.set(None);
                self.register()?;
            }
            if self.this_turn.get() >= BATCH && self.exclusive.is_none() {
                self.this_turn.set(0);
                crate::turn::next().await;
            }
            let mut ready = poll_fn(|cx| self.io.poll_read_ready(cx)).await?;
            if self.this_turn.get() >= BATCH || !self.watched.get() {
                // The next turn of the loop reports again if anybody is left; while held, it reports to others.
                self.this_turn.set(0);
                ready.clear_ready();
                continue;
            }
            match sys::socket::accept(self.io.get_ref()) {
                Ok(connection) => {
                    self.this_turn.set(self.this_turn.get() + 1);
                    self.since_registered.set(self.since_registered.get() + 1);
                    return Ok(connection);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.this_turn.set(0);
                    ready.clear_ready();
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
                Err(error) => {
                    if is_persistent(&error) {
                        self.disarm();
                        self.register()?;
                    }
                    return Err(error);
                }
            }
        }
    }

    /// Leaves connections to the other workers, or takes them again. Only where others wait on the same socket.
    ///
    /// # Errors
    /// What epoll_ctl(2) reports.
    pub fn hold(&self, held: bool) -> io::Result<()> {
        self.paused.set(held);
        self.register()
    }

    /// Leaves the listener to others for good: no connection wakes this worker any more. Those that it was woken for are
    /// still to be taken with [`Acceptor::take_waiting`], since nobody else was.
    pub fn retire(&self) {
        // What stays registered only wakes for nothing until the descriptor is closed.
        let _ = self.hold(true);
    }

    /// A connection that waits.
    #[must_use]
    pub fn take_waiting(&self) -> Option<(OwnedFd, Peer)> {
        sys::socket::accept(self.io.get_ref()).ok()
    }

    /// Whether a connection waits to be accepted.
    ///
    /// # Errors
    /// What epoll_create1(2), epoll_ctl(2) and epoll_wait(2) report.
    pub fn has_waiting(&self) -> io::Result<bool> {
        let set = Epoll::new()?;
        set.add(&self.io, EPOLLIN, 0)?;
        Ok(set.poll(0, &mut Vec::new())? > 0)
    }

    /// Brings the registration in line with what is wanted. What fails is tried again after a rest.
    fn register(&self) -> io::Result<()> {
        let wanted = !self.paused.get() && self.rests_until.get().is_none();
        let Some(exclusive) = self.exclusive.as_ref().filter(|_| wanted != self.watched.get()) else { return Ok(()) };
        if wanted {
            exclusive.enter(&self.io).inspect_err(|_| self.disarm())?;
            self.this_turn.set(0);
            self.since_registered.set(0);
        } else {
            exclusive.set.delete(&self.io)?;
        }
        self.watched.set(wanted);
        Ok(())
    }

    /// Whether the worker has had its turn at the head of those who wait; [`Acceptor::step_back`] then.
    #[must_use]
    pub fn has_had_turn(&self) -> bool {
        self.since_registered.get() >= TURN && self.exclusive.is_some()
    }

    /// Goes to the end of those who wait; only after a `pause`, if others are behind: what comes meanwhile is theirs.
    ///
    /// # Errors
    /// What epoll_ctl(2) reports.
    pub fn step_back(&self, pause: Option<Duration>) -> io::Result<()> {
        let Some(exclusive) = self.exclusive.as_ref().filter(|_| self.watched.get()) else { return Ok(()) };
        self.since_registered.set(0);
        if let Some(pause) = pause {
            self.rests_until.set(Some(Instant::now() + pause));
            return self.register();
        }
        exclusive.set.delete(&self.io)?;
        exclusive.enter(&self.io).inspect_err(|_| {
            self.watched.set(false);
            self.disarm();
        })
    }

    /// The next [`Acceptor::accept`] waits, and registers anew.
    fn disarm(&self) {
        self.rests_until.set(Some(Instant::now() + REST));
    }
}

impl Exclusive {
    fn enter(&self, io: &AsyncFd<OwnedFd>) -> io::Result<()> {
        self.set.add(io, self.events, self.token)
    }

    pub(crate) fn deregister(&self, io: &AsyncFd<OwnedFd>) -> io::Result<()> {
        self.set.delete(io)
    }
}

/// The level at which nginx logs a failed accept: a client that went away is an ordinary error, a lack of descriptors
/// is critical, anything else alerts.
#[must_use]
pub fn severity(error: &io::Error) -> Level {
    match error.raw_os_error() {
        Some(ECONNABORTED) => Level::Error,
        Some(EMFILE | ENFILE) => Level::Crit,
        _ => Level::Alert,
    }
}

/// Whether the next call would fail in the same way: the listener stays ready, so that calling again at once is a loop without an end.
fn is_persistent(error: &io::Error) -> bool {
    !error.raw_os_error().is_some_and(|number| OF_ONE_CONNECTION.contains(&number))
}

/// Replaces the loop's registration by one for these events; `None` when it cannot be found or the kernel knows no exclusive waiting.
///
/// # Errors
/// When the old registration is gone and could not be put back.
pub(crate) fn make_exclusive(io: &AsyncFd<OwnedFd>, events: i32) -> io::Result<Option<Exclusive>> {
    let Some((set, token)) = find_registration(io.as_raw_fd()) else { return Ok(None) };
    let Ok(set) = Epoll::duplicate(set) else { return Ok(None) };
    if set.delete(io).is_err() {
        return Ok(None);
    }
    let exclusive = Exclusive { set, token, events };
    if exclusive.enter(io).is_ok() {
        return Ok(Some(exclusive));
    }
    exclusive.set.add(io, EPOLLIN | EPOLLET, token)?;
    Ok(None)
}

/// The epoll set of this process that watches `target` edge-triggered, and the token it was added with.
fn find_registration(target: RawFd) -> Option<(RawFd, u64)> {
    for entry in std::fs::read_dir("/proc/self/fd").ok()?.flatten() {
        let is_set = std::fs::read_link(entry.path()).is_ok_and(|link| link.as_os_str() == "anon_inode:[eventpoll]");
        let number = entry.file_name().to_str().and_then(|name| name.parse::<RawFd>().ok());
        let (true, Some(number)) = (is_set, number) else { continue };
        let Ok(info) = std::fs::read_to_string(format!("/proc/self/fdinfo/{number}")) else { continue };
        if let Some(token) = info.lines().find_map(|line| token_of(line, target)) {
            return Some((number, token));
        }
    }
    None
}

/// Reads a line like `tfd:        5 events: 80002019 data:     7f12a0  pos:0 ino:1 sdev:2`.
fn token_of(line: &str, target: RawFd) -> Option<u64> {
    let mut words = line.strip_prefix("tfd:")?.split_ascii_whitespace();
    let number: RawFd = words.next()?.parse().ok()?;
    let events = words.nth(1).and_then(|hex| u32::from_str_radix(hex, 16).ok())?;
    let token = words.nth(1).and_then(|hex| u64::from_str_radix(hex, 16).ok())?;
    (number == target && events & EPOLLET.cast_unsigned() != 0).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fdinfo_lines_are_read() {
        let line = "tfd:        5 events: 80002001 data:     7f12a0  pos:0 ino:61 sdev:f";
        assert_eq!(token_of(line, 5), Some(0x7f_12a0));
        assert_eq!(token_of(line, 6), None);
        assert_eq!(token_of("tfd: 5 events: 19 data: 1", 5), None);
        assert_eq!(token_of("pos:\t0", 0), None);
    }

    #[test]
    fn what_will_not_pass_at_once_rests() {
        // Of accept(2): what one connection suffered, and what the next call would suffer too.
        for (number, rests) in
            [(103, false), (71, false), (113, false), (1, false), (23, true), (24, true), (12, true), (105, true), (22, true)]
        {
            assert_eq!(is_persistent(&io::Error::from_raw_os_error(number)), rests, "{number}");
        }
    }

    /// A socket that does not listen is always ready, and each accept4(2) fails.
    #[tokio::test]
    async fn a_failure_that_lasts_is_not_met_again_at_once() {
        for shared in [true, false] {
            let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
            socket.set_nonblocking(true).unwrap();
            let acceptor = Acceptor::new(socket.into(), shared).unwrap();
            assert_eq!(acceptor.accept().await.unwrap_err().raw_os_error(), Some(22));
            assert!(acceptor.rests_until.get().is_some(), "{shared}");
            assert_eq!(acceptor.watched.get(), !shared);
        }
    }

    /// epoll_ctl(2) may fail for want of memory or of watches: the listener is not lost for it.
    #[tokio::test]
    async fn a_registration_that_fails_is_tried_again() {
        for hold in [true, false] {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            listener.set_nonblocking(true).unwrap();
            let address = listener.local_addr().unwrap();
            let acceptor = Acceptor::new(listener.into(), true).unwrap();
            let set = &acceptor.exclusive.as_ref().unwrap().set;
            acceptor.hold(true).unwrap();
            // What is there already cannot be added.
            set.add(&acceptor.io, EPOLLIN, 0).unwrap();
            if hold {
                assert!(acceptor.hold(false).is_err());
            } else {
                acceptor.paused.set(false);
                acceptor.rests_until.set(Some(Instant::now()));
                assert!(acceptor.accept().await.is_err());
            }
            assert!(acceptor.rests_until.get().is_some() && !acceptor.watched.get(), "{hold}");
            set.delete(&acceptor.io).unwrap();
            let client = std::net::TcpStream::connect(address).unwrap();
            let (_, peer) = acceptor.accept().await.unwrap();
            assert_eq!(peer, Peer::Internet(client.local_addr().unwrap()));
            acceptor.step_back(None).unwrap();
            assert!(acceptor.watched.get());
        }
    }

    #[tokio::test]
    async fn a_listener_becomes_exclusive_and_survives_being_held() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let acceptor = Acceptor::new(listener.into(), true).unwrap();
        assert!(acceptor.is_exclusive());
        acceptor.hold(true).unwrap();
        assert!(!acceptor.has_waiting().unwrap());
        let clients: Vec<_> = (0..3 * TURN).map(|_| std::net::TcpStream::connect(address).unwrap()).collect();
        assert!(acceptor.has_waiting().unwrap());
        assert!(crate::time::timeout(Duration::from_millis(1), acceptor.accept()).await.is_err());
        acceptor.hold(false).unwrap();
        for client in &clients {
            let (_, peer) = acceptor.accept().await.unwrap();
            assert_eq!(peer, Peer::Internet(client.local_addr().unwrap()));
        }
    }
}
