//! `ngx.location.capture`, `ngx.location.capture_multi` (`ngx_http_lua_subrequest.c`; semantics: "Subrequests").

mod wire;

use self::wire::Capture;
use crate::host::request;
use crate::state::State;
use ::wire::uri::internal;
use base::log::Level;
use http::body::Body;
use http::request::{Subrequest, SubrequestVariables};
use http::{BoxFuture, Method, Request};
use lua::{Cx, Group, Later, Phase, PhaseSet, Raise, Reply, Row, Stack, Type};
use session::variable::{AssignError, set_by_name};
use std::rc::Rc;
use std::task::Poll;

const PHASES: PhaseSet = PhaseSet::of(Phase::REWRITE).with(Phase::ACCESS).with(Phase::CONTENT);

/// `ngx.location`.
pub fn group() -> Group {
    Group { name: "ngx.location", rows: vec![Row::suspends("capture", PHASES, capture)], glue: include_str!("capture.lua") }
}

/// A running subrequest.
struct Child {
    request: Rc<Request>,
    wire: Rc<Capture>,
    running: Option<BoxFuture<()>>,
}

/// Counted as long as its subrequests run.
struct Pending(Rc<State>);

impl Pending {
    fn new(state: &Rc<State>) -> Pending {
        state.captures.set(state.captures.get() + 1);
        Pending(state.clone())
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.0.captures.set(self.0.captures.get().saturating_sub(1));
    }
}

fn capture(cx: &Cx, stack: &mut Stack<'_>) -> Result<Later, Raise> {
    let (host, parent) = request(cx)?;
    let count = stack.raw_len(1);
    if !stack.reserve(16) {
        return Err("stack overflow".into());
    }
    let mut children = Vec::with_capacity(count);
    for number in 1..=count {
        stack.truncate(2);
        stack.get_item(1, number);
        let (child, wire) = make(stack, 3, &parent, number)?;
        if stack.get_field(3, b"ctx") == Type::Table {
            let slot = child.context::<State>().ctx_slot(&host.runtime.slots).unsigned_abs() as usize;
            stack.set_item(2, slot);
        }
        children.push(Child { request: child, wire, running: None });
    }
    let Some(engine) = parent.worker.engine().cloned() else {
        return Err("no engine".into());
    };
    let pending = Pending::new(&host.state);
    // Subrequests begin once their issuer rests, so that its other threads go on first. Where there are none and nothing
    // must be waited for, the issuer need not rest at all.
    let at_once = cx.is_alone() && stack.reserve(count + 12);
    if at_once {
        start(&mut children, &engine);
        if children.iter().all(|child| child.running.is_none()) {
            stack.truncate(0);
            for child in &children {
                push_answer(stack, child)?;
            }
            return Ok(Later::Now(count));
        }
    }
    Ok(Later::hold(async move {
        let _pending = pending;
        if !at_once {
            tokio::task::yield_now().await;
            start(&mut children, &engine);
        }
        std::future::poll_fn(|cx| {
            let mut waits = false;
            for child in &mut children {
                if let Some(running) = &mut child.running {
                    match running.as_mut().poll(cx) {
                        Poll::Ready(()) => child.running = None,
                        Poll::Pending => waits = true,
                    }
                }
            }
            if waits { Poll::Pending } else { Poll::Ready(()) }
        })
        .await;
        Ok(Reply::with(move |stack| {
            for child in &children {
                push_answer(stack, child)?;
            }
            Ok(children.len())
        }))
    }))
}

fn start(children: &mut [Child], engine: &Rc<dyn http::Engine>) {
    for child in children {
        child.running = engine.run(&child.request);
    }
}

/// The text in field `key` of the table at `at`.
fn text(stack: &mut Stack<'_>, at: usize, key: &[u8]) -> Option<Vec<u8>> {
    let top = stack.top();
    let found = matches!(stack.get_field(at, key), Type::String | Type::Number);
    let value = if found { stack.bytes(top + 1).map(<[u8]>::to_vec) } else { None };
    stack.truncate(top);
    value
}

fn truthy(stack: &mut Stack<'_>, at: usize, key: &[u8]) -> bool {
    let top = stack.top();
    stack.get_field(at, key);
    let value = stack.truthy(top + 1);
    stack.truncate(top);
    value
}

/// Makes the subrequest that the table at `at` describes.
fn make(stack: &mut Stack<'_>, at: usize, parent: &Rc<Request>, number: usize) -> Result<(Rc<Request>, Rc<Capture>), Raise> {
    let uri = text(stack, at, b"uri").unwrap_or_default();
    let mut buffer = Vec::new();
    let target = internal::check(&uri, &mut buffer).map_err(|_| {
        let shown = String::from_utf8_lossy(&uri);
        parent.log(Level::Error, format!("unsafe URI \"{shown}\" was detected").as_bytes());
        Raise::new(format!("unsafe uri in argument #{number}: {shown}")).at_level(2)
    })?;
    let (_, own) = ::wire::uri::args::split(&uri);
    let more = text(stack, at, b"args").unwrap_or_default();
    let args = if own.is_empty() || more.is_empty() { [own, &more].concat() } else { [own, b"&", &more].concat() };
    let bits = text(stack, at, b"method").and_then(|m| std::str::from_utf8(&m).ok()?.parse::<u32>().ok()).unwrap_or(2);
    let (name, method) = Method::from_bits(bits).ok_or_else(|| Raise::new(format!("unsupported HTTP method: {bits}")).at_level(2))?;
    let variables = match (truthy(stack, at, b"share"), truthy(stack, at, b"copy")) {
        (true, _) => SubrequestVariables::Shared,
        (_, true) => SubrequestVariables::Copied,
        _ => SubrequestVariables::Fresh,
    };
    let given = text(stack, at, b"body");
    let length = given.as_ref().map(Vec::len);
    let forward = truthy(stack, at, b"always") || method == Method::PUT || method == Method::POST;
    let body = match given {
        Some(bytes) => Some(Rc::new(Body::from_bytes(bytes))),
        None if forward => None,
        None => Some(Rc::new(Body::none())),
    };
    let wire = Rc::new(Capture::default());
    let what = Subrequest {
        uri: target.path(&uri, &buffer).to_vec(),
        args,
        method: Some((method, name.as_bytes().to_vec())),
        wire: wire.clone(),
        body,
        variables,
    };
    let engine = parent.worker.engine().ok_or("no engine")?;
    let child = engine.subrequest(parent, what).map_err(|message| {
        parent.log(Level::Error, format!("lua {message}").as_bytes());
        Raise::new(format!("failed to issue subrequest: {message}")).at_level(2)
    })?;
    child.flags.captured.set(true);
    if child.log_enabled(Level::Debug) {
        let line = child.line.borrow();
        let text = [b"lua http subrequest \"".as_slice(), &line.uri, b"?", &line.args, b"\""].concat();
        drop(line);
        child.log(Level::Debug, &text);
    }
    set_headers(stack, at, &child, length, forward)?;
    set_variables(stack, at, &child)?;
    Ok((child, wire))
}

/// The fields of the request: the parent's, with the length of a body of its own, and those given.
fn set_headers(stack: &mut Stack<'_>, at: usize, child: &Request, length: Option<usize>, forward: bool) -> Result<(), Raise> {
    if length.is_some() || !forward {
        let mut headers = child.headers.borrow_mut();
        headers.remove(b"Content-Length");
        headers.remove(b"Transfer-Encoding");
        if let Some(length) = length {
            headers.push(b"Content-Length", length.to_string().as_bytes());
        }
    }
    each_field(stack, at, b"headers", |name, value| {
        child.headers.borrow_mut().set(name, value);
        Ok(())
    })
}

fn set_variables(stack: &mut Stack<'_>, at: usize, child: &Request) -> Result<(), Raise> {
    each_field(stack, at, b"vars", |name, value| {
        let name = String::from_utf8_lossy(name).to_ascii_lowercase();
        set_by_name(child, &name, Some(value)).map_err(|error| {
            Raise::new(match error {
                AssignError::NotChangeable => format!("variable \"{name}\" not changeable"),
                AssignError::NotFound => {
                    format!("variable \"{name}\" cannot be assigned a value (maybe you forgot to define it first?) ")
                }
            })
            .at_level(2)
        })
    })
}

/// Walks the table in field `key` as pairs of texts.
fn each_field(stack: &mut Stack<'_>, at: usize, key: &[u8], mut each: impl FnMut(&[u8], &[u8]) -> Result<(), Raise>) -> Result<(), Raise> {
    let top = stack.top();
    let mut result = Ok(());
    if stack.get_field(at, key) == Type::Table {
        result = stack.each(top + 1, |stack, name, value| {
            let name = stack
                .bytes(name)
                .map(<[u8]>::to_vec)
                .ok_or(Raise::fixed("attempt to use a non-string key in the \"vars\" option table"))?;
            let kind = stack.kind(value);
            let value = match kind {
                Type::String | Type::Number => stack.bytes(value).map(<[u8]>::to_vec).unwrap_or_default(),
                _ if key == b"vars" => {
                    return Err(Raise::new(format!("attempt to use bad variable value type {}", kind.name())).at_level(2));
                }
                _ => Vec::new(),
            };
            each(&name, &value)
        });
    }
    stack.truncate(top);
    result
}

/// Pushes `{ status, header, body, truncated }`.
fn push_answer(stack: &mut Stack<'_>, child: &Child) -> Result<(), Raise> {
    if !stack.reserve(12) {
        return Err("too many results".into());
    }
    let request = &child.request;
    let response = request.response.borrow();
    let status = match (child.wire.has_head(), response.status) {
        (true, 0) => 200,
        (false, 0..300) => 500,
        (_, status) => status,
    };
    stack.push_table(0, 4);
    let table = stack.top();
    stack.push_number(f64::from(status));
    stack.set_field(table, b"status");
    stack.push_bytes(&child.wire.take());
    stack.set_field(table, b"body");
    stack.push_bool(child.wire.has_head() && !request.flags.output_ended.get() && !request.flags.header_only.get());
    stack.set_field(table, b"truncated");
    stack.push_table(0, response.headers.len() + 3);
    let header = stack.top();
    for (name, value) in response.headers.iter() {
        push_field(stack, header, name, value);
    }
    if !response.content_type.is_empty() {
        let mut value = response.content_type.clone();
        if !response.charset.is_empty() {
            value.extend_from_slice(b"; charset=");
            value.extend_from_slice(&response.charset);
        }
        stack.push_bytes(&value);
        stack.set_field(header, b"Content-Type");
    }
    if let Some(length) = response.content_length.filter(|_| !response.headers.contains(b"Content-Length")) {
        stack.push_number(length as f64);
        stack.set_field(header, b"Content-Length");
    }
    if let Some(time) = response.last_modified.filter(|_| !response.headers.contains(b"Last-Modified")) {
        stack.push_bytes(&::wire::date::http(time));
        stack.set_field(header, b"Last-Modified");
    }
    stack.set_field(table, b"header");
    Ok(())
}

/// Adds a field; one that is there already becomes a list.
fn push_field(stack: &mut Stack<'_>, header: usize, name: &[u8], value: &[u8]) {
    let at = header + 1;
    match stack.get_field(header, name) {
        Type::Table => {
            let next = stack.raw_len(at) + 1;
            stack.push_bytes(value);
            stack.set_item(at, next);
            stack.truncate(header);
        }
        Type::String => {
            stack.push_table(2, 0);
            stack.push_copy(at);
            stack.set_item(at + 1, 1);
            stack.push_bytes(value);
            stack.set_item(at + 1, 2);
            stack.set_field(header, name);
            stack.truncate(header);
        }
        _ => {
            stack.truncate(header);
            stack.push_bytes(value);
            stack.set_field(header, name);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::ngx::tests::evaluate;

    #[test]
    fn arguments() {
        let error = |call: &str| evaluate(&format!("select(2, pcall(function() {call} end))"));
        assert_eq!(error("ngx.location.capture()"), "test:1: expecting one or two arguments");
        assert_eq!(error("ngx.location.capture_multi({})"), "test:1: at least one subrequest should be specified");
        assert_eq!(error("ngx.location.capture_multi({ 1 })"), "test:1: the query argument 1 is not a table, but a number");
        assert_eq!(error("ngx.location.capture_multi({ { 1, 2, 3 } })"), "test:1: query argument 1 expecting one or two arguments");
    }
}
