//! The rows of `ngx.pipe`.

use crate::host::{expect_host, host};
use crate::pipe::process::{Hub, Process, SpawnRequest};
use crate::pipe::reader::{PipeReader, ReadPattern};
use base::saturated::Saturated;
use lua::{CallContext, Group, LuaPhase, PhaseSet, Raise, Reply, Row, Stack, Suspension, Type, Value, YIELDABLE};
use std::rc::Rc;
use std::time::Duration;

/// The part's rows and glue.
#[must_use]
pub fn group() -> Group {
    let all = PhaseSet(u32::MAX ^ LuaPhase::INIT.bit);
    Group {
        name: "ngx.pipe",
        rows: vec![
            Row::calls("pipe_spawn", all, spawn),
            Row::fast::<{ crate::ANYWHERE }, _, _>("pipe_free", free),
            Row::suspends("pipe_read", YIELDABLE, read),
            Row::suspends("pipe_write", YIELDABLE, write),
            Row::suspends("pipe_wait", YIELDABLE, wait),
            Row::calls("pipe_shutdown", PhaseSet::EVERYWHERE, shutdown),
            Row::calls("pipe_kill", PhaseSet::EVERYWHERE, kill),
            Row::constant("STDIN", STDIN),
            Row::constant("STDOUT", STDOUT),
            Row::constant("STDERR", STDERR),
            Row::constant("ALL", ALL),
            Row::constant("BYTES", BYTES),
            Row::constant("LINE", LINE),
            Row::constant("ANY", ANY),
        ],
        glue: include_str!("pipe.lua"),
    }
}

/// A program's pipes.
const STDIN: i32 = 0;
const STDOUT: i32 = 1;
const STDERR: i32 = 2;

/// What is read of one.
const ALL: i32 = 0;
const BYTES: i32 = 1;
const LINE: i32 = 2;
const ANY: i32 = 3;

fn hub(cx: &CallContext) -> Option<Rc<Hub>> {
    host(cx)?.worker().map(|worker| worker.state::<Hub>())
}

fn find(cx: &CallContext, stack: &Stack<'_>) -> Option<Rc<Process>> {
    hub(cx)?.find(u64::saturated(stack.number(1)?))
}

fn refused(stack: &mut Stack<'_>, reason: &str) -> usize {
    stack.push_nil();
    stack.push_bytes(reason.as_bytes());
    2
}

/// A time limit in milliseconds; 0 is none.
fn limit(stack: &Stack<'_>, index: usize) -> Option<Duration> {
    let milliseconds = u64::saturated(stack.number(index).unwrap_or(0.0));
    (milliseconds > 0).then(|| Duration::from_millis(milliseconds))
}

/// The strings of the list at `index`.
fn strings(stack: &mut Stack<'_>, index: usize) -> Vec<Vec<u8>> {
    let top = stack.top();
    let mut list = Vec::new();
    for item in 1..=stack.raw_len(index) {
        stack.get_item(index, item);
        list.extend(stack.bytes(top + 1).map(<[u8]>::to_vec));
        stack.truncate(top);
    }
    list
}

/// `pipe_spawn(words, merge_stderr, buffer_size, environ)`: number and process id, or nil and why not.
fn spawn(cx: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    let host = expect_host(cx)?;
    let worker = host.worker().ok_or("no request found")?;
    let order = SpawnRequest {
        words: strings(stack, 1),
        merged: stack.truthy(2),
        buffer: usize::saturated(stack.number(3).unwrap_or(4096.0)),
        environment: (stack.kind(4) == Type::Table).then(|| strings(stack, 4)),
    };
    match Process::start(worker, &order) {
        Ok(process) => {
            let hub = worker.state::<Hub>();
            let pid = process.pid();
            let id = hub.add(Rc::new(process));
            host.resources().processes.add(&hub, id);
            stack.push_number(id as f64);
            stack.push_number(f64::from(pid));
            Ok(2)
        }
        Err(reason) => Ok(refused(stack, &reason.to_string())),
    }
}

fn free(cx: &CallContext, id: f64) {
    if let Some(hub) = hub(cx) {
        hub.remove(u64::saturated(id));
    }
}

fn stderr_of(process: &Process) -> Result<&PipeReader, &'static str> {
    process.stderr.as_ref().ok_or("merged to stdout")
}

/// `pipe_read(id, from, kind, length, limit)`
fn read(cx: &CallContext, stack: &mut Stack<'_>) -> Result<Suspension, Raise> {
    let Some(process) = find(cx, stack) else { return Ok(Suspension::Now(refused(stack, "closed"))) };
    let error = stack.number(2) == Some(f64::from(STDERR));
    let length = usize::saturated(stack.number(4).unwrap_or(0.0));
    let want = match i32::saturated(stack.number(3).unwrap_or(0.0)) {
        BYTES => ReadPattern::Bytes(length),
        LINE => ReadPattern::Line,
        ANY => ReadPattern::Any(length),
        _ => ReadPattern::All,
    };
    let limit = limit(stack, 5);
    let refusal = if error {
        match stderr_of(&process) {
            Ok(inlet) => inlet.refusal(),
            Err(reason) => Some(reason),
        }
    } else {
        process.stdout.refusal()
    };
    if let Some(reason) = refusal {
        return Ok(Suspension::Now(refused(stack, reason)));
    }
    Ok(Suspension::wait(|| async move {
        let inlet = if error { process.stderr.as_ref().unwrap_or(&process.stdout) } else { &process.stdout };
        Ok(inlet.read(want, limit).await)
    }))
}

/// `pipe_write(id, data, limit)`
fn write(cx: &CallContext, stack: &mut Stack<'_>) -> Result<Suspension, Raise> {
    let Some(process) = find(cx, stack) else { return Ok(Suspension::Now(refused(stack, "closed"))) };
    if let Some(reason) = process.stdin.refusal() {
        return Ok(Suspension::Now(refused(stack, reason)));
    }
    let (data, limit) = (stack.check_bytes(2, "write")?.to_vec(), limit(stack, 3));
    Ok(Suspension::wait(|| async move { Ok(process.stdin.write(&data, limit).await) }))
}

/// Records that there is no waiter any more.
struct Waiting(Rc<Process>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.waited.set(false);
    }
}

/// `pipe_wait(id, limit)`: the object knows its process no more when this has answered its end.
fn wait(cx: &CallContext, stack: &mut Stack<'_>) -> Result<Suspension, Raise> {
    let (Some(process), Some(hub)) = (find(cx, stack), hub(cx)) else {
        return Ok(Suspension::Now(refused(stack, "exited")));
    };
    if process.waited.replace(true) {
        return Ok(Suspension::Now(refused(stack, "pipe busy waiting")));
    }
    let (id, limit) = (u64::saturated(stack.number(1).unwrap_or(0.0)), limit(stack, 2));
    let waiting = Waiting(process);
    Ok(Suspension::wait(|| async move {
        let ending = &waiting.0.ending;
        tokio::select! {
            biased;
            () = ending.ended() => {}
            () = super::writer::after(limit) => return Ok(Reply::failure("timeout")),
        }
        hub.remove(id);
        let (reason, status) = ending.reason().unwrap_or(("unknown", 0));
        Ok(Reply::Many(vec![Value::Bool(status == 0), reason.into(), Value::Number(f64::from(status))]))
    }))
}

/// `pipe_shutdown(id, which)`
fn shutdown(cx: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    let Some(process) = find(cx, stack) else { return Ok(refused(stack, "closed")) };
    let reason = if process.ending.reason().is_some() { "closed" } else { "aborted" };
    match i32::saturated(stack.number(2).unwrap_or(0.0)) {
        STDIN => process.stdin.close(reason),
        STDOUT => process.stdout.close(reason),
        _ => match stderr_of(&process) {
            Ok(inlet) => inlet.close(reason),
            Err(reason) => return Ok(refused(stack, reason)),
        },
    }
    stack.push_bool(true);
    Ok(1)
}

/// `pipe_kill(id, signal)`
fn kill(cx: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    let signal = i32::saturated(stack.check_number(2, "kill")?);
    let result = find(cx, stack).map_or_else(|| Err("exited".into()), |process| process.kill(signal));
    match result {
        Ok(()) => {
            stack.push_bool(true);
            Ok(1)
        }
        Err(reason) => Ok(refused(stack, &reason.to_string())),
    }
}
