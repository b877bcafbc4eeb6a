//! The environment of the process.

use std::ffi::OsString;
use std::io;

/// Replaces the whole environment. Entries whose name is empty or holds `=` or NUL, or whose value holds NUL, are
/// skipped: the C library cannot store them.
///
/// # Errors
/// `ResourceBusy` when the process has more than one thread: another thread might be reading the environment.
pub fn replace(entries: &[(OsString, OsString)]) -> io::Result<()> {
    use std::os::unix::ffi::OsStrExt;
    if !is_alone() {
        return Err(io::ErrorKind::ResourceBusy.into());
    }
    let storable = |(name, value): &&(OsString, OsString)| {
        let name = name.as_bytes();
        !name.is_empty() && !name.contains(&b'=') && !name.contains(&0) && !value.as_bytes().contains(&0)
    };
    // SAFETY: this is the only thread, so nobody reads the environment meanwhile.
    unsafe {
        libc::clearenv();
        // An empty environment is an empty list for C code that walks `environ`, and not null.
        std::env::set_var("_", "");
        std::env::remove_var("_");
        for (name, value) in entries.iter().filter(storable) {
            std::env::set_var(name, value);
        }
    }
    Ok(())
}

/// Whether this is the only thread. One that was joined may stand in the kernel's list for a moment.
fn is_alone() -> bool {
    const MOMENTS: usize = 50;
    (0..MOMENTS).any(|moment| {
        if moment > 0 {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        crate::process::thread_count() == 1
    })
}
