//! The log lines of sockets.

use crate::host::{Host, log_context};
use crate::socket::settings::SocketOptions;
use base::log::Level;
use lua::CallContext;
use std::io;
use std::rc::Rc;
use tls::error::TlsError;

/// What failed in a call on a connection: `plain` is the call without TLS, `secure` the one with it.
#[must_use]
pub fn error_line(plain: &str, secure: &str, error: &io::Error) -> String {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<TlsError>()) {
        Some(inner) => format!("{secure} failed (SSL: {inner})"),
        None => format!("{plain} failed {}", base::errno::describe(error)),
    }
}

/// What lines begin with that say which protocol's code they are about.
const PREFIXED: [&str; 3] = ["lua tcp socket", "lua ssl ", "lua finalize socket"];

/// Where a socket's lines go, also from a suspended function.
pub struct Reporter {
    host: Rc<dyn Host>,
    context: &'static str,
    quiet: bool,
}

impl Reporter {
    /// The log of the running handler, silent under `lua_socket_log_errors off`.
    pub fn new(cx: &CallContext, host: &Rc<dyn Host>, options: &SocketOptions) -> Reporter {
        Reporter { host: host.clone(), context: log_context(cx), quiet: !options.log_errors.unwrap_or(true) }
    }

    /// Writes an error unless errors are not wanted.
    pub fn error(&self, message: &str) {
        if !self.quiet {
            self.write(Level::Error, message);
        }
    }

    /// Writes what is not for `lua_socket_log_errors` to decide.
    pub fn always(&self, level: Level, message: &str) {
        self.write(level, message);
    }

    /// Whether debug lines are wanted.
    pub fn is_wordy(&self) -> bool {
        self.host.log_enabled(Level::Debug)
    }

    /// Writes a debug line.
    pub fn debug(&self, message: std::fmt::Arguments<'_>) {
        if self.is_wordy() {
            self.write(Level::Debug, &message.to_string());
        }
    }

    /// Says that a pool was made.
    pub(crate) fn pool_made(&self, key: &[u8], size: usize, backlog: Option<usize>) {
        let backlog = backlog.and_then(|backlog| i64::try_from(backlog).ok()).unwrap_or(-1);
        self.debug(format_args!("lua tcp socket connection pool size: {size}, backlog: {backlog}"));
        let key = String::from_utf8_lossy(key);
        self.debug(format_args!("lua tcp socket keepalive create connection pool for key \"{key}\""));
    }

    fn write(&self, level: Level, message: &str) {
        match PREFIXED.iter().any(|start| message.starts_with(start)) {
            true => self.host.log_prefixed(level, message.as_bytes(), self.context),
            false => self.host.log(level, message.as_bytes(), self.context),
        }
    }
}
