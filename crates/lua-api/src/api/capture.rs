//! `ngx.location.capture`, `ngx.location.capture_multi` (`ngx_http_lua_subrequest.c`).

mod wire;

use self::wire::Capture;
use crate::host::{Host, request};
use crate::state::State;
use ::wire::uri::internal;
use base::log::Level;
use base::saturated::Saturated;
use http::body::Body;
use http::request::{Subrequest, SubrequestBody, SubrequestVariables};
use http::{BoxFuture, Engine, Method, Request};
use lua::{CallContext, Group, LuaPhase, PhaseSet, Raise, Reply, Row, Stack, Suspension, Type};
use session::variable::by_name::{AssignError, set_by_name};
use std::borrow::Cow;
use std::rc::Rc;
use std::task::Poll;

const PHASES: PhaseSet = PhaseSet::of(LuaPhase::REWRITE).with(LuaPhase::ACCESS).with(LuaPhase::CONTENT);

/// `ngx.location`.
pub fn group() -> Group {
    Group {
        name: "ngx.location",
        rows: vec![Row::suspends("capture", PhaseSet::EVERYWHERE, capture), Row::suspends("captures", PhaseSet::EVERYWHERE, captures)],
        glue: include_str!("capture.lua"),
    }
}

/// How many values make a response: status, body, whether it is cut short, type, length, other header fields.
const PARTS: usize = 6;

// Where the parts of a query stand, counted from its first: URI, method, flags, arguments, body, variables, header fields, ctx.
const METHOD: usize = 1;
const FLAGS: usize = 2;
const ARGS: usize = 3;
const BODY: usize = 4;
const VARS: usize = 5;
const HEADERS: usize = 6;
const CTX: usize = 7;
const QUERY: usize = 8;

/// Bits of a query's flags.
const SHARE: u32 = 1;
const COPY: u32 = 2;
const FORWARD: u32 = 4;

/// The issuer of subrequests.
struct Issuer {
    host: Rc<Host>,
    request: Rc<Request>,
    engine: Rc<dyn Engine>,
}

/// A running subrequest.
struct Child {
    request: Rc<Request>,
    wire: Rc<Capture>,
    running: Option<BoxFuture<()>>,
}

impl Child {
    fn start(&mut self, engine: &Rc<dyn Engine>) {
        self.running = engine.run(&self.request);
    }

    /// Gives its memory to the next ones.
    fn retire(self) {
        let worker = self.request.worker.clone();
        worker.spare.put(self.request);
        Capture::put(self.wire);
    }
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

fn issuer(cx: &CallContext) -> Result<Issuer, Raise> {
    cx.require_phase(PHASES)?;
    let (host, request) = request(cx)?;
    let engine = request.worker.engine().cloned().ok_or("no engine")?;
    Ok(Issuer { host, request, engine })
}

/// One subrequest, whose query stands behind the list of `ngx.ctx` tables. Answers its parts.
fn capture(cx: &CallContext, stack: &mut Stack<'_>) -> Result<Suspension, Raise> {
    let issuer = issuer(cx)?;
    if !stack.reserve(16) {
        return Err("stack overflow".into());
    }
    let mut child = make(stack, 2, &issuer, 1)?;
    let pending = Pending::new(&issuer.host.state);
    // A subrequest begins once its issuer rests, so that its other threads go on first. Where there are none and nothing
    // must be waited for, the issuer need not rest at all.
    let at_once = cx.is_alone();
    if at_once {
        child.start(&issuer.engine);
        if child.running.is_none() {
            stack.truncate(0);
            push_parts(stack, &child);
            child.retire();
            return Ok(Suspension::Now(PARTS));
        }
    }
    Ok(later(vec![child], at_once, issuer.engine, pending, |stack, children| {
        if !stack.reserve(PARTS + 4) {
            return Err("too many results".into());
        }
        children.into_iter().for_each(|child| {
            push_parts(stack, &child);
            child.retire();
        });
        Ok(PARTS)
    }))
}

/// Several subrequests: a list of lists, each a query, behind the list of `ngx.ctx` tables. Answers lists of their parts.
fn captures(cx: &CallContext, stack: &mut Stack<'_>) -> Result<Suspension, Raise> {
    let issuer = issuer(cx)?;
    let count = stack.raw_len(2);
    if !stack.reserve(QUERY + 16) {
        return Err("stack overflow".into());
    }
    let mut children = Vec::with_capacity(count);
    for number in 1..=count {
        stack.truncate(2);
        stack.get_item(2, number);
        for part in 1..=QUERY {
            stack.get_item(3, part);
        }
        children.push(make(stack, 4, &issuer, number)?);
    }
    let pending = Pending::new(&issuer.host.state);
    let at_once = cx.is_alone() && stack.reserve(count + PARTS + 12);
    if at_once {
        children.iter_mut().for_each(|child| child.start(&issuer.engine));
        if children.iter().all(|child| child.running.is_none()) {
            stack.truncate(0);
            return push_lists(stack, children).map(Suspension::Now);
        }
    }
    Ok(later(children, at_once, issuer.engine, pending, push_lists))
}

/// Waits for the subrequests, which may be running already, and returns what `push` makes of them.
fn later(
    mut children: Vec<Child>,
    running: bool,
    engine: Rc<dyn Engine>,
    pending: Pending,
    push: fn(&mut Stack<'_>, Vec<Child>) -> Result<usize, Raise>,
) -> Suspension {
    Suspension::hold(|| async move {
        let _pending = pending;
        if !running {
            net::turn::next().await;
            children.iter_mut().for_each(|child| child.start(&engine));
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
        Ok(Reply::with(move |stack| push(stack, children)))
    })
}

/// Pushes a list for each response.
fn push_lists(stack: &mut Stack<'_>, children: Vec<Child>) -> Result<usize, Raise> {
    let count = children.len();
    if !stack.reserve(count + PARTS + 4) {
        return Err("too many results".into());
    }
    for child in children {
        stack.push_table(PARTS, 0);
        let list = stack.top();
        push_parts(stack, &child);
        for part in (1..=PARTS).rev() {
            stack.set_item(list, part);
        }
        child.retire();
    }
    Ok(count)
}

/// Makes the subrequest whose query begins at `at`; nothing stands on the stack behind it.
fn make(stack: &mut Stack<'_>, at: usize, issuer: &Issuer, number: usize) -> Result<Child, Raise> {
    let parent = &issuer.request;
    let bits = u32::saturated(stack.number(at + METHOD).unwrap_or(2.0));
    let (name, method) = Method::from_bits(bits).ok_or_else(|| Raise::new(format!("unsupported HTTP method: {bits}")).at_level(2))?;
    let flags = u32::saturated(stack.number(at + FLAGS).unwrap_or_default());
    let forward = flags & FORWARD != 0 || method == Method::PUT || method == Method::POST;
    let given = stack.bytes(at + BODY);
    let length = given.map(<[u8]>::len);
    let body = match given {
        Some(bytes) => SubrequestBody::Own(Body::from_bytes(bytes.to_vec())),
        None if forward => SubrequestBody::Parents,
        None => SubrequestBody::Nothing,
    };
    let variables = match flags {
        share if share & SHARE != 0 => SubrequestVariables::Shared,
        copy if copy & COPY != 0 => SubrequestVariables::Copied,
        _ => SubrequestVariables::Fresh,
    };
    let wire = Capture::from_pool();
    let request = {
        let uri = stack.bytes(at).unwrap_or_default();
        let mut buffer = Vec::new();
        let target = internal::check(uri, &mut buffer)
            .map_err(|_| Raise::new(format!("unsafe uri in argument #{number}: {}", String::from_utf8_lossy(uri))).at_level(2))?;
        let args = join(::wire::uri::args::split(uri).1, stack.bytes(at + ARGS).unwrap_or_default());
        let method = Some((method, name.as_bytes()));
        let what = Subrequest { uri: target.path(uri, &buffer), args: &args, method, wire: wire.clone(), body, variables };
        issuer.engine.subrequest(parent, what).map_err(|error| {
            parent.log(Level::Error, format!("lua {error}").as_bytes());
            Raise::new(format!("failed to issue subrequest: {error}")).at_level(2)
        })?
    };
    request.flags.captured.set(true);
    if request.log_enabled(Level::Debug) {
        log_start(&request);
    }
    set_headers(stack, at + HEADERS, &request, length, forward)?;
    set_variables(stack, at + VARS, &request)?;
    if stack.kind(at + CTX) == Type::Table {
        stack.push_copy(at + CTX);
        let slot = State::of(&request).common.ctx.slot(&issuer.host.slots).unsigned_abs() as usize;
        stack.set_item(1, slot);
    }
    Ok(Child { request, wire, running: None })
}

/// Both query strings as one.
fn join<'a>(own: &'a [u8], more: &'a [u8]) -> Cow<'a, [u8]> {
    match (own, more) {
        (own, []) => Cow::Borrowed(own),
        ([], more) => Cow::Borrowed(more),
        (own, more) => Cow::Owned([own, b"&", more].concat()),
    }
}

/// Says at debug level what is about to run.
fn log_start(request: &Request) {
    let line = request.line.borrow();
    let text = [b"lua http subrequest \"".as_slice(), &line.uri, b"?", &line.args, b"\""].concat();
    drop(line);
    request.log(Level::Debug, &text);
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
    each_field(stack, at, false, |name, value| {
        child.headers.borrow_mut().set(name, value);
        Ok(())
    })
}

fn set_variables(stack: &mut Stack<'_>, at: usize, child: &Request) -> Result<(), Raise> {
    each_field(stack, at, true, |name, value| {
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

/// Walks the table at `at`, if there is one, as pairs of texts. `strict` refuses other values.
fn each_field(
    stack: &mut Stack<'_>,
    at: usize,
    strict: bool,
    mut each: impl FnMut(&[u8], &[u8]) -> Result<(), Raise>,
) -> Result<(), Raise> {
    if stack.kind(at) != Type::Table {
        return Ok(());
    }
    let top = stack.top();
    let result = stack.for_each(at, |stack, name, value| {
        let name = stack
            .bytes(name)
            .map(<[u8]>::to_vec)
            .ok_or(Raise::fixed("attempt to use a non-string key in the \"vars\" option table").at_level(2))?;
        let kind = stack.kind(value);
        let value = match kind {
            Type::String | Type::Number => stack.bytes(value).map(<[u8]>::to_vec).unwrap_or_default(),
            _ if strict => {
                return Err(Raise::new(format!("attempt to use bad variable value type {}", kind.name())).at_level(2));
            }
            _ => Vec::new(),
        };
        each(&name, &value)
    });
    stack.truncate(top);
    result
}

/// Pushes the parts of a response, of which the header fields are a table, or nil where type and length are all there is.
/// Room must have been made.
fn push_parts(stack: &mut Stack<'_>, child: &Child) {
    let request = &child.request;
    let response = request.response.borrow();
    let status = match (child.wire.has_head(), response.status) {
        (true, 0) => 200,
        (false, 0..300) => 500,
        (_, status) => status,
    };
    stack.push_number(f64::from(status));
    child.wire.with_body(|body| stack.push_bytes(body));
    // The response to HEAD has no end; that of a status without a body is whole.
    let is_bare = request.flags.header_only.get() && request.method() != Method::HEAD;
    stack.push_bool(child.wire.has_head() && !child.wire.has_end() && !is_bare);
    if response.content_type.is_empty() {
        stack.push_nil();
    } else {
        let mut full = Vec::new();
        response.push_content_type(&mut full);
        stack.push_bytes(&full);
    }
    match response.content_length.filter(|_| !response.headers.contains(b"Content-Length")) {
        Some(length) => stack.push_number(length as f64),
        None => stack.push_nil(),
    }
    let time = response.last_modified.filter(|_| !response.headers.contains(b"Last-Modified"));
    if response.headers.is_empty() && time.is_none() {
        return stack.push_nil();
    }
    stack.push_table(0, response.headers.len() + 3);
    let header = stack.top();
    for (name, value) in response.headers.iter() {
        push_field(stack, header, name, value);
    }
    if let Some(time) = time {
        stack.push_bytes(&::wire::date::http(time));
        stack.set_field(header, b"Last-Modified");
    }
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
