//! `ngx.print`, `ngx.say`, `ngx.flush`, `ngx.eof` (`ngx_stream_lua_output.c`).

use crate::control::SERVING;
use crate::host::{Host, Sessions};
use crate::state::State;
use crate::waiting::SendError;
use base::log::Level;
use lua::{CallContext, Group, Raise, Reply, Row, Stack, Suspension, Type, Value};
use lua_lib::number;
use lua_lib::shown::push_value;
use lua_session::{host, output};
use std::future::poll_fn;
use std::rc::Rc;
use stream::{Session, log_session};

const MASK: u32 = SERVING.bits();

/// Answers of fast output rows.
const DONE: i32 = 1;
const REFUSED: i32 = 0;
const RAISED: i32 = -1;
const SLOW: i32 = 2;

const DISABLED: &str = "API disabled in the current context";
const FILTER_ERROR: &str = "nginx output filter error";

/// The part's rows and glue.
pub(crate) fn group() -> Group {
    Group {
        name: "ngx output",
        rows: vec![
            Row::fast::<MASK, _, _>("say_text", |cx: &CallContext, text: &[u8]| put_text(cx, text, true)),
            Row::fast::<MASK, _, _>("print_text", |cx: &CallContext, text: &[u8]| put_text(cx, text, false)),
            Row::fast::<MASK, _, _>("begin", begin),
            Row::fast::<MASK, _, _>("add", add),
            Row::fast::<MASK, _, _>("add_number", add_number),
            Row::fast::<MASK, _, _>("done", send_now),
            Row::calls("say", SERVING, |cx, stack| write_all(cx, stack, "say", true)),
            Row::calls("print", SERVING, |cx, stack| write_all(cx, stack, "print", false)),
            Row::suspends("flush", SERVING, flush),
            Row::calls("eof", SERVING, eof),
            Row::constant("DONE", DONE),
            Row::constant("REFUSED", REFUSED),
            Row::constant("SLOW", SLOW),
        ],
        glue: output::GLUE,
    }
}

/// Why nothing can be sent any more.
fn refusal(state: &State) -> Option<&'static str> {
    if state.eof.get() {
        return Some("seen eof");
    }
    state.waiting.broken().map(|_| FILTER_ERROR)
}

/// Runs `send` where a client takes bytes; an error's text is in the output buffer.
fn sending(cx: &CallContext, send: impl FnOnce(&Host, &Session)) -> i32 {
    host::with_session::<Sessions, _>(cx, RAISED, |host, session| {
        if session.is_udp() {
            cx.put_static(DISABLED.as_bytes());
            return RAISED;
        }
        if let Some(reason) = refusal(&host.state) {
            cx.put_static(reason.as_bytes());
            return REFUSED;
        }
        send(host, session);
        DONE
    })
}

fn put_text(cx: &CallContext, text: &[u8], newline: bool) -> i32 {
    sending(cx, |host, session| {
        host.state.waiting.add(session, |bytes| {
            bytes.extend_from_slice(text);
            if newline {
                bytes.push(b'\n');
            }
        });
    })
}

fn scratch(cx: &CallContext, change: impl FnOnce(&mut Vec<u8>)) {
    cx.with_host::<Host, _>(|host| {
        if let Some(host) = host {
            change(&mut host.scratch.borrow_mut());
        }
    });
}

fn begin(cx: &CallContext) -> i32 {
    sending(cx, |host, _| host.scratch.borrow_mut().clear())
}

fn add(cx: &CallContext, text: &[u8]) {
    scratch(cx, |out| out.extend_from_slice(text));
}

fn add_number(cx: &CallContext, value: f64) {
    scratch(cx, |out| number::push_printed(out, value));
}

fn send_now(cx: &CallContext, newline: i32) -> i32 {
    sending(cx, |host, session| {
        host.state.waiting.add(session, |bytes| {
            bytes.extend_from_slice(&host.scratch.borrow());
            if newline != 0 {
                bytes.push(b'\n');
            }
        });
    })
}

fn refused(stack: &mut Stack<'_>, reason: &str) -> usize {
    stack.push_nil();
    stack.push_bytes(reason.as_bytes());
    2
}

/// The host and its session over TCP.
fn tcp_session(cx: &CallContext) -> Result<(Rc<Host>, Rc<Session>), Raise> {
    let (host, session) = host::session::<Sessions>(cx)?;
    if session.is_udp() { Err(DISABLED.into()) } else { Ok((host, session)) }
}

fn write_all(cx: &CallContext, stack: &mut Stack<'_>, function: &'static str, newline: bool) -> Result<usize, Raise> {
    let (host, session) = tcp_session(cx)?;
    let mut out = Vec::new();
    for index in 1..=stack.top() {
        push_value(stack, index, index, function, &mut out)?;
    }
    // So many arguments may stand there that no result would fit.
    stack.truncate(0);
    if let Some(reason) = refusal(&host.state) {
        return Ok(refused(stack, reason));
    }
    host.state.waiting.add(&session, |bytes| {
        bytes.append(&mut out);
        if newline {
            bytes.push(b'\n');
        }
    });
    stack.push_number(1.0);
    Ok(1)
}

fn flush(cx: &CallContext, stack: &mut Stack<'_>) -> Result<Suspension, Raise> {
    let count = stack.top();
    if count > 1 {
        return Err(Raise::new(format!("attempt to pass {count} arguments, but accepted 0 or 1")));
    }
    if count == 1 && stack.kind(1) != Type::Boolean {
        return Err(stack.mismatch(1, "flush", "boolean"));
    }
    let wait = stack.truthy(1);
    let (host, session) = tcp_session(cx)?;
    let state = host.state.clone();
    if let Some(reason) = refusal(&state) {
        return Ok(Suspension::Now(refused(stack, reason)));
    }
    state.waiting.try_send(&session);
    if state.waiting.broken().is_some() {
        return Ok(Suspension::Now(refused(stack, FILTER_ERROR)));
    }
    if !wait || state.waiting.is_empty() {
        log_session!(session, Level::Debug, "lua flush asynchronously");
        stack.push_number(1.0);
        return Ok(Suspension::Now(1));
    }
    Ok(Suspension::wait(|| async move {
        poll_fn(|cx| state.waiting.poll_empty(cx)).await;
        Ok(match state.waiting.broken() {
            None => Reply::One(Value::Number(1.0)),
            Some(SendError::TimedOut) => Reply::failure("timeout"),
            Some(SendError::Lost) => Reply::failure("client aborted"),
        })
    }))
}

fn eof(cx: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    if stack.top() != 0 {
        return Err("no argument is expected".into());
    }
    let (host, session) = tcp_session(cx)?;
    if host.state.eof.replace(true) {
        return Ok(refused(stack, "seen eof"));
    }
    log_session!(session, Level::Debug, "lua send eof");
    stack.push_number(1.0);
    Ok(1)
}
