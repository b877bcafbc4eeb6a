//! Making, replacing, awaiting and signalling processes.

use std::ffi::CString;
use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use nix::fcntl::OFlag;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid};

/// Which side of a `fork()` the caller is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fork {
    /// The original process; the number is the child's process id.
    Parent(i32),
    /// The new process.
    Child,
}

/// Duplicates the process, fork(2). The child keeps only the calling thread, so the caller should have no other
/// threads: a lock that another thread held stays held in the child.
pub fn fork() -> io::Result<Fork> {
    // SAFETY: the callers are the single-threaded master and tests. Should a foreign library have started a thread,
    // glibc re-initialises its allocator and stdio locks in the child, so the worst outcome is a wait, not corruption.
    match unsafe { nix::unistd::fork() }? {
        ForkResult::Parent { child } => Ok(Fork::Parent(child.as_raw())),
        ForkResult::Child => Ok(Fork::Child),
    }
}

/// The process ID: getpid(2).
#[must_use]
pub fn id() -> i32 {
    nix::unistd::getpid().as_raw()
}

/// The id of the parent process.
#[must_use]
pub fn parent_id() -> i32 {
    nix::unistd::getppid().as_raw()
}

/// How many threads this process has; 1 when `/proc` cannot be read.
#[must_use]
pub(crate) fn thread_count() -> usize {
    std::fs::read_dir("/proc/self/task").map_or(1, |tasks| tasks.count().max(1))
}

/// The process that the user started, which waits while its child becomes the daemon.
#[derive(Debug)]
pub struct Foreground(OwnedFd);

impl Foreground {
    /// The daemon is ready: the waiting process ends with code 0. When this value is dropped instead, it ends with
    /// code 1.
    pub fn release(self) {
        // A foreground process that was killed needs no release.
        let _ = nix::unistd::write(&self.0, b"r");
    }
}

/// Leaves the terminal, as nginx's `daemon on`: the parent waits to be released, the child becomes a session leader
/// with umask 0 and `/dev/null` as standard input and output. Standard error stays, so that a late failure is still
/// seen. (nginx's parent ends at once, before the pid file exists; service managers stumble over that.)
///
/// Errors carry the name of the call that failed, in nginx's words (`fork() failed`).
pub fn daemonize() -> Result<Foreground, (&'static str, io::Error)> {
    let (reader, writer) = nix::unistd::pipe2(OFlag::O_CLOEXEC).map_err(|error| ("pipe2()", error.into()))?;
    match fork().map_err(|error| ("fork()", error))? {
        Fork::Parent(_) => {
            drop(writer);
            exit_now(wait_for_release(&reader))
        }
        Fork::Child => drop(reader),
    }
    nix::unistd::setsid().map_err(|error| ("setsid()", error.into()))?;
    nix::sys::stat::umask(nix::sys::stat::Mode::empty());
    let null = OpenOptions::new().read(true).write(true).open("/dev/null").map_err(|error| ("open(\"/dev/null\")", error))?;
    nix::unistd::dup2_stdin(&null).map_err(|error| ("dup2(STDIN)", error.into()))?;
    nix::unistd::dup2_stdout(&null).map_err(|error| ("dup2(STDOUT)", error.into()))?;
    if null.as_raw_fd() <= 2 {
        // The process was started with a closed standard descriptor; the new one must survive as that descriptor.
        std::mem::forget(null);
    }
    Ok(Foreground(writer))
}

fn wait_for_release(reader: &OwnedFd) -> i32 {
    let mut byte = [0];
    loop {
        match nix::unistd::read(reader, &mut byte) {
            Ok(0) => return 1,
            Ok(_) => return 0,
            Err(nix::errno::Errno::EINTR) => (),
            Err(_) => return 1,
        }
    }
}

/// Makes standard error the same file as `target`, dup2(2).
pub fn redirect_stderr(target: impl std::os::fd::AsFd) -> io::Result<()> {
    Ok(nix::unistd::dup2_stderr(target)?)
}

/// A descriptor that can be read once this child has ended, pidfd_open(2).
///
/// # Errors
/// What pidfd_open(2) reports; kernels before 5.3 do not have it.
pub fn descriptor(pid: u32) -> io::Result<OwnedFd> {
    let pid = libc::pid_t::try_from(pid).map_err(io::Error::other)?;
    // SAFETY: the call takes two integers.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    let fd = RawFd::try_from(fd).ok().filter(|fd| *fd >= 0).ok_or_else(io::Error::last_os_error)?;
    // SAFETY: the kernel has just opened it for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Ends the process at once, _exit(2): no destructor, no `atexit` handler, no flush of inherited buffers.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: _exit takes a plain integer and does not return.
    unsafe { libc::_exit(code) }
}

/// Replaces the program of this process, execve(2). `path` is not searched for. Returns only on failure.
pub fn execute(path: &CString, arguments: &[CString], environment: &[CString]) -> io::Error {
    match nix::unistd::execve(path, arguments, environment) {
        Ok(never) => match never {},
        Err(error) => error.into(),
    }
}

/// Sends `signal` to process `pid`, kill(2). Signal 0 only asks whether the process exists.
pub fn kill(pid: i32, signal: i32) -> io::Result<()> {
    // SAFETY: kill takes two integers and touches no memory of this process.
    if unsafe { libc::kill(pid, signal) } == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// When process `pid` was started, in ticks since the system was, and whether it has ended and only waits for its parent; `None`
/// where `/proc` does not tell.
#[must_use]
pub fn start_time(pid: i32) -> Option<(u64, bool)> {
    let text = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may hold anything.
    let end = text.iter().rposition(|byte| *byte == b')')?;
    let mut fields = std::str::from_utf8(text.get(end + 1..)?).ok()?.split_ascii_whitespace();
    let ended = matches!(fields.next()?, "Z" | "X" | "x");
    Some((fields.nth(18)?.parse().ok()?, ended))
}

/// How a child process ended: wait(2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitStatus {
    /// It called exit with this code.
    Code(i32),
    /// A signal killed it.
    Signal {
        /// The signal's number.
        number: i32,
        /// Whether the kernel wrote a core file.
        dumped: bool,
    },
}

/// The next child that has ended and was not reported yet, waitpid(2) with `WNOHANG`: its id and how it ended.
/// `None` when there is none at this moment, or no child at all.
pub fn reap() -> io::Result<Option<(i32, ExitStatus)>> {
    loop {
        match waitpid(None::<Pid>, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, code)) => return Ok(Some((pid.as_raw(), ExitStatus::Code(code)))),
            Ok(WaitStatus::Signaled(pid, signal, dumped)) => {
                return Ok(Some((pid.as_raw(), ExitStatus::Signal { number: signal as i32, dumped })));
            }
            Ok(WaitStatus::StillAlive) | Err(nix::errno::Errno::ECHILD) => return Ok(None),
            Ok(_) | Err(nix::errno::Errno::EINTR) => (),
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kill_reports_a_missing_process() {
        // Process ids are below 2^22 on Linux, so this one cannot exist.
        let error = kill(i32::MAX - 1, 0).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ESRCH));
        assert!(kill(id(), 0).is_ok());
    }

    #[test]
    fn execute_reports_a_missing_file() {
        let path = CString::new("/nonexistent/program").unwrap();
        let error = execute(&path, std::slice::from_ref(&path), &[]);
        assert_eq!(error.raw_os_error(), Some(libc::ENOENT));
    }
}
