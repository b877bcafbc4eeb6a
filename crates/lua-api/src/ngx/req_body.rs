//! `ngx.req.read_body`, `discard_body`, `get_body_data`, `get_body_file`, and the functions that give a request another
//! body (lua-nginx-module's README, "ngx.req.read_body" and the sections after it).

use crate::api::ANSWERING;
use crate::host::request;
use crate::ngx::wrapped;
use base::errno;
use base::log::Level;
use base::saturated::Saturated;
use http::body::{self, Body, BodyState, TempFile};
use http::connection::BodyRead;
use http::core::{TempPath, default};
use http::log_request;
use http::{Outcome, Request, Step};
use lua::{CallContext, Group, PhaseSet, Raise, Reply, Row, Stack, Suspension, Type, Value};
use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// Bytes of a body that are thrown away at a time.
const PART: usize = 64 * 1024;

/// The part's rows and glue.
#[must_use]
pub(crate) fn group() -> Group {
    let all = PhaseSet::EVERYWHERE;
    Group {
        name: "ngx.req.body",
        rows: vec![
            Row::suspends("read_body", PhaseSet::EVERYWHERE, |cx, stack| wrapped(read_body(cx, stack))),
            Row::fast::<{ ANSWERING.bits() }, _, _>("finish_read", finish_read),
            Row::calls("discard_body", all, discard_body),
            Row::calls("get_body_data", all, get_body_data),
            Row::calls("get_body_file", all, get_body_file),
            Row::calls("set_body_data", all, set_body_data),
            Row::calls("set_body_file", all, set_body_file),
            Row::calls("init_body", all, init_body),
            Row::calls("append_body", all, append_body),
            Row::calls("finish_body", all, finish_body),
        ],
        glue: include_str!("req_body.lua"),
    }
}

/// The error of a wrong number of arguments.
fn count(stack: &Stack<'_>, least: usize, most: usize, expected: &str) -> Result<(), Raise> {
    let n = stack.top();
    if (least..=most).contains(&n) { Ok(()) } else { Err(Raise::new(format!("expecting {expected} but seen {n}"))) }
}

/// The status to end with when the body could not be read; no result when it is here.
fn reply(outcome: Outcome) -> Option<f64> {
    match outcome {
        Outcome::Status(status) if status >= 300 => Some(f64::from(status)),
        Outcome::Error => Some(500.0),
        _ => None,
    }
}

fn read_body(cx: &CallContext, stack: &mut Stack<'_>) -> Result<Suspension, Raise> {
    cx.require_phase(ANSWERING)?;
    count(stack, 0, 0, "0 arguments")?;
    let (_, request) = request(cx)?;
    match body::read(&request) {
        Step::Now(outcome) => {
            let failed = reply(outcome);
            if let Some(status) = failed {
                stack.push_number(status);
            }
            Ok(Suspension::Now(usize::from(failed.is_some())))
        }
        Step::Wait(future) => Ok(Suspension::wait(|| async move {
            Ok(match reply(future.await) {
                Some(status) => Reply::One(Value::Number(status)),
                None => Reply::Empty,
            })
        })),
    }
}

/// Ends the handler with the status of a body that cannot be read; the glue then stops.
fn finish_read(cx: &CallContext, status: i32) {
    cx.finish(status);
}

fn discard_body(cx: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    count(stack, 0, 0, "0 arguments")?;
    let (_, request) = request(cx)?;
    let body = request.body.borrow().clone();
    if body.state() == BodyState::Unread {
        body::send_continue(&request);
        if is_here(&request) {
            // Nothing of it is left, as if nobody had read it yet.
            body::replace(&request, Body::none());
        } else {
            body.set_state(BodyState::Discarded);
        }
    }
    Ok(0)
}

/// Takes what has come of the body from the wire; whether that was all of it.
fn is_here(request: &Request) -> bool {
    let (mut cx, mut data) = (Context::from_waker(Waker::noop()), Vec::new());
    loop {
        match request.wire.poll_body(&mut cx, request, &mut data, PART) {
            Poll::Ready(Ok(BodyRead::Data(_))) => data.clear(),
            Poll::Ready(Ok(BodyRead::End)) => return true,
            Poll::Ready(Err(_)) | Poll::Pending => return false,
        }
    }
}

fn get_body_data(cx: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    count(stack, 0, 1, "0 or 1 arguments")?;
    let max = if stack.top() == 1 { usize::saturated(stack.check_number(1, "get_body_data")?) } else { 0 };
    let (_, request) = request(cx)?;
    let body = request.body.borrow().clone();
    if body.state() != BodyState::Read || body.file().is_some() {
        stack.push_nil();
        return Ok(1);
    }
    body.with_data(|data| match data {
        [] => stack.push_nil(),
        data if max > 0 => stack.push_bytes(data.get(..max).unwrap_or(data)),
        data => stack.push_bytes(data),
    });
    Ok(1)
}

fn get_body_file(cx: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    count(stack, 0, 0, "0 arguments")?;
    let (_, request) = request(cx)?;
    let file = request.body.borrow().file();
    match file {
        Some(file) => stack.push_bytes(file.path.as_os_str().as_bytes()),
        None => stack.push_nil(),
    }
    Ok(1)
}

/// The body must have been read or thrown away before another can take its place.
fn replaceable(request: &Request) -> Result<(), Raise> {
    let body = request.body.borrow();
    match body.state() {
        BodyState::Read if body.is_none() && request.is_main() && !request.flags.body_asked.get() => {
            Err(Raise::fixed("request body not read yet"))
        }
        BodyState::Discarded => Err(Raise::fixed("request body already discarded asynchronously")),
        BodyState::Unread => Err(Raise::fixed("request body not read yet")),
        BodyState::Read => Ok(()),
    }
}

/// Puts `body` in the request's place of a body, with its `Content-Length`.
fn replace(request: &Request, body: Body) -> Result<(), Raise> {
    let length = body.size().to_string();
    body::replace(request, body);
    let set = request.set_input_field(b"Content-Length", length.as_bytes(), false);
    set.map_err(|_| Raise::fixed("failed to reset the Content-Length input header"))?;
    request.headers.borrow_mut().remove(b"Transfer-Encoding");
    Ok(())
}

fn set_body_data(cx: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    count(stack, 1, 1, "1 arguments")?;
    let data = stack.check_bytes(1, "set_body_data")?.to_vec();
    let (_, request) = request(cx)?;
    replaceable(&request)?;
    replace(&request, Body::from_bytes(data))?;
    Ok(0)
}

fn set_body_file(cx: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    count(stack, 1, 2, "1 or 2 arguments")?;
    let (_, request) = request(cx)?;
    let name = stack.check_bytes(1, "set_body_file")?.to_vec();
    let clean = match stack.kind(2) {
        Type::None => false,
        Type::Boolean => stack.truthy(2),
        _ => return Err(stack.mismatch(2, "set_body_file", "boolean")),
    };
    replaceable(&request)?;
    let path = http::root::os_path(&name);
    let body = body::from_file(&path, clean).map_err(|_| Raise::new(format!("stat() \"{}\" failed", path.display())))?;
    replace(&request, body)?;
    Ok(0)
}

/// A body that code puts together: in memory up to the limit, then in a file.
#[derive(Default)]
struct BodyBuilder {
    open: Cell<bool>,
    limit: Cell<usize>,
    data: RefCell<Vec<u8>>,
    file: RefCell<Option<TempFile>>,
}

impl BodyBuilder {
    fn spill(&self, request: &Request) -> io::Result<()> {
        let mut file = self.file.borrow_mut();
        if file.is_none() {
            let place = request.core().client_body_temp_path.clone();
            let place = place.unwrap_or_else(|| TempPath { path: request.http.paths.prefix.join("client_body_temp"), levels: [0; 3] });
            let made = TempFile::create(&place)?;
            log_request!(request, Level::Warn, "a client request body is buffered to a temporary file {}", made.path.display());
            *file = Some(made);
        }
        let mut data = self.data.borrow_mut();
        if let Some(file) = &*file {
            let mut to: &File = &file.file;
            to.write_all(&data)?;
        }
        data.clear();
        Ok(())
    }
}

fn write_failed(request: &Request, error: &io::Error) -> Raise {
    log_request!(request, Level::Crit, "writing the request body to a temporary file failed {}", errno::describe(error));
    Raise::fixed("fail to write file")
}

fn init_body(cx: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    count(stack, 0, 1, "0 or 1 argument")?;
    let (_, request) = request(cx)?;
    replaceable(&request)?;
    let limit = if stack.top() == 1 {
        let size = stack.check_number(1, "init_body")?;
        if size < 0.0 {
            return Err(Raise::new(format!("bad size argument: {size}")));
        }
        usize::saturated(size)
    } else {
        usize::saturated(request.core().client_body_buffer_size.unwrap_or(default::BODY_BUFFER))
    };
    body::replace(&request, Body::from_bytes(Vec::new()));
    let building = Rc::new(BodyBuilder::default());
    building.open.set(true);
    building.limit.set(limit);
    request.set_context(building);
    Ok(0)
}

fn building(request: &Request) -> Result<Rc<BodyBuilder>, Raise> {
    request.find_context::<BodyBuilder>().filter(|b| b.open.get()).ok_or(Raise::fixed("request_body not initialized"))
}

fn append_body(cx: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    count(stack, 1, 1, "1 arguments")?;
    let (_, request) = request(cx)?;
    let text = stack.check_bytes(1, "append_body")?;
    let building = building(&request)?;
    building.data.borrow_mut().extend_from_slice(text);
    if building.data.borrow().len() > building.limit.get() {
        building.spill(&request).map_err(|error| write_failed(&request, &error))?;
    }
    Ok(0)
}

fn finish_body(cx: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    count(stack, 0, 0, "0 argument")?;
    let (_, request) = request(cx)?;
    let building = building(&request)?;
    building.open.set(false);
    let in_file = building.file.borrow().is_some();
    if !in_file {
        replace(&request, Body::from_bytes(building.data.take()))?;
        return Ok(0);
    }
    building.spill(&request).map_err(|error| write_failed(&request, &error))?;
    if let Some(file) = building.file.take() {
        let body = body::from_file(&file.path, true).map_err(|error| write_failed(&request, &error))?;
        // The body removes it from now on.
        file.persist();
        replace(&request, body)?;
    }
    Ok(0)
}
