//! `ngx.req.get_method`, `set_method`, `set_uri`, `is_internal`, `start_time`; `ngx.is_subrequest`.

use crate::host::{Host, Requests, request, with_request};
use crate::ngx::wrapped;
use base::log::Level;
use base::saturated::Saturated;
use http::Method;
use lua::{CallContext, Group, LuaPhase, PhaseSet, Raise, Row, Stack, Type};
use lua_session::host::with_session;

const ALL: u32 = PhaseSet::EVERYWHERE.bits();

/// The part's rows and glue.
#[must_use]
pub fn group() -> Group {
    Group {
        name: "ngx.req",
        rows: vec![
            Row::fast::<ALL, _, _>("get_method", get_method),
            Row::fast::<ALL, _, _>("set_method", set_method),
            Row::fast::<ALL, _, _>("is_internal", is_internal),
            Row::fast::<ALL, _, _>("is_subrequest", is_subrequest),
            Row::fast::<ALL, _, _>("start_time", start_time),
            Row::fast::<ALL, _, _>("finish", finish),
            Row::calls("set_uri", PhaseSet::EVERYWHERE, |cx, stack| wrapped(set_uri(cx, stack))),
            Row::constant("UNKNOWN", UNKNOWN),
            Row::constant("YES", 1),
        ],
        glue: include_str!("request.lua"),
    }
}

/// Leaves the method's name in the output buffer.
fn get_method(cx: &CallContext) -> i32 {
    with_request(cx, -1, |_, request| {
        cx.set_text(&request.line.borrow().method_name);
        0
    })
}

/// The number names no method.
const UNKNOWN: i32 = 1;

fn set_method(cx: &CallContext, bits: f64) -> i32 {
    with_request(cx, -1, |_, request| {
        // CONNECT has no number in this API.
        let known = Method::from_bits(u32::saturated(bits)).filter(|(_, method)| *method != Method::CONNECT);
        let Some((name, method)) = known else { return UNKNOWN };
        let mut line = request.line.borrow_mut();
        line.method = method;
        line.method_name.clear();
        line.method_name.extend_from_slice(name.as_bytes());
        0
    })
}

fn is_internal(cx: &CallContext) -> i32 {
    with_request(cx, -1, |_, request| i32::from(request.flags.internal.get()))
}

fn is_subrequest(cx: &CallContext) -> i32 {
    with_request(cx, -1, |_, request| i32::from(!request.is_main()))
}

/// 0 for code that no request has come for, such as a timer.
fn start_time(cx: &CallContext) -> f64 {
    if cx.phase().is_some_and(|phase| phase != LuaPhase::INIT)
        && cx.with_host::<Host, _>(|host| host.is_some_and(|host| host.session.is_none()))
    {
        return 0.0;
    }
    // Handshakes have it too.
    with_session::<Requests, _>(cx, -1.0, |_, request| request.started.get().epoch_ms() as f64 / 1000.0)
}

/// Ends the handler; the glue then stops.
fn finish(cx: &CallContext, code: i32) {
    cx.finish(code);
}

/// Bytes that `set_uri` takes only when told that they are meant: control bytes.
fn is_unsafe(byte: u8) -> bool {
    (byte < 0x20 && byte != b'\t') || byte == 0x7f
}

/// The error for a URI with such a byte: what cannot be shown is in hexadecimal.
fn unsafe_uri(byte: u8, uri: &[u8]) -> Vec<u8> {
    let mut text = format!("unsafe byte \"0x{byte:02x}\" in uri \"").into_bytes();
    for &byte in uri {
        if is_unsafe(byte) || matches!(byte, b'"' | b'\\') || byte >= 0x7f {
            text.extend_from_slice(format!("\\x{byte:02X}").as_bytes());
        } else {
            text.push(byte);
        }
    }
    text.extend_from_slice(b"\" (maybe you want to set the 'binary' argument?)");
    text
}

/// `set_uri(uri, jump, binary)`; returns whether the handler must stop.
fn set_uri(cx: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    let n = stack.top();
    if !(1..=3).contains(&n) {
        return Err(Raise::new(format!("expecting 1, 2 or 3 arguments but seen {n}")));
    }
    let (host, request) = request(cx)?;
    let boolean = |stack: &mut Stack<'_>, index: usize| {
        let fits = n < index || stack.kind(index) == Type::Boolean;
        if fits { Ok(stack.truthy(index)) } else { Err(stack.mismatch(index, "set_uri", "boolean")) }
    };
    let (jump, binary) = (boolean(stack, 2), boolean(stack, 3)?);
    let uri = stack.check_bytes(1, "set_uri")?;
    if uri.is_empty() {
        return Err(Raise::fixed("attempt to use zero-length uri"));
    }
    if !binary && let Some(byte) = uri.iter().find(|byte| is_unsafe(**byte)) {
        return Err(Raise::new(unsafe_uri(*byte, uri)));
    }
    let jump = jump?;
    if jump && !matches!(cx.phase(), Some(phase) if phase == LuaPhase::REWRITE || phase == LuaPhase::SERVER_REWRITE) {
        return Err(cx.refusal());
    }
    if jump && host.state.captures.get() > 0 {
        return Err(Raise::fixed(crate::exit::PENDING));
    }
    if jump && request.log_enabled(Level::Debug) {
        let mut text = b"lua set uri jump to \"".to_vec();
        text.extend_from_slice(uri);
        text.push(b'"');
        request.log(Level::Debug, &text);
    }
    let mut line = request.line.borrow_mut();
    line.set_uri(uri);
    request.flags.internal.set(true);
    if !jump {
        line.location_is_valid = false;
    }
    drop(line);
    request.progress.uri_changed.set(jump);
    if jump {
        // The handlers of the next location begin with an `ngx.ctx` of their own.
        request.remove_context::<crate::State>();
    }
    stack.push_bool(jump);
    Ok(1)
}

#[cfg(test)]
mod tests {
    use crate::ngx::tests::evaluate;

    #[test]
    fn arguments() {
        let error = |call: &str| evaluate(&format!("select(2, pcall(function() {call} end))"));
        assert_eq!(error("ngx.req.set_method('GET')"), "test:1: bad method number");
        assert_eq!(error("ngx.req.set_uri()"), "test:1: expecting 1, 2 or 3 arguments but seen 0");
        assert_eq!(error("ngx.req.set_uri('/a')"), "test:1: no request found");
        assert_eq!(error("ngx.req.get_method()"), "test:1: no request found");
    }
}
