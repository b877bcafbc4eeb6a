//! `ngx.status`, `ngx.headers_sent`.

use crate::api::ANYWHERE;
use crate::host::with_request;
use base::log::Level;
use base::saturated::Saturated;
use http::line::Version;
use http::{Request, log_request};
use lua::{CallContext, Group, Row};

/// `ngx.status`, `ngx.headers_sent`.
pub fn group() -> Group {
    Group {
        name: "ngx.status",
        rows: vec![
            Row::fast::<ANYWHERE, _, _>("get_status", get),
            Row::fast::<ANYWHERE, _, _>("set_status", set),
            Row::fast::<ANYWHERE, _, _>("headers_sent", headers_sent),
            Row::constant("YES", 1),
        ],
        glue: include_str!("status.lua"),
    }
}

fn get(cx: &CallContext) -> i32 {
    with_request(cx, i32::MIN, |_, request| {
        let (error, status) = (request.error_status.get(), request.response.borrow().status);
        match (error, status) {
            (0, 0) if request.version() == Version::Http09 => 9,
            (0, status) => i32::from(status),
            (error, _) => i32::from(error),
        }
    })
}

fn set(cx: &CallContext, status: f64) -> i32 {
    with_request(cx, i32::MIN, |host, request| {
        if request.flags.header_sent.get() && cx.phase() != Some(lua::LuaPhase::HEADER_FILTER) {
            lua_lib::Host::log(host, Level::Error, b"attempt to set ngx.status after sending out response headers", "");
            return 0;
        }
        let Some(status) = three_digits(request, status) else { return 0 };
        request.error_status.set(0);
        let mut response = request.response.borrow_mut();
        response.set_status(status);
        if response.status == 101 {
            response.status_line.extend_from_slice(b"101 Switching Protocols");
        }
        0
    })
}

/// The status that a number is; one that no status line can hold is logged.
pub(crate) fn three_digits(request: &Request, status: f64) -> Option<u16> {
    let known = Some(u16::saturated(status)).filter(|status| (100..=999).contains(status));
    if known.is_none() {
        log_request!(request, Level::Error, "invalid HTTP status code {}", i32::saturated(status));
    }
    known
}

fn headers_sent(cx: &CallContext) -> i32 {
    with_request(cx, i32::MIN, |_, request| i32::from(request.flags.header_sent.get() && cx.phase() != Some(lua::LuaPhase::HEADER_FILTER)))
}
