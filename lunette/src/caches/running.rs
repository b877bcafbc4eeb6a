//! The keys of a running server, read from its memory.

use crate::command_error::CommandError;
use cache::Digest;
use cache::snapshot::{self, IndexEntry};
use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// What a running server knows of the answers in a directory.
///
/// # Errors
/// Why that cannot be found out.
pub(super) fn keys(root: &Path) -> Result<HashMap<Digest, IndexEntry>, CommandError> {
    let directory = fs::metadata(root).map_err(|error| error.to_string())?;
    let processes = fs::read_dir("/proc").map_err(|error| format!("/proc cannot be read: {error}"))?;
    let mut refused = None;
    for process in processes.flatten().map(|entry| entry.path()).filter(|path| is_server(path)) {
        match zone(&process, &directory) {
            Ok(Some(bytes)) => return Ok(snapshot::read(&bytes)),
            Ok(None) => {}
            Err(error) => refused = Some(format!("the memory of process {} cannot be read: {error}", address(&process)).into()),
        }
    }
    Err(refused.unwrap_or_else(|| "no server that runs has this cache".into()))
}

fn address(process: &Path) -> String {
    process.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Whether a process runs a program of this name. Its title says nothing, its executable does.
fn is_server(process: &Path) -> bool {
    let own = fs::read_link("/proc/self/exe").ok();
    let its = fs::read_link(process.join("exe")).ok();
    let name = |path: &Option<std::path::PathBuf>| path.as_ref().and_then(|path| path.file_name()).map(|name| name.to_owned());
    address(process).bytes().all(|byte| byte.is_ascii_digit()) && its.is_some() && name(&own) == name(&its)
}

/// The shared memory of a process that holds the keys of this directory.
fn zone(process: &Path, directory: &fs::Metadata) -> io::Result<Option<Vec<u8>>> {
    let memory = File::open(process.join("mem"))?;
    for line in fs::read_to_string(process.join("maps"))?.lines() {
        let Some((start, length)) = shared(line) else { continue };
        let mut words = [0; snapshot::WORDS.1];
        let read = memory.read_exact_at(&mut words, start + snapshot::WORDS.0 as u64);
        if read.is_ok() && snapshot::is_of(&words, directory) {
            let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
            memory.read_exact_at(&mut bytes, start)?;
            return Ok(Some(bytes));
        }
    }
    Ok(None)
}

/// Start and length of a line's mapping if it is shared and can be written.
fn shared(line: &str) -> Option<(u64, u64)> {
    let (range, rest) = line.split_once(' ')?;
    let (start, end) = range.split_once('-')?;
    let (start, end) = (u64::from_str_radix(start, 16).ok()?, u64::from_str_radix(end, 16).ok()?);
    rest.starts_with("rw-s").then(|| (start, end.saturating_sub(start)))
}
