//! The pid file, and finding the running server through it.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use base::errno::describe;
use base::log::Level;

use crate::cli::Control;
use crate::console::Console;

/// The name that the file has while a new binary takes over.
pub(crate) fn oldbin(pid: &Path) -> PathBuf {
    let mut name = pid.as_os_str().to_owned();
    name.push(".oldbin");
    name.into()
}

/// Writes the id of this process.
pub(crate) fn write(path: &Path, console: &Console) -> bool {
    let written = open(path, true).and_then(|mut file| file.write_all(format!("{}\n", sys::process::id()).as_bytes()));
    finish(written, path, console)
}

/// `-t`: sees whether the file could be written, and leaves what it holds.
pub(crate) fn probe(path: &Path, console: &Console) -> bool {
    finish(open(path, false).map(drop), path, console)
}

/// Only its owner may write it, whatever the umask: who can write it decides which process root sends signals to.
fn open(path: &Path, truncate: bool) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(truncate).mode(0o644).open(path)
}

fn finish(result: io::Result<()>, path: &Path, console: &Console) -> bool {
    if let Err(error) = &result {
        console.report(Level::Emerg, &format!("open() \"{}\" failed {}", path.display(), describe(error)));
    }
    result.is_ok()
}

/// Removes the file at the end.
pub(crate) fn remove(path: &Path, console: &Console) {
    if let Err(error) = std::fs::remove_file(path) {
        console.report(Level::Alert, &format!("unlink() \"{}\" failed {}", path.display(), describe(&error)));
    }
}

/// Sends what `-s` asks for to the process that the file names. Returns the exit code.
pub(crate) fn control(path: &Path, control: Control, console: &Console) -> i32 {
    console.report(Level::Notice, "signal process started");
    let content = match std::fs::read(path) {
        Ok(content) => content,
        Err(error) => {
            console.report(Level::Error, &format!("open() \"{}\" failed {}", path.display(), describe(&error)));
            return 1;
        }
    };
    let end = content.iter().rposition(|byte| !matches!(byte, b'\r' | b'\n')).map_or(0, |last| last + 1);
    let text = String::from_utf8_lossy(content.get(..end.min(22)).unwrap_or_default()).into_owned();
    // Only digits: a sign would address a process group.
    let pid = if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse::<i32>().ok() } else { None };
    let Some(pid) = pid.filter(|pid| *pid > 0) else {
        console.report(Level::Error, &format!("invalid PID number \"{text}\" in \"{}\"", path.display()));
        return 1;
    };
    match sys::process::kill(pid, control.signal()) {
        Ok(()) => 0,
        Err(error) => {
            console.report(Level::Alert, &format!("kill({pid}, {}) failed {}", control.signal(), describe(&error)));
            1
        }
    }
}
