//! `ngx.errlog`: lines of the error log read again, and written without the place in the code (`ngx/errlog.lua`,
//! `ngx_http_lua_log_ringbuf.c`).

use crate::ANYWHERE;
use crate::host::{host, log_context};
use crate::runtime::Runtime;
use base::clock;
use base::log::Level;
use base::saturated::Saturated;
use lua::{CallContext, Group, PhaseSet, Raise, Row, Stack};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

/// The part's rows and glue.
#[must_use]
pub fn group() -> Group {
    Group {
        name: "ngx.errlog",
        rows: vec![
            Row::fast::<ANYWHERE, _, _>("log_level", level),
            Row::fast::<ANYWHERE, _, _>("raw_log", raw_log),
            Row::fast::<ANYWHERE, _, _>("filter_level", filter_level),
            Row::fast::<ANYWHERE, _, _>("is_captured", is_captured),
            Row::calls("captured_line", PhaseSet::EVERYWHERE, captured_line),
        ],
        glue: include_str!("errlog.lua"),
    }
}

/// `lua_capture_error_log`: the last lines of the error log.
pub struct Capture {
    /// How many bytes of lines are kept; 0 where the directive is not used.
    pub size: Cell<usize>,
    used: Cell<usize>,
    filter: Cell<i32>,
    /// The server is starting: what it says of that is of no interest.
    starting: Cell<bool>,
    lines: RefCell<VecDeque<Line>>,
}

struct Line {
    level: Level,
    /// Seconds since the epoch.
    time: f64,
    text: Vec<u8>,
}

/// The overhead of a line besides its text.
const OVERHEAD: usize = 16;

impl Default for Capture {
    fn default() -> Self {
        Self {
            size: Cell::new(0),
            used: Cell::new(0),
            filter: Cell::new(Level::Debug as i32),
            starting: Cell::new(false),
            lines: RefCell::default(),
        }
    }
}

impl Capture {
    fn push(&self, level: Level, text: &[u8]) {
        let need = text.len() + OVERHEAD;
        if self.starting.get() || level as i32 > self.filter.get() || need > self.size.get() {
            return;
        }
        while self.used.get() + need > self.size.get() && self.pop().is_some() {}
        self.used.set(self.used.get() + need);
        let time = clock::now().epoch_ms() as f64 / 1000.0;
        self.lines.borrow_mut().push_back(Line { level, time, text: text.to_vec() });
    }

    fn pop(&self) -> Option<Line> {
        let line = self.lines.borrow_mut().pop_front()?;
        self.used.set(self.used.get().saturating_sub(line.text.len() + OVERHEAD));
        Some(line)
    }
}

/// Begins to keep lines, if the configuration asks for it.
pub fn begin(runtime: &Runtime) {
    let capture = runtime.state::<Capture>();
    if capture.size.get() > 0 {
        base::log::set_witness(Some(Rc::new(move |level, line: &[u8]| capture.push(level, line))));
    }
}

/// Between the end of `init_by_lua*` and the start of a worker no lines are kept.
pub fn pause(runtime: &Runtime, starting: bool) {
    runtime.state::<Capture>().starting.set(starting);
}

fn capture(cx: &CallContext) -> Option<Rc<Capture>> {
    let capture = host(cx).map(|host| host.runtime().state::<Capture>());
    capture.filter(|capture| capture.size.get() > 0)
}

fn is_captured(cx: &CallContext) -> bool {
    capture(cx).is_some()
}

fn filter_level(cx: &CallContext, level: f64) -> i32 {
    let Some(capture) = capture(cx) else {
        cx.set_text(b"directive \"lua_capture_error_log\" is not set");
        return -1;
    };
    if Level::from_number(i64::saturated(level)).is_none() {
        cx.set_text(format!("bad log level: {}", i64::saturated(level)).as_bytes());
        return -1;
    }
    capture.filter.set(i32::saturated(level));
    0
}

/// The oldest line, which is forgotten: level, time, text; or nothing.
fn captured_line(cx: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    let Some(line) = capture(cx).and_then(|capture| capture.pop()) else { return Ok(0) };
    stack.push_number(f64::from(line.level as i32));
    stack.push_number(line.time);
    stack.push_bytes(&line.text);
    Ok(3)
}

/// The number of the most talkative level that is written.
fn level(cx: &CallContext) -> i32 {
    let Some(host) = host(cx) else { return Level::Error as i32 };
    Level::ALL.into_iter().rev().find(|level| host.log_enabled(*level)).map_or(0, |level| level as i32)
}

fn raw_log(cx: &CallContext, level: f64, message: &[u8]) -> i32 {
    let Some(level) = Level::from_number(i64::saturated(level)) else {
        cx.set_text(b"bad log level");
        return -1;
    };
    if let Some(host) = host(cx) {
        host.log(level, message, log_context(cx));
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ngx::tests::evaluate;

    #[test]
    fn old_lines_make_room() {
        let capture = Capture::default();
        capture.size.set(60);
        capture.filter.set(Level::Error as i32);
        capture.push(Level::Warn, b"not of interest");
        for text in [b"first line".as_slice(), b"second line", b"third line", &[b'x'; 100]] {
            capture.push(Level::Error, text);
        }
        let texts: Vec<Vec<u8>> = std::iter::from_fn(|| capture.pop()).map(|line| line.text).collect();
        assert_eq!(texts, [b"second line".to_vec(), b"third line".to_vec()]);
        assert_eq!(capture.used.get(), 0);
    }

    #[test]
    fn arguments() {
        assert_eq!(evaluate("select(2, pcall(require 'ngx.errlog'.raw_log, 99, 'x'))"), "bad log level");
        assert_eq!(evaluate("select(2, pcall(require 'ngx.errlog'.raw_log, 'x'))"), "bad argument #1 to 'raw_log' (must be a number)");
        assert_eq!(evaluate("select(2, require 'ngx.errlog'.get_logs())"), "directive \"lua_capture_error_log\" is not set");
    }
}
