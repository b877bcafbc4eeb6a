//! `ngx.header`, `ngx.resp`: the fields of the response's head (lua-nginx-module's README, "ngx.header.HEADER").

use crate::api::status::three_digits;
use crate::host::{Host, request, with_request};
use crate::ngx::req_header::FieldTable;
use crate::ngx::wrapped;
use crate::options::Options;
use base::log::Level;
use base::saturated::Saturated;
use http::line::Version;
use http::{Request, log_request};
use lua::{CallContext, Group, LuaPhase, PhaseSet, Raise, Row, Stack};
use std::borrow::Cow;

const ALL: u32 = PhaseSet::EVERYWHERE.bits();

/// How `resp_set` treats earlier fields of the name.
const ADD: i32 = 1;

/// Most values that one read of `ngx.header` gives.
const MAX_VALUES: usize = 100;

/// The part's rows and glue.
#[must_use]
pub(crate) fn group() -> Group {
    Group {
        name: "ngx.header",
        rows: vec![
            Row::fast::<ALL, _, _>("resp_set", resp_set),
            Row::fast::<ALL, _, _>("resp_get", resp_get),
            Row::fast::<ALL, _, _>("resp_status", resp_status),
            Row::fast::<ALL, _, _>("resp_unconditional", unconditional),
            Row::calls("resp_values", PhaseSet::EVERYWHERE, |cx, stack| wrapped(resp_values(cx, stack))),
            Row::calls("resp_headers", PhaseSet::EVERYWHERE, |cx, stack| wrapped(resp_headers(cx, stack))),
        ],
        glue: include_str!("resp_header.lua"),
    }
}

/// The name as it leaves: `_` becomes `-` unless the location says otherwise.
fn wire_name<'a>(request: &Request, name: &'a [u8]) -> Cow<'a, [u8]> {
    if !name.contains(&b'_') || !request.conf::<Options>().transform_underscores.unwrap_or(true) {
        return Cow::Borrowed(name);
    }
    Cow::Owned(name.iter().map(|b| if *b == b'_' { b'-' } else { *b }).collect())
}

/// Whether the head is beyond reach. Header filters run when it is about to leave.
pub(crate) fn head_is_gone(cx: &CallContext, host: &Host, request: &Request) -> bool {
    cx.phase() != Some(LuaPhase::HEADER_FILTER) && (request.flags.header_sent.get() || host.state.buffering.get())
}

/// The conditions in the request's fields are not to be looked at.
fn unconditional(cx: &CallContext) -> i32 {
    with_request(cx, -1, |_, request| {
        request.flags.unconditional.set(true);
        0
    })
}

fn resp_set(cx: &CallContext, name: &[u8], value: &[u8], how: i32) -> i32 {
    with_request(cx, -1, |host, request| {
        if head_is_gone(cx, host, request) {
            request.log(Level::Error, b"attempt to set ngx.header.HEADER after sending out response headers");
            return 0;
        }
        let name = wire_name(request, name);
        host.state.headers_set.set(true);
        if name.eq_ignore_ascii_case(b"Content-Type") {
            host.state.mime_set.set(true);
        }
        match request.response.borrow_mut().set_field(&name, value, how == ADD) {
            Ok(()) => 0,
            Err(_) => {
                cx.put_static(b"failed to set header");
                -1
            }
        }
    })
}

/// The number of values; the first one is in the output buffer.
fn resp_get(cx: &CallContext, name: &[u8]) -> i32 {
    with_request(cx, -1, |_, request| {
        let name = wire_name(request, name);
        let mut count = 0;
        request.response.borrow().field(&name, |value| {
            if count == 0 {
                cx.set_text(value);
            }
            count += 1;
        });
        count.min(i32::try_from(MAX_VALUES).unwrap_or(i32::MAX))
    })
}

fn resp_values(cx: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    let (_, request) = request(cx)?;
    let name = wire_name(&request, stack.check_bytes(1, "header")?).into_owned();
    stack.push_table(2, 0);
    let table = stack.top();
    let mut count = 0;
    request.response.borrow().field(&name, |value| {
        if count < MAX_VALUES {
            count += 1;
            stack.push_bytes(value);
            stack.set_item(table, count);
        }
    });
    Ok(1)
}

/// `ngx.resp.set_status(status, reason)`.
fn resp_status(cx: &CallContext, status: f64, reason: &[u8]) -> i32 {
    with_request(cx, -1, |host, request| {
        if head_is_gone(cx, host, request) {
            request.log(Level::Error, b"attempt to set ngx.status after sending out response headers");
            return 0;
        }
        let Some(status) = three_digits(request, status) else { return 0 };
        let mut response = request.response.borrow_mut();
        response.set_status(status);
        if !reason.is_empty() {
            let mut line = format!("{status} ").into_bytes();
            line.extend_from_slice(reason);
            response.status_line = line;
        }
        request.error_status.set(0);
        0
    })
}

/// `ngx.resp.get_headers(max, raw)`.
fn resp_headers(cx: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    let (_, request) = request(cx)?;
    let max = if stack.is_nil(1) { 100.0 } else { stack.check_number(1, "get_headers")? };
    let raw = stack.truthy(2);
    let response = request.response.borrow();
    let mut all: Vec<(&[u8], Cow<'_, [u8]>)> = Vec::with_capacity(response.headers.len() + 3);
    if !response.content_type.is_empty() {
        response.field(b"Content-Type", |value| all.push((b"content-type", Cow::Owned(value.to_vec()))));
    }
    if let Some(length) = response.content_length {
        all.push((b"content-length", Cow::Owned(length.to_string().into_bytes())));
    }
    let connection: &[u8] = match response.status {
        101 => b"upgrade",
        _ if request.flags.keepalive.get() => b"keep-alive",
        _ => b"close",
    };
    all.push((b"connection", Cow::Borrowed(connection)));
    let chunked = response.content_length.is_none() && request.version() == Version::Http11 && !request.flags.header_only.get();
    if chunked && request.is_main() && request.flags.header_sent.get() && cx.phase() != Some(LuaPhase::HEADER_FILTER) {
        all.push((b"transfer-encoding", Cow::Borrowed(b"chunked")));
    }
    let extra = all.len();
    all.extend(response.headers.iter().map(|(name, value)| (name, Cow::Borrowed(value))));
    let max = usize::saturated(max);
    let truncated = max > 0 && all.len() > max;
    if truncated {
        log_request!(request, Level::Debug, "lua exceeding response header limit {} > {max}", all.len());
        all.truncate(max.max(extra + 1));
    }
    let mut table = FieldTable::new(stack, all.len(), raw);
    for (name, value) in &all {
        table.add(stack, name, value);
    }
    table.finish(stack);
    if truncated {
        stack.push_bytes(b"truncated");
    }
    Ok(1 + usize::from(truncated))
}
