//! Binary upgrade: a new program takes over the listening sockets while the old one still serves.

use std::ffi::{CString, OsString};
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::sync::Arc;

use base::errno::describe;
use base::log::Level;
use net::listener::Listeners;
use sys::process::Fork;

use crate::application::{Handover, TOLD};
use crate::console::Console;

/// The variable that names inherited listening sockets.
pub(crate) const NGINX: &str = "NGINX";

/// The variable that names a pipe with what the old binary tells ([`Handover::told`]).
const LEGACY: &str = "LUNETTE_LEGACY";

/// The variable that names inherited files with memory ([`Handover::memory`]).
const MEMORY: &str = "LUNETTE_MEMORY";

/// Room for the title of the new program, which is written over its environment.
const SPARE: usize = 300;

/// Starts the program `arguments[0]` with these arguments, this environment and the sockets. Returns its process id;
/// `None` after the reason was logged.
pub(crate) fn start(
    arguments: &[CString],
    environment: Vec<(OsString, OsString)>,
    listeners: &Listeners,
    legacy: &Handover,
    console: &Console,
) -> Option<i32> {
    let path = arguments.first()?;
    match sys::process::fork() {
        Ok(Fork::Parent(pid)) => {
            console.report(Level::Notice, &format!("start new binary process {pid}"));
            Some(pid)
        }
        Ok(Fork::Child) => {
            let failed = |call: &str, error: &io::Error| {
                let program = path.to_string_lossy();
                let text = format!("{call} failed while executing new binary process \"{program}\" {}", describe(error));
                console.report(Level::Alert, &text);
            };
            let mut own = vec![(OsString::from("SPARE"), OsString::from("X".repeat(SPARE)))];
            // Secrets are not for an environment. The end that is read stays open for the program that is executed.
            let pipe = legacy_pipe(&legacy.message).inspect_err(|error| failed("pipe()", error)).ok().flatten();
            own.extend(pipe.as_ref().map(|pipe| (OsString::from(LEGACY), pipe.as_raw_fd().to_string().into())));
            let memory = hand_over(&legacy.memory).inspect_err(|error| failed("fcntl()", error)).unwrap_or_default();
            own.push((OsString::from(MEMORY), memory.into()));
            match listeners.hand_over() {
                Ok(sockets) => {
                    own.push((OsString::from(NGINX), OsString::from(sockets)));
                    failed("execve()", &replace_program(path, arguments, environment, own));
                }
                Err(error) => failed("fcntl()", &error),
            }
            sys::process::exit_now(1)
        }
        Err(error) => {
            console.report(Level::Alert, &format!("fork() failed while spawning \"new binary process\" {}", describe(&error)));
            None
        }
    }
}

/// Lets files survive exec. Returns their numbers as the variable has them.
fn hand_over(files: &[Arc<OwnedFd>]) -> io::Result<String> {
    let mut numbers = String::new();
    for file in files {
        sys::descriptor::set_inheritable(file, true)?;
        // Writing to a text cannot fail.
        let _ = write!(numbers, "{};", file.as_raw_fd());
    }
    Ok(numbers)
}

/// A pipe in which the bytes lie; none, if there are none.
fn legacy_pipe(legacy: &[u8]) -> io::Result<Option<io::PipeReader>> {
    if legacy.is_empty() || legacy.len() > TOLD {
        return Ok(None);
    }
    let (reader, mut writer) = io::pipe()?;
    // So few bytes never wait for a reader.
    writer.write_all(legacy)?;
    sys::descriptor::set_inheritable(&reader, true)?;
    Ok(Some(reader))
}

/// What the old binary has left; nothing, if there was none.
pub(crate) fn legacy() -> Handover {
    Handover { message: read_legacy(), memory: memory() }
}

/// No program that this one executes gets these files.
fn memory() -> Vec<Arc<OwnedFd>> {
    let variable = std::env::var(MEMORY).unwrap_or_default();
    let file = |number: &str| {
        let file = sys::descriptor::adopt(number.parse().ok()?).ok()?;
        sys::descriptor::set_inheritable(&file, false).ok()?;
        Some(Arc::new(file))
    };
    variable.split_terminator(';').filter_map(file).collect()
}

fn read_legacy() -> Vec<u8> {
    let number = std::env::var(LEGACY).ok().and_then(|number| number.parse().ok());
    let Some(pipe) = number.and_then(|number| sys::descriptor::adopt(number).ok()) else { return Vec::new() };
    let mut legacy = Vec::new();
    match File::from(pipe).take(TOLD as u64).read_to_end(&mut legacy) {
        Ok(_) => legacy,
        Err(_) => Vec::new(),
    }
}

fn replace_program(
    path: &CString,
    arguments: &[CString],
    environment: Vec<(OsString, OsString)>,
    own: Vec<(OsString, OsString)>,
) -> io::Error {
    let environment: Vec<CString> = environment
        .into_iter()
        .chain(own)
        .filter_map(|(mut entry, value)| {
            entry.push("=");
            entry.push(value);
            CString::new(entry.into_vec()).ok()
        })
        .collect();
    if let Err(error) = sys::signal::unblock_all() {
        return error;
    }
    sys::process::execute(path, arguments, &environment)
}
