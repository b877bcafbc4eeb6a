//! Prints what one handler run costs in this layer, in nanoseconds of processor time.

use lua::{CallContext, Completion, Group, Host, Job, LuaPhase, Options, PhaseSet, Raise, Reply, Row, Stack, Started, Suspension, Vm};
use std::cell::Cell;
use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

const ROUNDS: u32 = 2_000_000;

#[derive(Default)]
struct Request {
    written: Cell<usize>,
}

impl Host for Request {}

fn write(cx: &CallContext, text: &[u8]) -> i32 {
    match cx.host::<Request>() {
        Some(request) => {
            request.written.set(request.written.get() + text.len());
            0
        }
        None => -1,
    }
}

fn ready(_: &CallContext, stack: &mut Stack<'_>) -> Result<Suspension, Raise> {
    stack.push_number(1.0);
    Ok(Suspension::Now(1))
}

#[derive(Default)]
struct Once(bool);

impl Future for Once {
    type Output = Result<Reply, Raise>;
    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        if std::mem::replace(&mut self.0, true) { Poll::Ready(Ok(Reply::Empty)) } else { Poll::Pending }
    }
}

// Pending in the call, pending in the first poll of the job, ready in the second.
fn pause(_: &CallContext, _: &mut Stack<'_>) -> Result<Suspension, Raise> {
    Ok(Suspension::wait(Once::default))
}

const GLUE: &str = "
local b = ...
local write, cx, text, G, R = b.C.write, b.cx, b.text, b.G, b.R
function G.say(s)
    if write(cx, s, #s) < 0 then
        error(text(), 2)
    end
end
G.ready, G.pause = R.ready, R.pause
";

fn processor_ns() -> f64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call fills a record of ours.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut now) };
    now.tv_sec as f64 * 1e9 + now.tv_nsec as f64
}

fn measure(vm: &Vm, label: &str, source: &str) -> Result<(), Box<dyn Error>> {
    let chunk = vm.load_text(source.as_bytes(), "=content_by_lua(nginx.conf:1)")?;
    let host: Rc<dyn Host> = Rc::new(Request::default());
    let mut best = f64::MAX;
    for _ in 0..5 {
        let start = processor_ns();
        for _ in 0..ROUNDS / 5 {
            match Job::start(vm, chunk, LuaPhase::CONTENT, Rc::clone(&host)) {
                Started::Done(Completion::Returned) => {}
                Started::Done(other) => return Err(format!("{other:?}").into()),
                Started::Waiting(mut job) => {
                    let mut context = Context::from_waker(Waker::noop());
                    while Pin::new(&mut job).poll(&mut context).is_pending() {}
                }
            }
        }
        best = best.min((processor_ns() - start) / f64::from(ROUNDS / 5));
    }
    println!("{label:44} {best:8.1} ns");
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let vm = Vm::new(&Options::default())?;
    let content = PhaseSet::of(LuaPhase::CONTENT);
    vm.bind(&Group {
        name: "bench",
        rows: vec![
            Row::fast::<{ PhaseSet::of(LuaPhase::CONTENT).bits() }, _, _>("write", write),
            Row::suspends("ready", content, ready),
            Row::suspends("pause", content, pause),
        ],
        glue: GLUE,
    })?;
    measure(&vm, "empty handler", "")?;
    measure(&vm, "fast row with a string", "say('hello world')")?;
    measure(&vm, "fast row, variadic chunk (not compiled)", "local a = ... say('hello world')")?;
    measure(&vm, "four fast rows", "say('hello') say(' ') say('world') say('!')")?;
    measure(&vm, "four fast rows, variadic chunk", "local a = ... say('hello') say(' ') say('world') say('!')")?;
    measure(&vm, "suspending row, ready at once", "ready()")?;
    measure(&vm, "suspending row, suspended", "pause()")?;
    measure(&vm, "handler that writes a global", "x = 1")?;
    Ok(())
}
