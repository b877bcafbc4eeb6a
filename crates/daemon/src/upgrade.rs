//! Binary upgrade: a new program takes over the listening sockets while the old one still serves.

use std::ffi::{CString, OsString};
use std::os::unix::ffi::OsStringExt;

use base::errno::describe;
use base::log::Level;
use net::listener::Listeners;
use sys::process::Fork;

use crate::console::Console;

/// The variable that names inherited listening sockets.
pub(crate) const NGINX: &str = "NGINX";

/// Room for the title of the new program, which is written over its environment.
const SPARE: usize = 300;

/// Starts the program `arguments[0]` with these arguments, this environment and the sockets. Returns its process id;
/// `None` after the reason was logged.
pub(crate) fn start(
    arguments: &[CString],
    environment: Vec<(OsString, OsString)>,
    listeners: &Listeners,
    console: &Console,
) -> Option<i32> {
    let path = arguments.first()?;
    match sys::process::fork() {
        Ok(Fork::Parent(pid)) => {
            console.report(Level::Notice, &format!("start new binary process {pid}"));
            Some(pid)
        }
        Ok(Fork::Child) => {
            let failed = |call: &str, error: &std::io::Error| {
                let program = path.to_string_lossy();
                let text = format!("{call} failed while executing new binary process \"{program}\" {}", describe(error));
                console.report(Level::Alert, &text);
            };
            match listeners.hand_over() {
                Ok(sockets) => failed("execve()", &replace_program(path, arguments, environment, sockets)),
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

fn replace_program(path: &CString, arguments: &[CString], environment: Vec<(OsString, OsString)>, sockets: String) -> std::io::Error {
    let own = [(OsString::from(NGINX), OsString::from(sockets)), (OsString::from("SPARE"), OsString::from("X".repeat(SPARE)))];
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
