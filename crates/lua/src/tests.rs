//! The crate's tests, on a small host whose API is `say`, `nap` (suspends for so many polls), `exit` and a few rows
//! that misbehave.

mod code;
mod globals;
mod rows;
mod threads;
mod wakes;

use crate::*;
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// The host context: what a handler said.
#[derive(Default)]
pub(super) struct Request {
    said: RefCell<String>,
    drops: Rc<Cell<u32>>,
}

/// What libraries know of a host.
trait Speaker {
    fn has_said(&self) -> String;
}

impl Speaker for Request {
    fn has_said(&self) -> String {
        self.said.borrow().clone()
    }
}

impl Host for Request {
    fn share(self: Rc<Self>, handle: &mut dyn Any) {
        if let Some(handle) = handle.downcast_mut::<Option<Rc<dyn Speaker>>>() {
            *handle = Some(self);
        }
    }

    fn provide<'a>(&'a self, view: &mut HostView<'a>) {
        view.provide::<dyn Speaker>(self);
    }
}

impl Host for Vm {}
impl Host for (Vm, Request) {}
impl<T: 'static> Host for RefCell<Option<T>> {}

#[derive(Default)]
pub(super) struct Log {
    globals: RefCell<Vec<(String, String)>>,
    aborted: RefCell<Vec<String>>,
}

impl Hooks for Log {
    fn global_write(&self, _: &CallContext, name: &[u8], traceback: &[u8]) {
        let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
        self.globals.borrow_mut().push((text(name), text(traceback)));
    }
    fn thread_aborted(&self, _: &CallContext, error: &LuaError) {
        self.aborted.borrow_mut().push(error.to_string());
    }
}

struct Nap {
    left: u32,
    reply: Option<Result<Reply, Raise>>,
    drops: Rc<Cell<u32>>,
}

impl Future for Nap {
    type Output = Result<Reply, Raise>;
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if self.left == 0 {
            return Poll::Ready(self.reply.take().expect("polled once after its end"));
        }
        self.left -= 1;
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Drop for Nap {
    fn drop(&mut self) {
        self.drops.set(self.drops.get() + 1);
    }
}

fn say(cx: &CallContext, text: &[u8]) -> i32 {
    let Some(request) = cx.host::<Request>() else {
        cx.put_static(b"no request found");
        return -1;
    };
    let mut said = request.said.borrow_mut();
    said.push_str(&String::from_utf8_lossy(text));
    said.push('\n');
    0
}

fn nap(cx: &CallContext, stack: &mut Stack<'_>) -> Result<Suspension, Raise> {
    let left = stack.check_number(1, "nap")? as u32;
    let reply = if stack.truthy(3) { Err(Raise::new("nap failed")) } else { Ok(Reply::Two(Value::read(stack, 2), Value::Bool(true))) };
    let drops = cx.host::<Request>().map(|r| Rc::clone(&r.drops)).unwrap_or_default();
    Ok(Suspension::wait(|| Nap { left, reply: Some(reply), drops }))
}

fn exit(cx: &CallContext, code: i32) {
    cx.finish(code);
}

const GLUE: &str = "
local b = ...
local C, R, cx, text, stop, G = b.C, b.R, b.cx, b.text, b.stop, b.G
local c_say = C.say
local function say1(s)
    if c_say(cx, s, #s) < 0 then
        error(text(), 2)
    end
end
local select, tostring, concat = select, tostring, table.concat
function G.say(...)
    local n = select('#', ...)
    local t = {...}
    for i = 1, n do t[i] = tostring(t[i]) end
    return say1(concat(t))
end
function G.exit(code)
    C.exit(cx, code)
    return stop()
end
G.nap, G.reserve, G.leave = R.nap, R.reserve, R.leave
";

pub(super) fn machine() -> (Vm, Rc<Log>) {
    let vm = Vm::new(&Options::default()).expect("a VM");
    let log = Rc::new(Log::default());
    vm.set_hooks(Rc::clone(&log) as Rc<dyn Hooks>);
    vm.bind(&Group {
        name: "test",
        rows: vec![
            Row::fast::<{ PhaseSet::of(LuaPhase::CONTENT).with(LuaPhase::HEADER_FILTER).bits() }, _, _>("say", say),
            Row::fast::<{ PhaseSet::of(LuaPhase::CONTENT).bits() }, _, _>("exit", exit),
            Row::suspends("nap", YIELDABLE, nap),
            Row::suspends("leave", YIELDABLE, |cx, stack| {
                cx.finish(stack.check_number(1, "leave")? as i32);
                Ok(Suspension::End)
            }),
            Row::calls("reserve", YIELDABLE, |cx, stack| {
                let made = stand_by(cx, stack, "reserve")?;
                stack.push_bool(made);
                Ok(1)
            }),
        ],
        glue: GLUE,
    })
    .expect("the test API");
    vm.bind(&light_threads()).expect("the thread API");
    (vm, log)
}

pub(super) fn chunk(vm: &Vm, source: &str) -> ChunkId {
    vm.load_text(source.as_bytes(), "=content_by_lua(nginx.conf:42)").expect("compiles")
}

pub(super) fn drive(started: Started) -> Completion {
    match started {
        Started::Done(outcome) => outcome,
        Started::Waiting(mut job) => {
            let mut context = Context::from_waker(Waker::noop());
            for _ in 0..10_000 {
                if let Poll::Ready(outcome) = Pin::new(&mut job).poll(&mut context) {
                    return outcome;
                }
            }
            panic!("the job never ended");
        }
    }
}

/// Runs a handler to its end; how it ended and what it said.
pub(super) fn run(vm: &Vm, source: &str) -> (Completion, String) {
    let request = Rc::new(Request::default());
    let outcome = drive(Job::start(vm, chunk(vm, source), LuaPhase::CONTENT, Rc::clone(&request) as Rc<dyn Host>));
    let said = request.said.borrow().clone();
    (outcome, said)
}

/// What a handler says that returns normally.
pub(super) fn says(vm: &Vm, source: &str) -> String {
    match run(vm, source) {
        (Completion::Returned, said) => said,
        (other, said) => panic!("{other:?} after {said:?}"),
    }
}

/// The error of a handler that fails.
pub(super) fn fails(vm: &Vm, source: &str) -> LuaError {
    match run(vm, source).0 {
        Completion::Failed(error) => *error,
        other => panic!("{other:?}"),
    }
}
