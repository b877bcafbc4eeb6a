//! `ngx.exit`, `ngx.exec`, `ngx.redirect` (`ngx_http_lua_control.c`).

use crate::api::ANSWERING;
use crate::exit::{AGAIN, DONE, PENDING, aborts};
use crate::host::{Host, Requests, request};
use base::log::Level;
use base::saturated::Saturated;
use http::{Jump, log_request};
use lua::{CallContext, Group, LuaPhase, PhaseSet, Raise, Row, Stack, Suspension, YIELDABLE};
use lua_session::control::{self, RETURN, STOP};
use wire::uri::internal;

/// Where `ngx.exit` works.
const EXITING: PhaseSet = YIELDABLE.without_leave().with(LuaPhase::HEADER_FILTER).with(LuaPhase::BALANCER).with(LuaPhase::SSL_SESS_STORE);

/// `ngx.exit`, `ngx.on_abort`; `ngx.exec`, `ngx.redirect`.
pub fn groups() -> [Group; 2] {
    let rows = vec![Row::suspends("exec", ANSWERING, exec), Row::suspends("redirect", ANSWERING, redirect)];
    let exit = Row::fast::<{ EXITING.bits() }, _, _>("exit", exit);
    [control::group::<Requests>(exit), Group { name: "ngx.exec", rows, glue: include_str!("exec.lua") }]
}

/// What the glue does next; negative: an error, whose text is in the output buffer.
fn exit(cx: &CallContext, code: f64) -> i32 {
    let mut code = i32::saturated(code);
    if code == AGAIN || code == DONE {
        cx.set_text(b"bad argument to 'ngx.exit': does not accept NGX_AGAIN or NGX_DONE");
        return -1;
    }
    let Some(host) = cx.host::<Host>() else {
        cx.set_text(b"no request found");
        return -1;
    };
    if let Some(request) = &host.session {
        if host.state.captures.get() > 0 && !aborts(code) {
            cx.put_static(PENDING.as_bytes());
            return -1;
        }
        let balances = cx.phase() == Some(LuaPhase::BALANCER);
        let returns = balances || cx.phase() == Some(LuaPhase::HEADER_FILTER);
        // A head that its filter refused is gone for OpenResty.
        let sent = request.flags.header_sent.get() || host.state.header_failed.get();
        if sent && code >= 300 && !aborts(code) && !returns {
            let status = request.response.borrow().status;
            if code != i32::from(status) {
                log_request!(
                    request,
                    Level::Error,
                    "attempt to set status {code} via ngx.exit after sending out the response status {status}"
                );
            }
            code = 200;
        }
        if code > 999 {
            log_request!(request, Level::Error, "invalid HTTP status code {code}");
            code = 500;
        }
        if returns {
            let exit = if balances { &host.state.common.balancer_exit } else { &host.state.filter_exit };
            exit.set(Some(code));
            return RETURN;
        }
        log_request!(request, Level::Debug, "lua exit with code {code}");
    }
    cx.finish(code);
    STOP
}

/// Ends the handler with `code`: the caller never goes on.
fn stop(cx: &CallContext, code: i32) -> Suspension {
    cx.finish(code);
    Suspension::End
}

fn check_abortable(host: &Host) -> Result<(), Raise> {
    if host.state.captures.get() > 0 { Err(PENDING.into()) } else { Ok(()) }
}

fn exec(cx: &CallContext, stack: &mut Stack<'_>) -> Result<Suspension, Raise> {
    let count = stack.top();
    if count != 1 && count != 2 {
        return Err(Raise::new(format!("expecting one or two arguments, but got {count}")));
    }
    let (host, request) = request(cx)?;
    check_abortable(&host)?;
    let uri = stack.check_bytes(1, "exec")?.to_vec();
    if uri.is_empty() {
        return Err("The uri argument is empty".into());
    }
    let own = match stack.kind(2) {
        lua::Type::None | lua::Type::Nil => Vec::new(),
        lua::Type::Number | lua::Type::String => stack.bytes(2).unwrap_or_default().to_vec(),
        other => {
            let what = format!("string, number, or table expected, but got {}", other.name());
            return Err(Raise::argument(2, "exec", &what));
        }
    };
    let mut buffer = Vec::new();
    let target = internal::check(&uri, &mut buffer).map_err(|_| {
        log_request!(request, Level::Error, "unsafe URI \"{}\" was detected", String::from_utf8_lossy(&uri));
        Raise::fixed("unsafe uri")
    })?;
    if request.flags.header_sent.get() {
        return Err("attempt to call ngx.exec after sending out response headers".into());
    }
    let path = target.path(&uri, &buffer).to_vec();
    let (_, given) = wire::uri::args::split(&uri);
    let args = match (given.is_empty(), own.is_empty()) {
        (_, true) => given.to_vec(),
        (true, false) => own,
        (false, false) => [given, b"&", &own].concat(),
    };
    let jump = match path.strip_prefix(b"@") {
        Some(name) => {
            if !args.is_empty() {
                let (args, name) = (String::from_utf8_lossy(&args), String::from_utf8_lossy(&path));
                log_request!(request, Level::Warn, "query strings {args} ignored when exec'ing named location {name}");
            }
            Jump::Named(name.to_vec())
        }
        None => Jump::Internal { uri: path, args },
    };
    request.jump(jump);
    Ok(stop(cx, DONE))
}

fn redirect(cx: &CallContext, stack: &mut Stack<'_>) -> Result<Suspension, Raise> {
    let count = stack.top();
    if count != 1 && count != 2 {
        return Err("expecting one or two arguments".into());
    }
    let target = stack.check_bytes(1, "redirect")?.to_vec();
    let status = if count == 2 { i32::saturated(stack.check_number(2, "redirect")?) } else { 302 };
    if !matches!(status, 301 | 302 | 303 | 307 | 308) {
        return Err("only ngx.HTTP_MOVED_TEMPORARILY, ngx.HTTP_MOVED_PERMANENTLY, ngx.HTTP_PERMANENT_REDIRECT, \
                    ngx.HTTP_SEE_OTHER, and ngx.HTTP_TEMPORARY_REDIRECT are allowed"
            .into());
    }
    let (host, request) = request(cx)?;
    check_abortable(&host)?;
    if request.flags.header_sent.get() {
        return Err("attempt to call ngx.redirect after sending out the headers".into());
    }
    if let Some(byte) = target.iter().find(|b| **b < 0x20 || **b == 0x7f) {
        let shown = escape_log(&target);
        return Err(Raise::new(format!("unsafe byte \"0x{byte:02x}\" in redirect uri \"{shown}\"")));
    }
    let mut response = request.response.borrow_mut();
    response.headers.push(b"Location", &target);
    response.location_is_own = false;
    response.set_status(u16::try_from(status).unwrap_or(302));
    Ok(stop(cx, status))
}

/// Bytes that would break a log line as `\xHH`.
fn escape_log(text: &[u8]) -> String {
    use std::fmt::Write;
    let mut out = String::new();
    for &byte in text {
        if !(0x20..0x7f).contains(&byte) || byte == b'"' || byte == b'\\' {
            // Writing to a String cannot fail.
            let _ = write!(out, "\\x{byte:02X}");
        } else {
            out.push(char::from(byte));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::escape_log;
    use crate::ngx::tests::evaluate;

    #[test]
    fn arguments() {
        let error = |call: &str| evaluate(&format!("select(2, pcall(function() {call} end))"));
        assert_eq!(error("ngx.exit()"), "test:1: bad argument #1 to 'exit' (number expected, got no value)");
        assert_eq!(error("ngx.exec()"), "test:1: API disabled in the context of init_by_lua*");
        assert_eq!(error("ngx.redirect('/')"), "test:1: API disabled in the context of init_by_lua*");
    }

    #[test]
    fn log_lines_stay_whole() {
        assert_eq!(escape_log(b"a\n\"\\\xff"), "a\\x0A\\x22\\x5C\\xFF");
    }
}
