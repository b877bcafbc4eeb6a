//! The error log: levels, targets, and the line format of nginx (`ngx_log_error_core`).
//!
//! A line is one `write(2)` on an append-only descriptor, so lines of several workers never mix. A disk that is
//! full costs lines, never a request: the target rests for a second.

use crate::clock;
pub use crate::log_file::LogFile;
use crate::text::push_number;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::io::{self, Write};
use std::rc::Rc;

/// Severity, nginx's scale; lower is graver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Level {
    /// Always shown, on standard error (`ngx.STDERR`).
    Stderr = 0,
    /// The server cannot go on.
    Emerg = 1,
    /// Something is broken that needs a person.
    Alert = 2,
    /// A serious failure.
    Crit = 3,
    /// A request failed.
    Error = 4,
    /// Worth a look.
    Warn = 5,
    /// Normal but significant.
    Notice = 6,
    /// Clients' faults and course of events.
    Info = 7,
    /// For developers.
    Debug = 8,
}

impl Level {
    /// All levels, gravest first; the index is the numeric value.
    pub const ALL: [Level; 9] =
        [Level::Stderr, Level::Emerg, Level::Alert, Level::Crit, Level::Error, Level::Warn, Level::Notice, Level::Info, Level::Debug];

    /// The name in the configuration and in the log.
    pub fn name(self) -> &'static str {
        match self {
            Level::Stderr => "stderr",
            Level::Emerg => "emerg",
            Level::Alert => "alert",
            Level::Crit => "crit",
            Level::Error => "error",
            Level::Warn => "warn",
            Level::Notice => "notice",
            Level::Info => "info",
            Level::Debug => "debug",
        }
    }

    /// The level that `error_log FILE LEVEL` names; `stderr` is not one of those.
    pub fn from_name(name: &[u8]) -> Option<Level> {
        Level::ALL.into_iter().skip(1).find(|l| l.name().as_bytes() == name)
    }

    /// The level with this number (`ngx.ERR` is 4).
    pub fn from_number(number: i64) -> Option<Level> {
        usize::try_from(number).ok().and_then(|n| Level::ALL.get(n).copied())
    }
}

/// Longest line, in bytes; what is longer is cut (`NGX_MAX_ERROR_STR` of OpenResty).
pub const MAX_LINE: usize = 4096;

/// Sees each line that is written, without its end.
pub(crate) type LineHook = Rc<dyn Fn(Level, &[u8])>;

thread_local!(static WITNESS: RefCell<Option<LineHook>> = const { RefCell::new(None) });

/// Shows all lines of this thread's logs to `witness` from now on, instead of to an earlier one.
pub fn set_witness(witness: Option<LineHook>) {
    WITNESS.set(witness);
}

fn capture(level: Level, line: &[u8]) {
    // Taken out meanwhile, so that what it logs itself is not shown to it.
    if let Some(witness) = WITNESS.take() {
        witness(level, line);
        WITNESS.with_borrow_mut(|place| {
            place.get_or_insert(witness);
        });
    }
}

/// Where lines go.
#[derive(Clone)]
pub enum Sink {
    /// A file.
    File(Rc<LogFile>),
    /// Standard error of the process.
    Stderr,
    /// Somewhere else: syslog, a memory buffer. Gets the whole line and the level.
    Custom(Rc<dyn Fn(Level, &[u8])>),
}

impl fmt::Debug for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Sink::File(file) => write!(f, "File({:?})", file.path()),
            Sink::Stderr => f.write_str("Stderr"),
            Sink::Custom(_) => f.write_str("Custom"),
        }
    }
}

/// One `error_log` directive.
#[derive(Clone, Debug)]
pub struct Target {
    /// Where to.
    pub sink: Sink,
    /// The least grave level that is written.
    pub level: Level,
}

/// The targets in force at one place of the configuration. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct ErrorLog {
    inner: Rc<Inner>,
}

#[derive(Debug)]
struct Inner {
    targets: Vec<Target>,
    max: Cell<Level>,
}

impl ErrorLog {
    /// A log with these targets; with none it is silent.
    pub fn new(targets: Vec<Target>) -> Self {
        let max = targets.iter().map(|t| t.level).max().unwrap_or(Level::Stderr);
        ErrorLog { inner: Rc::new(Inner { targets, max: Cell::new(max) }) }
    }

    /// A log on standard error, down to `level`.
    pub fn stderr(level: Level) -> Self {
        ErrorLog::new(vec![Target { sink: Sink::Stderr, level }])
    }

    /// Whether a line of this level is written anywhere: the check before a line is formatted.
    #[inline]
    pub fn enabled(&self, level: Level) -> bool {
        level <= self.inner.max.get()
    }

    /// The least grave level that is written anywhere.
    pub fn level(&self) -> Level {
        self.inner.max.get()
    }

    /// The targets, in the order given.
    pub fn targets(&self) -> &[Target] {
        &self.inner.targets
    }

    /// Writes one record: `TIME [level] PID#TID: *CONNECTION message`. A connection of 0 is left out.
    pub fn write(&self, level: Level, connection: u64, message: &[u8]) {
        if !self.enabled(level) {
            return;
        }
        let mut line = Vec::with_capacity(message.len().min(MAX_LINE) + 128);
        clock::with_error_log_time(|time| line.extend_from_slice(time.as_bytes()));
        let pid = u64::from(std::process::id());
        line.extend_from_slice(b" [");
        line.extend_from_slice(if level == Level::Stderr { "" } else { level.name() }.as_bytes());
        line.extend_from_slice(b"] ");
        push_number(&mut line, pid);
        line.push(b'#');
        push_number(&mut line, pid);
        line.extend_from_slice(b": ");
        if connection != 0 {
            line.push(b'*');
            push_number(&mut line, connection);
            line.push(b' ');
        }
        line.extend_from_slice(message);
        line.truncate(MAX_LINE - 1);
        capture(level, &line);
        line.push(b'\n');
        for target in self.inner.targets.iter().filter(|t| level <= t.level) {
            match &target.sink {
                // A log that cannot be written has nowhere to complain to.
                Sink::File(file) => drop(file.append(&line)),
                Sink::Stderr => drop(io::stderr().write_all(&line)),
                Sink::Custom(f) => f(level, &line),
            }
        }
    }

    /// As [`ErrorLog::write`], formatting only if the level is written.
    pub fn log(&self, level: Level, connection: u64, message: fmt::Arguments<'_>) {
        if self.enabled(level) {
            self.write(level, connection, message.to_string().as_bytes());
        }
    }
}

/// `log!(log, Level::Error, connection, "…", …)`: formats only if the level is on.
#[macro_export]
macro_rules! log {
    ($log:expr, $level:expr, $connection:expr, $($arg:tt)+) => {{
        let log: &$crate::log::ErrorLog = &$log;
        if log.enabled($level) {
            log.log($level, $connection, format_args!($($arg)+));
        }
    }};
}

#[cfg(test)]
mod tests {
    use super::*;

    fn capture(level: Level) -> (ErrorLog, Rc<RefCell<Vec<u8>>>) {
        let seen = Rc::new(RefCell::new(Vec::new()));
        let to = seen.clone();
        let sink = Sink::Custom(Rc::new(move |_, line| to.borrow_mut().extend_from_slice(line)));
        (ErrorLog::new(vec![Target { sink, level }]), seen)
    }

    #[test]
    fn a_line_has_nginxs_shape() {
        let (log, seen) = capture(Level::Error);
        log!(log, Level::Error, 7, "open() \"{}\" failed", "x");
        log!(log, Level::Info, 7, "too fine");
        let text = String::from_utf8(seen.borrow().clone()).unwrap();
        let pid = std::process::id();
        assert!(text.ends_with(&format!(" [error] {pid}#{pid}: *7 open() \"x\" failed\n")), "{text}");
        assert_eq!(text.lines().count(), 1);
    }

    #[test]
    fn long_lines_are_cut() {
        let (log, seen) = capture(Level::Error);
        log.write(Level::Error, 0, &vec![b'x'; 10_000]);
        assert_eq!(seen.borrow().len(), MAX_LINE);
    }

    #[test]
    fn levels_by_name_and_number() {
        assert_eq!(Level::from_name(b"warn"), Some(Level::Warn));
        assert_eq!(Level::from_name(b"stderr"), None);
        assert_eq!(Level::from_number(8), Some(Level::Debug));
        assert_eq!(Level::from_number(9), None);
    }

    #[test]
    fn reopen_follows_the_name() {
        let dir = std::env::temp_dir().join(format!("lunette-log-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let path = dir.join("error.log");
        let file = LogFile::open(&path).unwrap();
        file.append(b"one\n").unwrap();
        std::fs::rename(&path, dir.join("old")).unwrap();
        file.append(b"two\n").unwrap();
        file.reopen().unwrap();
        file.append(b"three\n").unwrap();
        assert!(LogFile::closed(&dir.join("never")).append(b"lost\n").is_err());
        assert!(!dir.join("never").exists());
        assert_eq!(std::fs::read(dir.join("old")).unwrap(), b"one\ntwo\n");
        assert_eq!(std::fs::read(&path).unwrap(), b"three\n");
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
