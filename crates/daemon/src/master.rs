//! The master: waits for signals and keeps workers running with the current configuration.

mod deaths;

use std::ffi::CString;
use std::time::{Duration, Instant};

use base::errno::describe;
use base::log::Level;
use net::listener::{Listeners, Purpose};
use sys::signal::{self, Received};

use crate::application::{Application, LoadMode};
use crate::child::{Child, Respawn};
use crate::cli::Options;
use crate::commands::{QUIT, REOPEN, TERMINATE, received_line};
use crate::console::Console;
use crate::guard::guarded;
use crate::settings::Settings;
use crate::worker::Inherited;
use crate::worker_table::WorkerTable;
use crate::{pidfile, upgrade};

/// The signals that the master waits for; blocked for the rest of its life.
pub(crate) const SIGNALS: [i32; 10] = [
    signal::SIGCHLD,
    signal::SIGALRM,
    signal::SIGIO,
    signal::SIGINT,
    signal::SIGHUP,
    signal::SIGUSR1,
    signal::SIGWINCH,
    signal::SIGTERM,
    signal::SIGQUIT,
    signal::SIGUSR2,
];

/// First and last pause between requests to terminate; after the last one workers are killed.
const FIRST_PRESSURE: Duration = Duration::from_millis(50);
const LAST_PRESSURE: Duration = Duration::from_secs(1);

/// Wishes that signals have expressed and that the loop has yet to fulfil.
#[derive(Debug, Default)]
struct PendingSignals {
    terminate: bool,
    quit: bool,
    reconfigure: bool,
    reopen: bool,
    change_binary: bool,
    no_accept: bool,
    restart: bool,
}

/// The master process.
pub(crate) struct Master<'a, A: Application> {
    pub(crate) app: &'a mut A,
    options: Options,
    arguments: Vec<CString>,
    pub(crate) inherited: Inherited,
    /// Parent at the start: while it still is the parent, this is a new binary that runs alongside the old one.
    parent: i32,
    pub(crate) console: Console,
    /// Taken only in a child that becomes a worker.
    pub(crate) generation: Option<A::Generation>,
    pub(crate) listeners: Listeners,
    pub(crate) children: Vec<Child>,
    pub(crate) respawns: Vec<Respawn>,
    pub(crate) age: u32,
    /// The workers of the configuration in force.
    pub(crate) board: WorkerTable,
    new_binary: Option<i32>,
    not_accepting: bool,
    wishes: PendingSignals,
    /// Since termination: the present pause and its end.
    pressure: Option<(Duration, Instant)>,
}

impl<'a, A: Application> Master<'a, A> {
    /// A master without workers yet.
    pub(crate) fn new(
        app: &'a mut A,
        options: Options,
        arguments: Vec<CString>,
        inherited: Inherited,
        parent: i32,
        console: Console,
        generation: A::Generation,
        listeners: Listeners,
    ) -> Self {
        Self {
            app,
            options,
            arguments,
            inherited,
            parent,
            console,
            generation: Some(generation),
            listeners,
            children: Vec::new(),
            respawns: Vec::new(),
            age: 0,
            board: WorkerTable::default(),
            new_binary: None,
            not_accepting: false,
            wishes: PendingSignals::default(),
            pressure: None,
        }
    }

    /// The settings of the configuration in force.
    pub(crate) fn settings(&self) -> Option<&Settings> {
        self.generation.as_ref().map(|generation| self.app.settings(generation))
    }

    /// Runs until told to stop and all workers are gone. Returns the exit code.
    pub(crate) fn cycle(mut self) -> i32 {
        if let Some(title) = &self.inherited.title {
            let mut text = b"nginx: master process".to_vec();
            for argument in &self.arguments {
                text.push(b' ');
                text.extend_from_slice(argument.as_bytes());
            }
            title.set(&text);
        }
        self.start_workers(false);
        loop {
            match signal::wait(&SIGNALS, self.pause()) {
                Ok(received) => {
                    base::clock::stale();
                    self.note_all(received);
                }
                Err(error) => {
                    self.console.report(Level::Alert, &format!("sigtimedwait() failed {}", describe(&error)));
                    std::thread::sleep(FIRST_PRESSURE);
                }
            }
            self.reap();
            if self.wishes.terminate || self.wishes.quit {
                self.respawns.clear();
                if self.children.is_empty() {
                    return self.finish();
                }
            }
            self.respawn_due();
            self.handle_signals();
        }
    }

    /// How long the loop may sleep; `None` until the next signal.
    fn pause(&self) -> Option<Duration> {
        let pressure = self.pressure.map(|(_, end)| end);
        let next = self.respawns.iter().map(|one| one.at).chain(pressure).min()?;
        Some(next.saturating_duration_since(Instant::now()))
    }

    fn note_all(&mut self, mut received: Option<Received>) {
        while let Some(one) = received {
            self.record(one);
            received = signal::wait(&SIGNALS, Some(Duration::ZERO)).unwrap_or(None);
        }
    }

    /// Logs a signal and remembers what it asks for.
    fn record(&mut self, received: Received) {
        let mut ignored = false;
        let action = match received.number {
            signal::SIGQUIT => {
                self.wishes.quit = true;
                ", shutting down"
            }
            signal::SIGTERM | signal::SIGINT => {
                self.wishes.terminate = true;
                ", exiting"
            }
            signal::SIGWINCH if self.inherited.daemon => {
                self.wishes.no_accept = true;
                ", stop accepting connections"
            }
            signal::SIGHUP => {
                self.wishes.reconfigure = true;
                ", reconfiguring"
            }
            signal::SIGUSR1 => {
                self.wishes.reopen = true;
                ", reopening logs"
            }
            signal::SIGUSR2 if sys::process::parent_id() == self.parent || self.new_binary.is_some() => {
                ignored = true;
                ", ignoring"
            }
            signal::SIGUSR2 => {
                self.wishes.change_binary = true;
                ", changing binary"
            }
            _ => "",
        };
        self.console.report(Level::Notice, &received_line(received, action));
        if ignored {
            let text = "the changing binary signal is ignored: \
                        you should shutdown or terminate before either old or new binary's process";
            self.console.report(Level::Crit, text);
        }
    }

    /// Does what the signals asked for, in nginx's order.
    fn handle_signals(&mut self) {
        if self.wishes.terminate {
            self.escalate();
            return;
        }
        if self.wishes.quit {
            self.send_home(u32::MAX);
            let unlink = self.owns_files();
            self.listeners.close(unlink, &mut |level, message| self.console.report(level, message));
            return;
        }
        if std::mem::take(&mut self.wishes.reconfigure) {
            self.reconfigure();
        }
        if std::mem::take(&mut self.wishes.restart) {
            self.age += 1;
            self.start_workers(false);
        }
        if std::mem::take(&mut self.wishes.reopen) {
            self.reopen();
        }
        if std::mem::take(&mut self.wishes.change_binary) {
            self.change_binary();
        }
        if std::mem::take(&mut self.wishes.no_accept) {
            self.not_accepting = true;
            self.respawns.clear();
            self.send_home(u32::MAX);
        }
    }

    /// Asks workers to terminate, more and more often, and kills them in the end.
    fn escalate(&mut self) {
        let now = Instant::now();
        let delay = match self.pressure {
            None => FIRST_PRESSURE,
            Some((delay, end)) if now >= end => delay * 2,
            Some(_) => return,
        };
        for child in &mut self.children {
            if delay > LAST_PRESSURE {
                child.kill(signal::SIGKILL, &self.console);
            } else {
                child.send_command(TERMINATE, signal::SIGTERM, &self.console);
            }
            child.exiting = true;
        }
        self.pressure = Some((delay, now + delay.min(2 * LAST_PRESSURE)));
    }

    /// Tells workers of configurations before `age` to finish their requests and leave.
    pub(crate) fn send_home(&mut self, age: u32) {
        for child in self.children.iter_mut().filter(|child| child.age < age && !child.exiting) {
            child.send_command(QUIT, signal::SIGQUIT, &self.console);
            child.exiting = true;
        }
    }

    fn reopen(&mut self) {
        self.console.report(Level::Notice, "reopening logs");
        if let Some(generation) = &self.generation {
            self.app.reopen(generation);
        }
        self.console.redirect_stderr();
        for child in &mut self.children {
            child.send_command(REOPEN, signal::SIGUSR1, &self.console);
        }
    }

    fn reconfigure(&mut self) {
        if self.new_binary.is_some() {
            // Back to the old binary: its workers return, with the configuration they had.
            self.age += 1;
            self.start_workers(false);
            self.not_accepting = false;
            return;
        }
        self.console.report(Level::Notice, "reconfiguring");
        let Some(next) = self.load_next() else { return };
        let old = self.generation.replace(next);
        if let Some((log, keep)) = self.settings().map(|settings| (settings.error_log.clone(), settings.keep_stderr)) {
            self.console.log = log;
            self.console.keep_stderr = keep;
        }
        self.console.redirect_stderr();
        self.age += 1;
        self.start_workers(true);
        self.relieve();
        drop(old);
    }

    /// Everything that can fail in a reload. `None` after the reason was logged; then nothing has changed.
    fn load_next(&mut self) -> Option<A::Generation> {
        let previous = self.generation.as_ref();
        let loaded = self.console.load(self.app, &self.options, previous, LoadMode::Run).and_then(|mut next| {
            guarded(|| self.app.open(&mut next, previous, LoadMode::Run))?;
            Ok(next)
        });
        let next = loaded.map_err(|error| self.console.refuse(&error)).ok()?;
        let settings = self.app.settings(&next);
        let old_pid = previous.map(|generation| self.app.settings(generation).pid.clone());
        let moved = old_pid.filter(|old| *old != settings.pid);
        if moved.is_some() && !pidfile::write(&settings.pid, &self.console) {
            return None;
        }
        let console = &self.console;
        let mut report = |level: Level, message: &str| console.report(level, message);
        let opened = self.listeners.open(&settings.listeners, settings.worker_count(), Purpose::Serve, &mut report);
        match (opened, moved) {
            (Ok(()), Some(old)) => pidfile::remove(&old, console),
            (Ok(()), None) => (),
            (Err(_), moved) => {
                if moved.is_some() {
                    pidfile::remove(&settings.pid, console);
                }
                return None;
            }
        }
        Some(next)
    }

    fn change_binary(&mut self) {
        self.console.report(Level::Notice, "changing binary");
        let Some(settings) = self.settings() else { return };
        let (pid, environment) = (settings.pid.clone(), settings.environment(&self.inherited.environment));
        let old = pidfile::oldbin(&pid);
        let program = self.arguments.first().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if let Err(error) = std::fs::rename(&pid, &old) {
            let text = format!(
                "rename() {} to {} failed before executing new binary process \"{program}\" {}",
                pid.display(),
                old.display(),
                describe(&error)
            );
            self.console.report(Level::Alert, &text);
            return;
        }
        let legacy = self.generation.as_ref().map(|generation| self.app.legacy(generation)).unwrap_or_default();
        self.new_binary = upgrade::start(&self.arguments, environment, &self.listeners, &legacy, &self.console);
        if self.new_binary.is_none()
            && let Err(error) = std::fs::rename(&old, &pid)
        {
            let text = format!(
                "rename() {} back to {} failed after an attempt to execute new binary process \"{program}\" {}",
                old.display(),
                pid.display(),
                describe(&error)
            );
            self.console.report(Level::Alert, &text);
        }
    }

    /// Whether the files of unix-domain sockets go with this process: not while another binary uses them.
    fn owns_files(&self) -> bool {
        self.new_binary.is_none() && (!self.listeners.inherited() || sys::process::parent_id() != self.parent)
    }

    fn finish(mut self) -> i32 {
        if let Some(pid) = self.settings().map(|settings| settings.pid.clone()) {
            let name = if self.new_binary.is_some() { pidfile::oldbin(&pid) } else { pid };
            pidfile::remove(&name, &self.console);
        }
        self.console.report(Level::Notice, "exit");
        let unlink = self.owns_files();
        self.listeners.close(unlink, &mut |level, message| self.console.report(level, message));
        0
    }
}
