//! Accepting connections in a worker, without waking the others.
//!
//! Workers inherit one listening socket. The event loop registers it edge-triggered and not exclusively, so each new
//! connection would wake every worker. An epoll set inside the loop's does not help: the kernel tells an exclusive
//! wait queue "woken" only when somebody sleeps directly on that set. So the registration inside the loop's own set is
//! replaced: same descriptor, same token, but level-triggered with `EPOLLEXCLUSIVE` (epoll_ctl(2)). Level-triggered,
//! because then a worker may take a few connections and leave the rest to others: the kernel reports again.
//! The loop's set and the token are found in `/proc/self/fdinfo` (proc_pid_fdinfo(5)); where that fails, the ordinary
//! registration stays, which is correct but wakes more.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::time::Duration;

use base::log::Level;
use sys::epoll::{EPOLLET, EPOLLEXCLUSIVE, EPOLLIN, Epoll};
use sys::socket::Peer;
use tokio::io::unix::AsyncFd;
use tokio::time::Instant;

/// How many connections one turn of the loop takes from one listener.
const BATCH: u32 = 4;

/// How long accepting rests when descriptors have run out (`accept_mutex_delay` of nginx).
const REST: Duration = Duration::from_millis(500);

const EMFILE: i32 = 24;
const ENFILE: i32 = 23;
const ECONNABORTED: i32 = 103;

#[derive(Debug)]
struct Exclusive {
    set: Epoll,
    token: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Resting(Instant),
    Paused,
}

/// A listening socket of a worker. While it is open its [`Acceptor::accept`] must be polled: the level-triggered
/// registration would otherwise keep the loop turning.
#[derive(Debug)]
pub struct Acceptor {
    io: AsyncFd<OwnedFd>,
    exclusive: Option<Exclusive>,
    taken: u32,
    state: State,
}

impl Acceptor {
    /// Registers a non-blocking listening socket with the current event loop. `shared` says that other workers wait on
    /// the same socket; a `reuseport` socket is not shared.
    ///
    /// # Errors
    /// What epoll_ctl(2) reports.
    pub fn new(listener: OwnedFd, shared: bool) -> io::Result<Self> {
        let io = sys::watch::readable(listener)?;
        let exclusive = if shared { make_exclusive(&io)? } else { None };
        Ok(Self { io, exclusive, taken: 0, state: State::Open })
    }

    /// Whether a new connection wakes only this worker or another one, never several.
    #[must_use]
    pub fn is_exclusive(&self) -> bool {
        self.exclusive.is_some()
    }

    /// The next connection; its socket is non-blocking. Can be dropped and called again without loss.
    ///
    /// # Errors
    /// What accept4(2) reports, to be logged with [`severity`] as `accept4() failed (…)`; call again afterwards. When
    /// descriptors have run out, the next call first rests for half a second.
    pub async fn accept(&mut self) -> io::Result<(OwnedFd, Peer)> {
        loop {
            match self.state {
                State::Open => (),
                State::Paused => std::future::pending().await,
                State::Resting(until) => {
                    tokio::time::sleep_until(until).await;
                    self.resume()?;
                }
            }
            if self.taken >= BATCH && self.exclusive.is_none() {
                self.taken = 0;
                tokio::task::yield_now().await;
            }
            let mut ready = self.io.readable().await?;
            if self.taken >= BATCH {
                // The next turn of the loop reports again if anybody is left.
                self.taken = 0;
                ready.clear_ready();
                continue;
            }
            match sys::socket::accept(self.io.get_ref()) {
                Ok(connection) => {
                    self.taken += 1;
                    return Ok(connection);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.taken = 0;
                    ready.clear_ready();
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
                Err(error) => {
                    if matches!(error.raw_os_error(), Some(EMFILE | ENFILE)) {
                        self.pause()?;
                        self.state = State::Resting(Instant::now() + REST);
                    }
                    return Err(error);
                }
            }
        }
    }

    /// Takes no more connections until [`Acceptor::resume`]; meanwhile [`Acceptor::accept`] waits for ever. Other
    /// workers are woken instead.
    ///
    /// # Errors
    /// What epoll_ctl(2) reports.
    pub fn pause(&mut self) -> io::Result<()> {
        if self.state == State::Open
            && let Some(exclusive) = &self.exclusive
        {
            exclusive.set.delete(&self.io)?;
        }
        self.state = State::Paused;
        Ok(())
    }

    /// Takes connections again.
    ///
    /// # Errors
    /// What epoll_ctl(2) reports.
    pub fn resume(&mut self) -> io::Result<()> {
        if self.state != State::Open
            && let Some(exclusive) = &self.exclusive
        {
            exclusive.set.add(&self.io, EPOLLIN | EPOLLEXCLUSIVE, exclusive.token)?;
        }
        self.state = State::Open;
        self.taken = 0;
        Ok(())
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

/// Replaces the loop's registration; `None` when it cannot be found or the kernel knows no exclusive waiting.
///
/// # Errors
/// When the old registration is gone and could not be put back.
fn make_exclusive(io: &AsyncFd<OwnedFd>) -> io::Result<Option<Exclusive>> {
    let Some((set, token)) = find_registration(io.as_raw_fd()) else { return Ok(None) };
    let Ok(set) = Epoll::duplicate(set) else { return Ok(None) };
    if set.delete(io).is_err() {
        return Ok(None);
    }
    if set.add(io, EPOLLIN | EPOLLEXCLUSIVE, token).is_ok() {
        return Ok(Some(Exclusive { set, token }));
    }
    set.add(io, EPOLLIN | EPOLLET, token)?;
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

    #[tokio::test]
    async fn a_listener_becomes_exclusive_and_survives_a_pause() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let mut acceptor = Acceptor::new(listener.into(), true).unwrap();
        assert!(acceptor.is_exclusive());
        acceptor.pause().unwrap();
        let clients: Vec<_> = (0..9).map(|_| std::net::TcpStream::connect(address).unwrap()).collect();
        acceptor.resume().unwrap();
        for client in &clients {
            let (_, peer) = acceptor.accept().await.unwrap();
            assert_eq!(peer, Peer::Internet(client.local_addr().unwrap()));
        }
    }
}
