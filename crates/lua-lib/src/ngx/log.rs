//! `ngx.log`, `print` (`ngx_http_lua_log.c`).

use crate::ANYWHERE;
use crate::host::{host, log_context};
use base::log::Level;
use base::saturated::Saturated;
use lua::{CallContext, Group, PhaseSet, Raise, Row, Stack};

/// `ngx.log`, `print`.
pub fn group() -> Group {
    Group {
        name: "ngx.log",
        rows: vec![
            Row::fast::<ANYWHERE, _, _>("log_on", enabled),
            Row::fast::<ANYWHERE, _, _>("log_write", write),
            Row::calls("log_head", PhaseSet::EVERYWHERE, head),
            Row::constant("WRITTEN", WRITTEN),
            Row::constant("SILENT", SILENT),
            Row::constant("NOTICE", Level::Notice as i32),
        ],
        glue: include_str!("log.lua"),
    }
}

/// What becomes of a line of some level.
const SILENT: i32 = 0;
const WRITTEN: i32 = 1;
const NO_LEVEL: i32 = -1;

/// Whether a line of this level is written somewhere; negative for a level that does not exist.
fn enabled(cx: &CallContext, level: f64) -> i32 {
    match (Level::from_number(i64::saturated(level)), host(cx)) {
        (None, _) => NO_LEVEL,
        (Some(level), Some(host)) if host.log_enabled(level) => WRITTEN,
        _ => SILENT,
    }
}

/// The code that logs has called a function of the glue, which calls one that calls this.
const LOGGING: usize = 3;

/// What a line begins with: who logs it.
fn head(_: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    let mut head = Vec::with_capacity(64);
    head.extend_from_slice(b"[lua] ");
    stack.place(LOGGING, &mut head);
    stack.push_bytes(&head);
    Ok(1)
}

fn write(cx: &CallContext, level: f64, line: &[u8]) {
    if let (Some(level), Some(host)) = (Level::from_number(i64::saturated(level)), host(cx)) {
        host.log_prefixed(level, line, log_context(cx));
    }
}

#[cfg(test)]
mod tests {
    use crate::ngx::tests::evaluate;

    #[test]
    fn levels_are_checked() {
        let error = |call: &str| evaluate(&format!("select(2, pcall(function() {call} end))"));
        assert_eq!(error("ngx.log(9, 'x')"), "test:1: bad argument #1 to 'log' (bad log level: 9)");
        assert_eq!(error("ngx.log()"), "test:1: bad argument #1 to 'log' (number expected, got no value)");
        assert_eq!(error("require('ngx.errlog').raw_log('a', 'x')"), "test:1: bad argument #1 to 'raw_log' (must be a number)");
    }
}
