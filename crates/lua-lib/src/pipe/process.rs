//! A started program, and all those of a worker.

use crate::pipe::reader::PipeReader;
use crate::pipe::writer::PipeWriter;
use base::errno::describe;
use base::log::Level;
use session::Worker;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus};
use std::rc::{Rc, Weak};
use std::time::Duration;
use tokio::io::unix::AsyncFd;
use tokio::net::unix::pipe::{Receiver, Sender};
use tokio::sync::Notify;

/// What Lua wants to run.
pub struct SpawnRequest {
    /// The program and its arguments; the program is searched for in `PATH`.
    pub words: Vec<Vec<u8>>,
    /// `name=value` each; none: the worker's own environment.
    pub environment: Option<Vec<Vec<u8>>>,
    /// Whether standard error goes where standard output goes.
    pub merged: bool,
    /// How much is read at once, in bytes.
    pub buffer: usize,
}

/// How a process has ended, once it has.
#[derive(Default)]
pub struct ChildExit {
    status: Cell<Option<ExitStatus>>,
    notify: Notify,
}

impl ChildExit {
    /// The kind of end and its number, as `proc:wait` names them.
    pub fn reason(&self) -> Option<(&'static str, i32)> {
        let status = self.status.get()?;
        Some(match (status.code(), status.signal()) {
            (Some(code), _) => ("exit", code),
            (None, Some(signal)) => ("signal", signal),
            (None, None) => ("unknown", status.into_raw()),
        })
    }

    /// Waits until it has ended.
    pub async fn ended(&self) {
        while self.status.get().is_none() {
            self.notify.notified().await;
        }
    }
}

/// A running or dead process that its object still knows. Dropping it kills the process.
pub struct Process {
    pid: i32,
    /// Its end.
    pub ending: Rc<ChildExit>,
    /// There is a waiter for the end.
    pub waited: Cell<bool>,
    /// Its standard input.
    pub stdin: PipeWriter,
    /// Its standard output.
    pub stdout: PipeReader,
    /// Its standard error, unless merged.
    pub stderr: Option<PipeReader>,
}

base::message_error! {
    /// Why a process could not be started or signalled: what Lua gets beside nil.
    pub struct ProcessError;
}

impl Process {
    /// Starts a program and sees to its end.
    ///
    /// # Errors
    /// Which call failed, and why.
    pub fn start(worker: &Rc<Worker>, order: &SpawnRequest) -> Result<Process, ProcessError> {
        let failed = |call: &str, error: &io::Error| format!("{call} failed: {}", reason(error));
        let piped = |error: io::Error| failed("pipe", &error);
        let (child_in, stdin) = io::pipe().map_err(piped)?;
        let (stdout, child_out) = io::pipe().map_err(piped)?;
        let (stderr, child_err) = if order.merged {
            (None, child_out.try_clone().map_err(piped)?)
        } else {
            let (reader, writer) = io::pipe().map_err(piped)?;
            (Some(reader), writer)
        };
        let mut command = command(order);
        command.stdin(child_in).stdout(child_out).stderr(child_err);
        let child = command.spawn().or_else(|error| {
            let program = order.words.first().map(|word| String::from_utf8_lossy(word).into_owned()).unwrap_or_default();
            let call = if order.environment.is_some() { "execvpe" } else { "execvp" };
            let line = format!("lua pipe child {call}() failed while executing {program} {}", describe(&error));
            worker.log.write(Level::Error, 0, line.as_bytes());
            stand_in()
        });
        // The child's ends must close, or no end of file would ever come.
        drop(command);
        let child = child.map_err(|error| failed("fork", &error))?;
        let pid = i32::try_from(child.id()).unwrap_or(0);
        let inlet = |reader: io::PipeReader| Receiver::from_owned_fd(OwnedFd::from(reader)).map(|end| PipeReader::new(end, order.buffer));
        let ends = Sender::from_owned_fd(OwnedFd::from(stdin))
            .and_then(|stdin| Ok((PipeWriter::new(stdin), inlet(stdout)?, stderr.map(inlet).transpose()?)));
        let ending = Rc::new(ChildExit::default());
        worker.spawn(Box::pin(reap(worker.clone(), child, ending.clone())));
        let (stdin, stdout, stderr) = ends.map_err(|error| failed("fcntl", &error))?;
        Ok(Process { pid, ending, waited: Cell::new(false), stdin, stdout, stderr })
    }

    /// The process's number.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// `exited`, `invalid signal`, or the system's words.
    pub fn kill(&self, signal: i32) -> Result<(), ProcessError> {
        if self.ending.reason().is_some() {
            return Err("exited".into());
        }
        sys::process::kill(self.pid, signal).map_err(|error| match error.kind() {
            io::ErrorKind::InvalidInput => "invalid signal".into(),
            _ if error.raw_os_error() == Some(NO_SUCH_PROCESS) => "exited".into(),
            _ => reason(&error).into(),
        })
    }

    /// Closes all its pipes; pending writes fail with `closed`, pending reads get what was in the pipe.
    pub fn close(&self) {
        self.stdin.close("closed");
        self.stdout.finish();
        if let Some(stderr) = &self.stderr {
            stderr.finish();
        }
    }
}

/// ESRCH.
const NO_SUCH_PROCESS: i32 = 3;

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself at this moment.
        let _ = self.kill(sys::signal::SIGKILL);
    }
}

/// The system's words for an error, without its number.
fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

fn command(order: &SpawnRequest) -> Command {
    let mut words = order.words.iter().map(|word| OsStr::from_bytes(word));
    let mut command = Command::new(words.next().unwrap_or_default());
    command.args(words);
    if let Some(environment) = &order.environment {
        command.env_clear();
        for entry in environment {
            let equals = entry.iter().skip(1).position(|byte| *byte == b'=').map_or(entry.len(), |at| at + 1);
            let (name, value) = entry.split_at(equals);
            command.env(OsStr::from_bytes(name), OsStr::from_bytes(value.get(1..).unwrap_or_default()));
        }
    }
    command
}

/// In the place of a program that cannot be run: OpenResty's child finds that out after its fork, and exits with 1.
fn stand_in() -> io::Result<Child> {
    Command::new("/bin/sh").args(["-c", "exit 1"]).stdin(std::process::Stdio::null()).spawn()
}

/// How often is looked whether a process has ended, where the kernel cannot tell.
const LOOK: Duration = Duration::from_millis(20);

/// Waits for the end of a child, of which `told` tells.
async fn end(child: &mut Child, told: Option<AsyncFd<OwnedFd>>) -> io::Result<ExitStatus> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        match &told {
            Some(told) => drop(told.readable().await?),
            None => net::time::sleep(LOOK).await,
        }
    }
}

async fn reap(worker: Rc<Worker>, mut child: Child, ending: Rc<ChildExit>) {
    let pid = child.id();
    let told = sys::process::descriptor(pid).and_then(sys::watch::readable).ok();
    match end(&mut child, told).await {
        Ok(status) => ending.status.set(Some(status)),
        Err(error) => {
            worker.log.write(Level::Error, 0, format!("lua pipe waitpid failed {}", describe(&error)).as_bytes());
            ending.status.set(Some(ExitStatus::from_raw(0)));
        }
    }
    worker.log.write(Level::Notice, 0, format!("signal 17 (SIGCHLD) received from {pid}").as_bytes());
    ending.notify.notify_waiters();
}

/// The processes of a worker by number.
#[derive(Default)]
pub struct Hub {
    all: RefCell<HashMap<u64, Rc<Process>>>,
    next: Cell<u64>,
}

impl Hub {
    /// Enters a process and returns its number.
    pub fn add(&self, process: Rc<Process>) -> u64 {
        let id = self.next.get() + 1;
        self.next.set(id);
        self.all.borrow_mut().insert(id, process);
        id
    }

    /// The process of this number, unless it is gone.
    pub fn find(&self, id: u64) -> Option<Rc<Process>> {
        self.all.borrow().get(&id).cloned()
    }

    /// Forgets a process; its pipes are closed.
    pub fn remove(&self, id: u64) {
        let gone = self.all.borrow_mut().remove(&id);
        if let Some(process) = gone {
            process.close();
        }
    }
}

/// The processes that a request has started; they end with it.
#[derive(Default)]
pub struct Owned(RefCell<Vec<(Weak<Hub>, u64)>>);

impl Owned {
    /// Adds a process.
    pub fn add(&self, hub: &Rc<Hub>, id: u64) {
        let mut list = self.0.borrow_mut();
        list.retain(|(hub, id)| hub.upgrade().is_some_and(|hub| hub.find(*id).is_some()));
        list.push((Rc::downgrade(hub), id));
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        self.close();
    }
}

impl Owned {
    /// Lets all of them go.
    pub fn close(&self) {
        for (hub, id) in self.0.take() {
            if let Some(hub) = hub.upgrade() {
                hub.remove(id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_end_of_a_child_is_seen_with_and_without_a_descriptor() {
        for is_told in [true, false] {
            let mut child = Command::new("/bin/sh").args(["-c", "read line; exit 7"]).stdin(std::process::Stdio::piped()).spawn().unwrap();
            let told = sys::process::descriptor(child.id()).and_then(sys::watch::readable).ok();
            drop(child.stdin.take());
            assert_eq!(end(&mut child, told.filter(|_| is_told)).await.unwrap().code(), Some(7), "{is_told}");
        }
    }
}
