//! The title of the process as `ps` shows it.
//!
//! As nginx does it: the memory in which the kernel put the arguments and the environment is written over, after the
//! environment has moved to the heap. The bounds come from `/proc/self/stat`, see proc_pid_stat(5), so that no
//! libc-specific start hook is needed. After [`Title::take_over`] the arguments in `std::env::args` are no longer the
//! original ones.

use std::io;

/// The right to write the title. Made once, early, and inherited over fork.
#[derive(Debug)]
pub struct Title {
    start: usize,
    len: usize,
}

/// Where the four addresses stand among the fields after the command name (fields 48 to 51 of the manual page).
const ARG_START: usize = 45;

impl Title {
    /// Moves the environment away and takes the area. Must run before other threads exist.
    ///
    /// # Errors
    /// `ResourceBusy` with more than one thread, `InvalidData` when `/proc` does not give a usable area.
    pub fn take_over() -> io::Result<Self> {
        let stat = std::fs::read_to_string("/proc/self/stat")?;
        let (_, fields) = stat.rsplit_once(") ").ok_or(io::ErrorKind::InvalidData)?;
        let mut fields = fields.split_ascii_whitespace().skip(ARG_START).map(str::parse::<usize>);
        let mut address = || fields.next().and_then(Result::ok).ok_or(io::ErrorKind::InvalidData);
        let (arg_start, arg_end, env_start, env_end) = (address()?, address()?, address()?, address()?);
        if arg_start == 0 || arg_end <= arg_start {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let end = if env_start == arg_end && env_end > env_start { env_end } else { arg_end };
        let entries: Vec<_> = std::env::vars_os().collect();
        crate::environment::replace(&entries)?;
        Ok(Self { start: arg_start, len: end - arg_start })
    }

    /// Shows `title`, cut to the room there is; a NUL ends it early. Meant for a process with one thread, or whose
    /// other threads leave the argument vector alone.
    pub fn set(&self, title: &[u8]) {
        let title = title.split(|byte| *byte == 0).next().unwrap_or_default();
        let shown = title.len().min(self.len - 1);
        let area = std::ptr::with_exposed_provenance_mut::<u8>(self.start);
        // SAFETY: the kernel laid out self.len writable bytes here for the arguments and the environment; the
        // environment was copied to the heap, and nothing else in the process refers to the area. Every string that
        // std's argument iterator may look for stays NUL-terminated, as the area's last byte is always NUL. (The
        // kernel looks beyond the argument area only when the last byte of that area is not NUL.)
        unsafe {
            std::ptr::copy_nonoverlapping(title.as_ptr(), area, shown);
            std::ptr::write_bytes(area.add(shown), 0, self.len - shown);
        }
    }
}
