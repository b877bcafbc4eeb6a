//! `ngx.sleep` (`ngx_http_lua_sleep.c`).

use crate::host::{Host, expect_worker, host, with_host};
use base::log::Level;
use base::saturated::Saturated;
use lua::{CallContext, Group, Raise, Reply, Row, Stack, Suspension, YIELDABLE};
use session::alarms::Alarms;
use std::rc::Rc;
use std::time::Duration;

/// `ngx.sleep`.
pub fn group() -> Group {
    Group { name: "ngx.sleep", rows: vec![Row::suspends("sleep", YIELDABLE, sleep)], glue: "local b = ... b.ngx.sleep = b.R.sleep" }
}

/// Tells the debug log of a request how its sleep went.
struct SleepLog {
    host: Rc<dyn Host>,
    text: &'static [u8],
}

impl Drop for SleepLog {
    fn drop(&mut self) {
        if !self.text.is_empty() {
            self.host.log(Level::Debug, self.text, "");
        }
    }
}

impl SleepLog {
    /// Only for a request whose log shows debug lines.
    fn begin(cx: &CallContext, delay: u64) -> Option<SleepLog> {
        let wanted = with_host(cx, |host| {
            host.is_some_and(|host| host.log_enabled(Level::Debug) && (host.title().is_some() || !host.log_prefix().is_empty()))
        });
        let host = if wanted { host(cx)? } else { return None };
        host.log(Level::Debug, format!("lua ready to sleep for {delay} ms").as_bytes(), "");
        let text = if delay == 0 {
            b"lua clean up the posted event for pending ngx.sleep".as_slice()
        } else {
            b"lua clean up the timer for pending ngx.sleep"
        };
        Some(SleepLog { host, text })
    }

    fn end(mut self) {
        match self.host.title() {
            Some(title) => self.host.log(Level::Debug, &[b"lua sleep timer expired: \"".as_slice(), &title, b"\""].concat(), ""),
            None => self.host.log_prefixed(Level::Debug, b"lua sleep timer expired", ""),
        }
        self.text = b"";
    }
}

fn sleep(cx: &CallContext, stack: &mut Stack<'_>) -> Result<Suspension, Raise> {
    let count = stack.top();
    if count != 1 {
        return Err(Raise::new(format!("attempt to pass {count} arguments, but accepted 1")));
    }
    let seconds = stack.check_number(1, "sleep")?;
    let milliseconds = seconds * 1000.0;
    // No number, or beyond what a clock can count.
    let delay = if milliseconds < i64::MAX as f64 { u64::try_from(i64::saturated(milliseconds)).ok() } else { None };
    let Some(delay) = delay else {
        return Err(Raise::new(format!("invalid sleep duration \"{}\"", i64::saturated(milliseconds))));
    };
    let told = SleepLog::begin(cx, delay);
    let worker = expect_worker(cx)?;
    let alarm = (delay > 0).then(|| Alarms::after(&worker, Duration::from_millis(delay)));
    Ok(Suspension::wait(|| async move {
        match alarm {
            Some(alarm) => alarm.await,
            None => net::turn::next().await,
        }
        if let Some(told) = told {
            told.end();
        }
        Ok(Reply::Empty)
    }))
}
