//! Writes what the VM reports to the error log.

use crate::host::{host, log_context};
use base::log::Level;
use lua::{CallContext, Hooks, LuaError};

/// Writes to the error log what the VM reports.
pub(crate) struct Watcher;

impl Hooks for Watcher {
    fn global_write(&self, cx: &CallContext, name: &[u8], traceback: &[u8]) {
        let Some(host) = host(cx) else { return };
        if !host.log_enabled(Level::Warn) {
            return;
        }
        // OpenResty's guard is Lua code of this name.
        let mut line = b"[lua] _G write guard:12: __newindex(): writing a global Lua variable ('".to_vec();
        line.extend_from_slice(name);
        line.extend_from_slice(b"') which may lead to race conditions between concurrent requests, so prefer the use of 'local' variables");
        line.extend_from_slice(traceback);
        host.log(Level::Warn, &line, log_context(cx));
    }

    fn thread_aborted(&self, cx: &CallContext, error: &LuaError) {
        let Some(host) = host(cx) else { return };
        let mut line = b"lua user thread aborted: ".to_vec();
        line.extend_from_slice(&error.log_text());
        host.log_prefixed(Level::Error, &line, log_context(cx));
    }
}
