//! Errors: those that a native function asks its shim to raise, and the error that ended a handler.

use mlua_sys as sys;
use std::any::Any;
use std::borrow::Cow;
use std::ffi::c_int;
use std::fmt;

/// An error that a native function reports and that the Lua shim beside it raises.
#[derive(Debug)]
pub struct Raise {
    pub(crate) message: Cow<'static, [u8]>,
    pub(crate) level: u8,
}

impl Raise {
    /// An error with a text made at run time; the caller's `file:line:` stands before it, as with `luaL_error`.
    pub fn new(message: impl Into<Vec<u8>>) -> Self {
        Self { message: Cow::Owned(message.into()), level: 1 }
    }

    /// An error with a fixed text.
    pub const fn fixed(message: &'static str) -> Self {
        Self { message: Cow::Borrowed(message.as_bytes()), level: 1 }
    }

    /// `bad argument #N to 'FUNCTION' (WHAT)`, the text of `luaL_argerror`.
    pub fn argument(number: usize, function: &str, what: &str) -> Self {
        Self::new(format!("bad argument #{number} to '{function}' ({what})"))
    }

    /// The same error blaming a frame further out: 0 no position, 1 the caller, 2 the caller's caller.
    #[must_use]
    pub fn at_level(mut self, level: u8) -> Self {
        self.level = level;
        self
    }

    /// What becomes of a panic in a native function.
    pub(crate) fn of_panic(payload: &(dyn Any + Send)) -> Self {
        if payload.is::<StackOverflow>() {
            Self::fixed("stack overflow")
        } else {
            Self::fixed("internal error: a native function panicked")
        }
    }

    /// The text without position.
    pub fn message(&self) -> &[u8] {
        &self.message
    }
}

/// Thrown where Lua's limit of values on a stack is reached.
pub(crate) struct StackOverflow;

impl From<&'static str> for Raise {
    fn from(text: &'static str) -> Self {
        Self::fixed(text)
    }
}

impl From<String> for Raise {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

/// The class of an uncaught error, as OpenResty's log lines call it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// `runtime error`
    Runtime,
    /// `syntax error`
    Syntax,
    /// `memory allocation error`
    Memory,
    /// `error handler error`
    Handler,
    /// The file of the code could not be read; the host answers 404 or 503.
    File,
}

impl ErrorKind {
    /// The class of what a protected call answered.
    pub(crate) fn of(code: c_int) -> ErrorKind {
        match code {
            sys::LUA_ERRSYNTAX => ErrorKind::Syntax,
            sys::LUA_ERRMEM => ErrorKind::Memory,
            sys::LUA_ERRERR => ErrorKind::Handler,
            _ => ErrorKind::Runtime,
        }
    }
}

/// An error that no Lua code caught.
#[derive(Clone, Debug)]
pub struct LuaError {
    /// The class of the error.
    pub kind: ErrorKind,
    /// The message's bytes; `unknown reason` when the error value was neither string nor number.
    pub message: Vec<u8>,
    /// `stack traceback:` and the frames of each coroutine, innermost first; empty for load errors.
    pub traceback: Vec<u8>,
    /// The operating system's error number when a file could not be read.
    pub errno: i32,
}

impl LuaError {
    pub(crate) fn plain(kind: ErrorKind, message: impl Into<Vec<u8>>) -> Self {
        Self { kind, message: message.into(), traceback: Vec::new(), errno: 0 }
    }

    /// An error whose text has its traceback behind it, as `debug.traceback` writes it.
    pub(crate) fn explained(kind: ErrorKind, text: &[u8]) -> Self {
        let at = memchr::memmem::rfind(text, b"\nstack traceback:");
        let (message, traceback) =
            at.map_or((text, &b""[..]), |at| (text.get(..at).unwrap_or(text), text.get(at + 1..).unwrap_or_default()));
        Self { traceback: traceback.to_vec(), ..Self::plain(kind, message) }
    }

    /// The text to log after `lua entry thread aborted: ` or `lua user thread aborted: `.
    pub fn log_text(&self) -> Vec<u8> {
        let class: &str = match self.kind {
            ErrorKind::Runtime => "runtime error: ",
            ErrorKind::Syntax => "syntax error: ",
            ErrorKind::Memory => "[lua] memory allocation error: ",
            ErrorKind::Handler => "error handler error: ",
            ErrorKind::File => "",
        };
        let mut text = class.as_bytes().to_vec();
        text.extend_from_slice(&self.message);
        if !self.traceback.is_empty() {
            text.push(b'\n');
            text.extend_from_slice(&self.traceback);
        }
        text
    }
}

impl fmt::Display for LuaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.log_text()))
    }
}

impl std::error::Error for LuaError {}
