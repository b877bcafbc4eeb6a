//! `ngx.now`, `ngx.time`, the dates that OpenResty writes, and `ngx.update_time`.

use base::clock;
use base::saturated::Saturated;
use lua::{CallContext, Group, PhaseSet, Row};

const ALL: u32 = PhaseSet::EVERYWHERE.bits();

/// The part's rows and glue.
#[must_use]
pub fn group() -> Group {
    Group {
        name: "ngx.time",
        rows: vec![
            Row::fast::<ALL, _, _>("now", now),
            Row::fast::<ALL, _, _>("time", time),
            Row::fast::<ALL, _, _>("monotonic", monotonic),
            Row::fast::<ALL, _, _>("update_time", update_time),
            Row::fast::<ALL, _, _>("date", date),
            Row::fast::<ALL, _, _>("http_time", http_time),
            Row::fast::<ALL, _, _>("cookie_time", cookie_time),
            Row::fast::<ALL, _, _>("parse_http_time", parse_http_time),
            Row::constant("TODAY", TODAY),
            Row::constant("LOCAL", LOCAL),
            Row::constant("UTC", UTC),
        ],
        glue: include_str!("time.lua"),
    }
}

fn now(_: &CallContext) -> f64 {
    clock::now().epoch_ms() as f64 / 1000.0
}

fn time(_: &CallContext) -> f64 {
    clock::now().sec as f64
}

fn monotonic(_: &CallContext) -> f64 {
    clock::monotonic_ms() as f64
}

fn update_time(_: &CallContext) {
    clock::update();
}

/// What `date` writes.
const TODAY: i32 = 0;
const LOCAL: i32 = 1;
const UTC: i32 = 2;

fn date(cx: &CallContext, what: i32) {
    let sec = clock::now().sec;
    let offset = if what == UTC { 0 } else { i64::from(clock::offset(sec)) };
    let at = clock::civil(sec.saturating_add(offset));
    let day = format!("{:04}-{:02}-{:02}", at.year, at.month, at.day);
    if what == TODAY {
        cx.set_text(day.as_bytes());
    } else {
        cx.set_text(format!("{day} {:02}:{:02}:{:02}", at.hour, at.minute, at.second).as_bytes());
    }
}

fn http_time(cx: &CallContext, seconds: f64) {
    cx.set_text(&wire::date::http(i64::saturated(seconds)));
}

fn cookie_time(cx: &CallContext, seconds: f64) {
    cx.fill(|out| wire::date::cookie(i64::saturated(seconds), out));
}

/// Seconds since the epoch; below 0 when it is no date.
fn parse_http_time(_: &CallContext, text: &[u8]) -> f64 {
    wire::date::parse(text).map_or(-1.0, |time| time as f64)
}

#[cfg(test)]
mod tests {
    use crate::ngx::tests::evaluate;

    #[test]
    fn dates() {
        assert_eq!(
            evaluate("ngx.http_time(1290079655), ngx.parse_http_time('Thu, 18 Nov 2010 11:27:35 GMT')"),
            "Thu, 18 Nov 2010 11:27:35 GMT 1290079655"
        );
        assert_eq!(evaluate("ngx.cookie_time(1290079655)"), "Thu, 18-Nov-10 11:27:35 GMT");
        assert_eq!(evaluate("ngx.parse_http_time('x')"), "nil");
        assert_eq!(
            evaluate("#ngx.today(), #ngx.localtime(), ngx.utctime():match('^%d+%-%d%d%-%d%d %d%d:%d%d:%d%d$') ~= nil"),
            "10 19 true"
        );
        assert_eq!(evaluate("math.floor(ngx.now()) == ngx.time(), ngx.time() > 1e9"), "true true");
        assert_eq!(evaluate("select(2, pcall(function() ngx.http_time('a') end))"), "test:1: number argument only");
    }
}
