//! `ngx.errlog`: lines in the error log without the place that wrote them (`ngx/errlog.lua`).

use crate::api::ANYWHERE;
use crate::host::{Host, log_context};
use base::log::Level;
use lua::{Cx, Group, Row};

/// The part's rows and glue.
#[must_use]
pub fn group() -> Group {
    Group {
        name: "ngx.errlog",
        rows: vec![Row::fast::<ANYWHERE, _, _>("log_level", level), Row::fast::<ANYWHERE, _, _>("raw_log", raw_log)],
        glue: include_str!("errlog.lua"),
    }
}

/// The number of the most talkative level that is written.
fn level(cx: &Cx) -> i32 {
    cx.with_host::<Host, _>(|host| {
        let Some(host) = host else { return Level::Error as i32 };
        Level::ALL.into_iter().rev().find(|level| host.log_enabled(*level)).map_or(0, |level| level as i32)
    })
}

fn raw_log(cx: &Cx, level: f64, message: &[u8]) -> i32 {
    let Some(level) = Level::from_number(level as i64) else {
        cx.put(b"bad log level");
        return -1;
    };
    cx.with_host::<Host, _>(|host| {
        if let Some(host) = host {
            host.log(level, message, log_context(cx));
        }
    });
    0
}

#[cfg(test)]
mod tests {
    use crate::ngx::tests::evaluate;

    #[test]
    fn arguments() {
        assert_eq!(evaluate("select(2, pcall(require 'ngx.errlog'.raw_log, 99, 'x'))"), "bad log level");
        assert_eq!(evaluate("select(2, pcall(require 'ngx.errlog'.raw_log, 'x'))"), "bad argument #1 to 'raw_log' (must be a number)");
        assert_eq!(evaluate("select(2, require 'ngx.errlog'.get_logs())"), "directive \"lua_capture_error_log\" is not set");
    }
}
