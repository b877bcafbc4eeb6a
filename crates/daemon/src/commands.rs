//! Commands to a worker: from its master over a channel, or from anybody by a signal.

use std::cell::Cell;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::{Duration, Instant};

use base::log::{ErrorLog, Level};
use sys::signal::{self, Received, SignalPipe};
use sys::title::Title;
use tokio::io::unix::AsyncFd;

/// Bytes on the channel from master to worker.
pub(crate) const QUIT: u8 = b'Q';
/// Terminate.
pub(crate) const TERMINATE: u8 = b'T';
/// Reopen the logs.
pub(crate) const REOPEN: u8 = b'R';
/// Those of the configuration before have stopped.
pub(crate) const BEGIN: u8 = b'B';
/// From worker to master: the worker takes connections.
pub(crate) const READY: u8 = b'r';
/// The worker takes no more connections.
pub(crate) const STOPPED: u8 = b's';

/// Signals that a worker listens to.
pub(crate) const SIGNALS: [i32; 9] = [
    signal::SIGQUIT,
    signal::SIGTERM,
    signal::SIGINT,
    signal::SIGUSR1,
    signal::SIGHUP,
    signal::SIGUSR2,
    signal::SIGWINCH,
    // These two mean nothing, but would end a process that does not catch them.
    signal::SIGALRM,
    signal::SIGIO,
];

/// What the master tells a worker to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Close the listeners and idle connections, finish the open requests, then return.
    Quit,
    /// Return at once.
    Terminate,
    /// Open the log files again.
    Reopen,
    /// The workers of the configuration before take no more connections ([`WorkerSetup::relieves`](crate::WorkerSetup::relieves)).
    Begin,
    /// `worker_shutdown_timeout` has passed since `Quit`: close the connections that are left, then return.
    ShutdownTimeout,
}

/// Whether the process has a master.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProcessKind {
    /// A worker of a master; says whether the server is a daemon.
    Worker { daemon: bool },
    /// The privileged agent, which has nothing to finish: it leaves at once.
    Agent,
    /// `master_process off`.
    Single,
}

/// The commands before the event loop runs. Signals are caught from its making on, and kept.
#[derive(Debug)]
pub struct CommandSource {
    pub(crate) signals: SignalPipe,
    pub(crate) channel: Option<UnixStream>,
    pub(crate) title: Option<Rc<Title>>,
    pub(crate) kind: ProcessKind,
    pub(crate) shutdown_timeout: Option<Duration>,
    pub(crate) quitting: Rc<Cell<bool>>,
}

impl CommandSource {
    /// Registers with the current event loop. `log` receives the lines about signals.
    ///
    /// # Errors
    /// What epoll_ctl(2) reports.
    pub fn start(self, log: ErrorLog) -> io::Result<Commands> {
        Ok(Commands {
            signals: sys::watch::readable(self.signals)?,
            channel: self.channel.map(sys::watch::readable).transpose()?,
            title: self.title,
            kind: self.kind,
            shutdown_timeout: self.shutdown_timeout,
            deadline: None,
            quitting: self.quitting,
            log,
        })
    }
}

/// The stream of commands of a running worker.
#[derive(Debug)]
pub struct Commands {
    signals: AsyncFd<SignalPipe>,
    channel: Option<AsyncFd<UnixStream>>,
    title: Option<Rc<Title>>,
    kind: ProcessKind,
    shutdown_timeout: Option<Duration>,
    deadline: Option<Instant>,
    quitting: Rc<Cell<bool>>,
    log: ErrorLog,
}

impl Commands {
    /// Tells the master that this worker takes connections; a reload sends the old workers home only then.
    pub fn ready(&self) {
        self.tell(READY);
    }

    /// Tells the master that this worker takes no more connections; its successors begin their own work only then.
    pub fn stopped(&self) {
        self.tell(STOPPED);
    }

    fn tell(&self, word: u8) {
        if let Some(channel) = &self.channel {
            // A master that is gone has nobody to pass it on to.
            let _ = channel.get_ref().write_all(&[word]);
        }
    }

    /// The next command. Can be dropped and called again without loss. A repeated `Quit` is not reported twice.
    ///
    /// # Errors
    /// When the event loop is shutting down.
    pub async fn next(&mut self) -> io::Result<Command> {
        loop {
            let command = tokio::select! {
                received = next_signal(&self.signals) => self.meaning(received?),
                byte = next_byte(self.channel.as_ref()) => match byte {
                    Some(QUIT) => Some(Command::Quit),
                    Some(TERMINATE) => Some(Command::Terminate),
                    Some(REOPEN) => Some(Command::Reopen),
                    Some(BEGIN) => return Ok(Command::Begin),
                    Some(_) => None,
                    None => {
                        // The master died. Serving on without one is nginx's way; signals still work.
                        self.channel = None;
                        return Ok(Command::Begin);
                    }
                },
                () = sleep_until(self.deadline) => {
                    self.deadline = None;
                    return Ok(Command::ShutdownTimeout);
                }
            };
            base::clock::stale();
            match command {
                Some(Command::Quit | Command::Terminate) if self.kind == ProcessKind::Agent => {
                    self.log.write(Level::Notice, 0, b"exiting");
                    return Ok(Command::Terminate);
                }
                Some(Command::Quit) if !self.quitting.get() => {
                    self.start_quitting();
                    return Ok(Command::Quit);
                }
                Some(Command::Terminate) => {
                    // The line "exiting" comes once: here, or when the graceful end is reached.
                    self.quitting.set(false);
                    self.log.write(Level::Notice, 0, b"exiting");
                    return Ok(Command::Terminate);
                }
                Some(Command::Reopen) => {
                    self.log.write(Level::Notice, 0, b"reopening logs");
                    return Ok(Command::Reopen);
                }
                _ => (),
            }
        }
    }

    fn start_quitting(&mut self) {
        self.quitting.set(true);
        self.deadline = self.shutdown_timeout.and_then(|limit| Instant::now().checked_add(limit));
        self.log.write(Level::Notice, 0, b"gracefully shutting down");
        if let Some(title) = &self.title {
            title.set(b"nginx: worker process is shutting down");
        }
    }

    /// Logs a signal as nginx does and says what it asks for.
    fn meaning(&self, received: Received) -> Option<Command> {
        let single = self.kind == ProcessKind::Single;
        let (command, action) = match received.number {
            signal::SIGQUIT => (Some(Command::Quit), ", shutting down"),
            signal::SIGTERM | signal::SIGINT => (Some(Command::Terminate), ", exiting"),
            signal::SIGUSR1 => (Some(Command::Reopen), ", reopening logs"),
            signal::SIGHUP if single => (Some(Command::Terminate), ", exiting"),
            signal::SIGWINCH if self.kind == (ProcessKind::Worker { daemon: true }) => (Some(Command::Quit), ", shutting down"),
            signal::SIGHUP | signal::SIGUSR2 => (None, ", ignoring"),
            _ => (None, ""),
        };
        self.log.write(Level::Notice, 0, received_line(received, action).as_bytes());
        command
    }
}

/// nginx's log line for a signal.
pub(crate) fn received_line(received: Received, action: &str) -> String {
    let Received { number, sender } = received;
    let name = signal::name(number);
    match sender {
        0 => format!("signal {number} ({name}) received{action}"),
        _ => format!("signal {number} ({name}) received from {sender}{action}"),
    }
}

async fn next_signal(signals: &AsyncFd<SignalPipe>) -> io::Result<Received> {
    loop {
        let mut ready = signals.readable().await?;
        match signals.get_ref().next()? {
            Some(received) => return Ok(received),
            None => ready.clear_ready(),
        }
    }
}

/// The next byte of the channel; `None` when the other side is gone. Without a channel it waits for ever.
async fn next_byte(channel: Option<&AsyncFd<UnixStream>>) -> Option<u8> {
    let Some(channel) = channel else { return std::future::pending().await };
    loop {
        let mut ready = channel.readable().await.ok()?;
        match read_byte(channel.get_ref()) {
            Ok(byte) => return byte,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready.clear_ready(),
            Err(_) => return None,
        }
    }
}

/// Reads one byte from a non-blocking channel; `None` at its end.
pub(crate) fn read_byte(mut channel: &UnixStream) -> io::Result<Option<u8>> {
    let mut byte = [0];
    Ok(if channel.read(&mut byte)? == 0 { None } else { Some(byte[0]) })
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => net::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
