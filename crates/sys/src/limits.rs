//! Resource limits, scheduling priority and processor affinity.

use std::io;

use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::Pid;

/// Sets the soft and the hard limit of open descriptors, setrlimit(2) `RLIMIT_NOFILE`.
pub fn set_open_files(count: u64) -> io::Result<()> {
    Ok(setrlimit(Resource::RLIMIT_NOFILE, count, count)?)
}

/// The soft limit of open descriptors.
pub fn open_files() -> io::Result<u64> {
    Ok(getrlimit(Resource::RLIMIT_NOFILE)?.0)
}

/// Sets the soft and the hard limit of a core file, in bytes, setrlimit(2) `RLIMIT_CORE`.
pub fn set_core_size(bytes: u64) -> io::Result<()> {
    Ok(setrlimit(Resource::RLIMIT_CORE, bytes, bytes)?)
}

/// Lets the stack of the main thread grow to `bytes`, setrlimit(2) `RLIMIT_STACK`, as far as the hard limit allows. Linux keeps at
/// least 128 MB of addresses free for it, whatever the limit was when the program started.
pub fn allow_stack(bytes: u64) -> io::Result<()> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_STACK)?;
    if soft < bytes.min(hard) {
        setrlimit(Resource::RLIMIT_STACK, bytes.min(hard), hard)?;
    }
    Ok(())
}

/// Sets the nice value of this process, setpriority(2): -20 (most favourable) to 19.
pub fn set_priority(nice: i32) -> io::Result<()> {
    // SAFETY: setpriority takes integers only.
    if unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, nice) } == -1 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Binds the calling thread to these processors (numbered from 0), sched_setaffinity(2).
///
/// # Errors
/// `EINVAL` when none of them exists or one is beyond what a processor set holds.
pub fn set_affinity(processors: &[usize]) -> io::Result<()> {
    let mut set = CpuSet::new();
    for &processor in processors {
        set.set(processor)?;
    }
    Ok(sched_setaffinity(Pid::from_raw(0), &set)?)
}

/// How many processors this machine has online; at least 1. This is what `worker_processes auto` counts.
#[must_use]
pub fn processors() -> usize {
    match nix::unistd::sysconf(nix::unistd::SysconfVar::_NPROCESSORS_ONLN) {
        Ok(Some(count)) => usize::try_from(count).unwrap_or(1).max(1),
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_impossible_processor_is_refused() {
        assert!(set_affinity(&[1 << 20]).is_err());
        assert!(set_affinity(&[]).is_err());
        assert!(open_files().unwrap() > 0);
        assert!(processors() >= 1);
    }
}
