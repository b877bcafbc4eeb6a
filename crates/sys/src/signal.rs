//! Signals: blocked and awaited by the master, caught into a pipe by a worker.
//!
//! A worker does not keep signals blocked (signalfd would need that), because the mask is inherited by every program
//! that Lua code starts, and a shell that cannot be terminated is worse than a handler of three lines.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::str::FromStr;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use nix::fcntl::OFlag;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal, sigaction, sigprocmask};

pub use libc::{SIGALRM, SIGCHLD, SIGHUP, SIGINT, SIGIO, SIGKILL, SIGPIPE, SIGQUIT, SIGSYS, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH};

/// A signal, and who sent it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// The signal's number.
    pub number: i32,
    /// The process that sent it; 0 when the kernel did.
    pub sender: i32,
}

/// A signal's number on this system by its name without `SIG` (`TERM`); none for a name that it does not have.
#[must_use]
pub fn by_name(name: &str) -> Option<i32> {
    Signal::from_str(&format!("SIG{name}")).ok().map(|signal| signal as i32)
}

fn set_of(numbers: &[i32]) -> io::Result<SigSet> {
    let mut set = SigSet::empty();
    for &number in numbers {
        set.add(Signal::try_from(number)?);
    }
    Ok(set)
}

/// Adds signals to the blocked mask of the calling thread, sigprocmask(2). Children inherit it.
pub fn block(numbers: &[i32]) -> io::Result<()> {
    Ok(sigprocmask(SigmaskHow::SIG_BLOCK, Some(&set_of(numbers)?), None)?)
}

/// Empties the blocked mask of the calling thread.
pub fn unblock_all() -> io::Result<()> {
    Ok(sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)?)
}

/// Ignores a signal for the whole process, sigaction(2).
pub fn ignore(number: i32) -> io::Result<()> {
    let action = SigAction::new(SigHandler::SigIgn, SaFlags::empty(), SigSet::empty());
    // SAFETY: SIG_IGN runs no code of ours.
    unsafe { sigaction(Signal::try_from(number)?, &action) }?;
    Ok(())
}

/// Lets those of the signals `numbers` that are caught interrupt system calls, instead of starting these again
/// (`SA_RESTART`), sigaction(2).
///
/// # Errors
/// What sigaction(2) reports.
pub fn interrupt_calls(numbers: &[i32]) -> io::Result<()> {
    for &number in numbers {
        let mut action = MaybeUninit::<libc::sigaction>::zeroed();
        // SAFETY: the kernel fills the struct that the pointer leads to; nothing is changed.
        if unsafe { libc::sigaction(number, std::ptr::null(), action.as_mut_ptr()) } == -1 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: zeroed at first and filled by the call.
        let mut action = unsafe { action.assume_init() };
        action.sa_flags &= !libc::SA_RESTART;
        // SAFETY: the same handler as before, with one flag less.
        if unsafe { libc::sigaction(number, &raw const action, std::ptr::null_mut()) } == -1 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Waits for one of the blocked signals `numbers`, sigtimedwait(2). `None` when `timeout` passed; no timeout waits for
/// ever. An interruption by another signal counts as a timeout.
pub fn wait(numbers: &[i32], timeout: Option<Duration>) -> io::Result<Option<Received>> {
    let set = set_of(numbers)?;
    let limit = timeout.map(|time| libc::timespec {
        tv_sec: libc::time_t::try_from(time.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: libc::c_long::from(i32::try_from(time.subsec_nanos()).unwrap_or(0)),
    });
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    let limit = limit.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: set and info are valid for the call, limit is null or points to a live timespec.
    let number = unsafe { libc::sigtimedwait(set.as_ref(), info.as_mut_ptr(), limit) };
    if number == -1 {
        let error = io::Error::last_os_error();
        return match error.raw_os_error() {
            Some(libc::EAGAIN | libc::EINTR) => Ok(None),
            _ => Err(error),
        };
    }
    // SAFETY: zeroed at first and filled by the call; for a signal without a sender the field reads 0.
    let sender = unsafe { info.assume_init().si_pid() };
    Ok(Some(Received { number, sender }))
}

/// Write end of the pipe that the handler feeds; -1 while no [`SignalPipe`] exists. A handler has no other way to reach
/// its data than a static.
static PIPE: AtomicI32 = AtomicI32::new(-1);

/// Size of one record in the pipe: signal number and sender, four bytes each. Below `PIPE_BUF`, so writes are atomic.
const RECORD: usize = 8;

extern "C" fn handler(number: libc::c_int, info: *mut libc::siginfo_t, _context: *mut libc::c_void) {
    // SAFETY: the kernel passes a valid siginfo with SA_SIGINFO; errno belongs to this thread; write(2) is
    // async-signal-safe and reads only the local record. A full pipe loses the signal, as a pending one would be.
    unsafe {
        let errno = libc::__errno_location();
        let saved = *errno;
        let sender = if info.is_null() { 0 } else { (*info).si_pid() };
        let mut record = [0_u8; RECORD];
        let (first, second) = record.split_at_mut(RECORD / 2);
        first.copy_from_slice(&number.to_ne_bytes());
        second.copy_from_slice(&sender.to_ne_bytes());
        libc::write(PIPE.load(Ordering::Relaxed), record.as_ptr().cast(), RECORD);
        *errno = saved;
    }
}

/// Signals of this process as a readable descriptor. One at a time. After it is dropped the signals do nothing: a worker
/// that is on its way out is not to be reported as killed.
#[derive(Debug)]
pub struct SignalPipe {
    reader: OwnedFd,
    /// Held open for the handler.
    _writer: OwnedFd,
}

impl SignalPipe {
    /// Catches `numbers` from now on.
    ///
    /// # Errors
    /// `AlreadyExists` while another pipe lives in this process; otherwise what pipe2(2) or sigaction(2) report.
    pub fn new(numbers: &[i32]) -> io::Result<Self> {
        set_of(numbers)?;
        let (reader, writer) = nix::unistd::pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
        PIPE.compare_exchange(-1, writer.as_raw_fd(), Ordering::Relaxed, Ordering::Relaxed).map_err(|_| io::ErrorKind::AlreadyExists)?;
        let pipe = Self { reader, _writer: writer };
        let action = SigAction::new(SigHandler::SigAction(handler), SaFlags::SA_RESTART, SigSet::empty());
        for &number in numbers {
            // SAFETY: the handler calls only async-signal-safe functions and preserves errno.
            unsafe { sigaction(Signal::try_from(number)?, &action) }?;
        }
        Ok(pipe)
    }

    /// The next signal that arrived; `None` when all have been read. Never blocks.
    pub fn next(&self) -> io::Result<Option<Received>> {
        let mut record = [0_u8; RECORD];
        match nix::unistd::read(&self.reader, &mut record) {
            Ok(RECORD) => {
                let [a, b, c, d, e, f, g, h] = record;
                Ok(Some(Received { number: i32::from_ne_bytes([a, b, c, d]), sender: i32::from_ne_bytes([e, f, g, h]) }))
            }
            Ok(_) | Err(nix::errno::Errno::EAGAIN | nix::errno::Errno::EINTR) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

impl AsFd for SignalPipe {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.reader.as_fd()
    }
}

impl AsRawFd for SignalPipe {
    fn as_raw_fd(&self) -> i32 {
        self.reader.as_raw_fd()
    }
}

impl Drop for SignalPipe {
    fn drop(&mut self) {
        PIPE.store(-1, Ordering::Relaxed);
    }
}

/// The signal's name with `SIG`, as in log lines; `SIG?` for one that nginx does not handle.
#[must_use]
pub fn name(number: i32) -> &'static str {
    match number {
        SIGHUP => "SIGHUP",
        SIGINT => "SIGINT",
        SIGQUIT => "SIGQUIT",
        SIGTERM => "SIGTERM",
        SIGUSR1 => "SIGUSR1",
        SIGUSR2 => "SIGUSR2",
        SIGWINCH => "SIGWINCH",
        SIGALRM => "SIGALRM",
        SIGIO => "SIGIO",
        SIGCHLD => "SIGCHLD",
        SIGPIPE => "SIGPIPE",
        SIGSYS => "SIGSYS",
        SIGKILL => "SIGKILL",
        _ => "SIG?",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process;

    #[test]
    fn signals_have_names() {
        assert_eq!(by_name("TERM"), Some(SIGTERM));
        assert_eq!(by_name("USR1"), Some(SIGUSR1));
        assert_eq!(by_name("SIGTERM"), None);
        assert_eq!(by_name("term"), None);
    }

    #[test]
    fn a_caught_signal_names_its_sender() {
        let pipe = SignalPipe::new(&[SIGWINCH]).unwrap();
        assert!(SignalPipe::new(&[SIGIO]).is_err());
        assert_eq!(pipe.next().unwrap(), None);
        process::kill(process::id(), SIGWINCH).unwrap();
        let mut got = None;
        // Any thread may be the one that is interrupted, once it has a processor.
        for _ in 0..60_000 {
            got = pipe.next().unwrap();
            if got.is_some() {
                break;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(got, Some(Received { number: SIGWINCH, sender: process::id() }));
    }

    #[test]
    fn waiting_ends_without_a_signal() {
        block(&[SIGALRM]).unwrap();
        assert_eq!(wait(&[SIGALRM], Some(Duration::from_millis(1))).unwrap(), None);
        assert!(wait(&[9999], None).is_err());
    }
}
