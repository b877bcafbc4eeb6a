//! `ngx.print`, `ngx.say`, `ngx.send_headers`, `ngx.flush`, `ngx.eof` (`ngx_http_lua_output.c`).
//!
//! Output goes through fast rows where no Lua filter looks at it: compiled code may not be entered again from within
//! one. Where there is such a filter the glue calls the slow row instead.

use crate::api::ANSWERING;
use crate::host::{Host, request, with_request};
use crate::phase::{body_filter, header_filter};
use crate::send;
use crate::state::State;
use base::log::Level;
use http::{Outcome, Request, Step, log_request};
use lua::{CallContext, Group, Raise, Reply, Row, Stack, Suspension, Type, Value};
use lua_lib::number;
use lua_lib::shown::push_value;
use std::future::poll_fn;
use std::rc::Rc;

const MASK: u32 = ANSWERING.bits();

/// Answers of fast output rows.
const DONE: i32 = 1;
const REFUSED: i32 = 0;
const SLOW: i32 = 2;

/// `ngx.print`, `ngx.say`, `ngx.send_headers`, `ngx.flush`, `ngx.eof`.
pub fn group() -> Group {
    Group {
        name: "ngx output",
        rows: vec![
            Row::fast::<MASK, _, _>("say_text", say_text),
            Row::fast::<MASK, _, _>("print_text", print_text),
            Row::fast::<MASK, _, _>("begin", begin),
            Row::fast::<MASK, _, _>("add", add),
            Row::fast::<MASK, _, _>("add_number", add_number),
            Row::fast::<MASK, _, _>("done", send_now),
            Row::suspends("emit", ANSWERING, emit),
            Row::suspends("say", ANSWERING, |cx, stack| write_all(cx, stack, "say", true)),
            Row::suspends("print", ANSWERING, |cx, stack| write_all(cx, stack, "print", false)),
            Row::suspends("send_headers", ANSWERING, send_headers),
            Row::suspends("flush", ANSWERING, flush),
            Row::suspends("eof", ANSWERING, eof),
            Row::constant("DONE", DONE),
            Row::constant("REFUSED", REFUSED),
            Row::constant("SLOW", SLOW),
        ],
        glue: lua_session::output::GLUE,
    }
}

/// Why nothing can be sent any more.
fn refusal(request: &Request, state: &State) -> Option<&'static str> {
    if state.raw_socket.get() {
        return Some("raw request socket acquired");
    }
    if request.flags.header_only.get() {
        return Some("header only");
    }
    state.eof.get().then_some("seen eof")
}

/// Whether no Lua filter sees the output of this location.
fn is_plain(request: &Request, state: &State) -> bool {
    request.with_location(|location| {
        let (known, plain) = state.plain.get();
        if known == location.number {
            return plain;
        }
        let filtered = location.conf.get::<header_filter::Conf>().is_some_and(|c| c.code.is_some())
            || location.conf.get::<body_filter::Conf>().is_some_and(|c| c.code.is_some());
        state.plain.set((location.number, !filtered));
        !filtered
    })
}

fn say_text(cx: &CallContext, text: &[u8]) -> i32 {
    with_request(cx, -1, |host, request| {
        let mut scratch = host.scratch.borrow_mut();
        scratch.clear();
        scratch.extend_from_slice(text);
        scratch.push(b'\n');
        emit_fast(cx, host, request, &scratch)
    })
}

fn print_text(cx: &CallContext, text: &[u8]) -> i32 {
    with_request(cx, -1, |host, request| {
        let mut scratch = host.scratch.borrow_mut();
        scratch.clear();
        scratch.extend_from_slice(text);
        emit_fast(cx, host, request, &scratch)
    })
}

fn begin(cx: &CallContext) -> i32 {
    with_request(cx, -1, |host, _| {
        host.scratch.borrow_mut().clear();
        DONE
    })
}

fn add(cx: &CallContext, text: &[u8]) {
    with_request(cx, (), |host, _| host.scratch.borrow_mut().extend_from_slice(text));
}

fn add_number(cx: &CallContext, value: f64) {
    with_request(cx, (), |host, _| number::push_printed(&mut host.scratch.borrow_mut(), value));
}

fn send_now(cx: &CallContext, newline: i32) -> i32 {
    with_request(cx, -1, |host, request| {
        let mut scratch = host.scratch.borrow_mut();
        if newline != 0 {
            scratch.push(b'\n');
        }
        emit_fast(cx, host, request, &scratch)
    })
}

fn emit_fast(cx: &CallContext, host: &Host, request: &Rc<Request>, bytes: &[u8]) -> i32 {
    let state = &host.state;
    if let Some(reason) = refusal(request, state) {
        cx.put_static(reason.as_bytes());
        return REFUSED;
    }
    if !is_plain(request, state) || state.pending.borrow().is_some() {
        return SLOW;
    }
    match output(request, state, bytes) {
        Step::Now(outcome) if succeeded(outcome) => DONE,
        Step::Now(_) => {
            cx.put_static(FILTER_ERROR.as_bytes());
            REFUSED
        }
        Step::Wait(future) => {
            state.pending.replace(Some(future));
            DONE
        }
    }
}

const FILTER_ERROR: &str = "nginx output filter error";

fn succeeded(outcome: Outcome) -> bool {
    !matches!(outcome, Outcome::Error | Outcome::Status(300..))
}

/// Sends what a print call made.
fn output(request: &Rc<Request>, state: &Rc<State>, bytes: &[u8]) -> Step {
    if bytes.is_empty() {
        return send::header(request, state);
    }
    state.seen_body.set(true);
    send::data(request, state, bytes)
}

/// Results of an output function, waiting for the output if need be, and for output that was begun before.
fn reply(stack: &mut Stack<'_>, state: &State, step: Step) -> Suspension {
    let earlier = state.pending.borrow_mut().take();
    match (earlier, step) {
        (None, Step::Now(outcome)) => {
            if succeeded(outcome) {
                stack.push_number(1.0);
                return Suspension::Now(1);
            }
            stack.push_nil();
            stack.push_bytes(FILTER_ERROR.as_bytes());
            Suspension::Now(2)
        }
        (earlier, step) => Suspension::wait(|| async move {
            if let Some(earlier) = earlier {
                earlier.await;
            }
            Ok(if succeeded(step.finish().await) { Reply::One(Value::Number(1.0)) } else { Reply::failure(FILTER_ERROR) })
        }),
    }
}

fn refused(stack: &mut Stack<'_>, reason: &str) -> Suspension {
    stack.push_nil();
    stack.push_bytes(reason.as_bytes());
    Suspension::Now(2)
}

/// Sends what the fast rows gathered.
fn emit(cx: &CallContext, stack: &mut Stack<'_>) -> Result<Suspension, Raise> {
    let (host, request) = request(cx)?;
    let bytes = std::mem::take(&mut *host.scratch.borrow_mut());
    let step = output(&request, &host.state, &bytes);
    host.scratch.replace(bytes);
    Ok(reply(stack, &host.state, step))
}

fn write_all(cx: &CallContext, stack: &mut Stack<'_>, function: &'static str, newline: bool) -> Result<Suspension, Raise> {
    let (host, request) = request(cx)?;
    if let Some(reason) = refusal(&request, &host.state) {
        stack.truncate(0);
        return Ok(refused(stack, reason));
    }
    let mut out = Vec::new();
    for index in 1..=stack.top() {
        push_value(stack, index, index, function, &mut out)?;
    }
    if newline {
        out.push(b'\n');
    }
    // So many arguments may stand there that no result would fit.
    stack.truncate(0);
    let step = output(&request, &host.state, &out);
    Ok(reply(stack, &host.state, step))
}

fn send_headers(cx: &CallContext, stack: &mut Stack<'_>) -> Result<Suspension, Raise> {
    let (host, request) = request(cx)?;
    if request.flags.header_sent.get() {
        stack.push_number(1.0);
        return Ok(Suspension::Now(1));
    }
    let step = send::header(&request, &host.state);
    Ok(reply(stack, &host.state, step))
}

fn flush(cx: &CallContext, stack: &mut Stack<'_>) -> Result<Suspension, Raise> {
    let count = stack.top();
    if count > 1 {
        return Err(Raise::new(format!("attempt to pass {count} arguments, but accepted 0 or 1")));
    }
    let (host, request) = request(cx)?;
    let mut wait = false;
    if count == 1 && request.is_main() {
        if stack.kind(1) != Type::Boolean {
            return Err(stack.mismatch(1, "flush", "boolean"));
        }
        wait = stack.truthy(1);
    }
    let state = &host.state;
    if let Some(reason) = refusal(&request, state) {
        return Ok(refused(stack, reason));
    }
    if state.buffering.get() {
        debug(&request, b"lua http 1.0 buffering makes ngx.flush() a no-op");
        return Ok(refused(stack, "buffering"));
    }
    if !request.flags.header_sent.get() || (!state.seen_body.get() && !wait) {
        return Ok(refused(stack, "nothing to flush"));
    }
    let mark = send::flush_mark(&request);
    if !wait {
        return Ok(reply(stack, state, mark));
    }
    let earlier = state.pending.borrow_mut().take();
    Ok(Suspension::wait(|| async move {
        if let Some(earlier) = earlier {
            earlier.await;
        }
        if !succeeded(mark.finish().await) {
            return Ok(Reply::failure(FILTER_ERROR));
        }
        Ok(match poll_fn(|cx| request.wire.poll_drain(cx, 0)).await {
            Ok(()) => Reply::One(Value::Number(1.0)),
            Err(error) => Reply::failure(drain_failed(&request, &error)),
        })
    }))
}

/// Logs why the client did not take what was sent; what Lua gets.
fn drain_failed(request: &Request, error: &std::io::Error) -> &'static str {
    if error.kind() == std::io::ErrorKind::TimedOut {
        log_request!(request, Level::Info, "client timed out (110: Connection timed out)");
        return "timeout";
    }
    log_request!(request, Level::Info, "writev() failed {}", base::errno::describe(error));
    request.flags.client_gone.set(true);
    "client aborted"
}

fn debug(request: &Request, text: &[u8]) {
    if request.log_enabled(Level::Debug) {
        request.log(Level::Debug, text);
    }
}

fn eof(cx: &CallContext, stack: &mut Stack<'_>) -> Result<Suspension, Raise> {
    if stack.top() != 0 {
        return Err("no argument is expected".into());
    }
    let (host, request) = request(cx)?;
    let state = &host.state;
    if state.raw_socket.get() {
        return Ok(refused(stack, "raw request socket acquired"));
    }
    if state.eof.get() {
        return Ok(refused(stack, "seen eof"));
    }
    debug(&request, b"lua send eof");
    let step = send::finish(&request, state);
    Ok(reply(stack, state, step))
}
