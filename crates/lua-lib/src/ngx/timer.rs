//! `ngx.timer.at`, `ngx.timer.every` (`ngx_http_lua_timer.c`).

use crate::host::{HostFactory, expect_host};
use crate::machine::Machine;
use crate::runtime::Runtime;
use crate::timers::Timers;
use base::log::Level;
use base::saturated::Saturated;
use lua::{CallContext, Group, Job, LuaPhase, PhaseSet, Raise, Ref, Row, Stack, Started, Type, Value};
use session::Worker;
use session::alarms::{Alarm, Alarms};
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;
use sys::boxed::pinned;

/// Where timers can be made: everywhere in a worker but at its end.
const PHASES: PhaseSet = PhaseSet(u32::MAX ^ LuaPhase::EXIT_WORKER.bit ^ LuaPhase::INIT.bit);

/// `ngx.timer`.
pub fn group() -> Group {
    Group {
        name: "ngx.timer",
        rows: vec![
            Row::calls("timer_at", PHASES, |cx, stack| create(cx, stack, false)),
            Row::calls("timer_every", PHASES, |cx, stack| create(cx, stack, true)),
            Row::calls("timer_pending", PhaseSet::EVERYWHERE, |cx, stack| count(cx, stack, Timers::pending)),
            Row::calls("timer_running", PhaseSet::EVERYWHERE, |cx, stack| count(cx, stack, Timers::running)),
        ],
        glue: "local b = ... local R = b.R b.ngx.timer = { at = R.timer_at, every = R.timer_every, \
               pending_count = R.timer_pending, running_count = R.timer_running }",
    }
}

fn count(cx: &CallContext, stack: &mut Stack<'_>, which: fn(&Timers) -> u64) -> Result<usize, Raise> {
    stack.push_number(which(&expect_host(cx)?.runtime().timers) as f64);
    Ok(1)
}

/// A callback and what it needs to run.
struct Timer {
    runtime: Rc<Runtime>,
    machine: Rc<Machine>,
    worker: Rc<Worker>,
    log_prefix: &'static str,
    host_factory: HostFactory,
    function: Ref,
    arguments: Rc<[Value]>,
    delay: Duration,
    every: bool,
}

fn create(cx: &CallContext, stack: &mut Stack<'_>, every: bool) -> Result<usize, Raise> {
    let name = if every { "every" } else { "at" };
    let given = stack.top();
    if given < 2 {
        return Err(Raise::new(format!("expecting at least 2 arguments but got {given}")));
    }
    let delay = i64::saturated(stack.check_number(1, name)? * 1000.0);
    if every && delay == 0 {
        return Err("delay cannot be zero".into());
    }
    if stack.kind(2) != Type::Function {
        return Err(Raise::argument(2, name, "Lua function expected"));
    }
    let host = expect_host(cx)?;
    let worker = host.worker().ok_or("no request found")?;
    let timers = &host.runtime().timers;
    let refused = if timers.is_exiting() && delay > 0 {
        Some("process exiting")
    } else if timers.pending() >= host.runtime().max_pending_timers.get().unwrap_or(1024) {
        Some("too many pending timers")
    } else {
        None
    };
    if let Some(reason) = refused {
        stack.push_nil();
        stack.push_bytes(reason.as_bytes());
        return Ok(2);
    }
    let function = stack.reference(2).ok_or("no memory")?;
    let arguments = (3..=given).map(|index| Value::read(stack, index)).collect();
    cx.detach_globals();
    // What comes again in the past would come for ever in one turn of the loop.
    let least = i64::from(every);
    let timer = Timer {
        runtime: host.runtime().clone(),
        machine: host.machine().clone(),
        log_prefix: host.log_prefix(),
        worker: worker.clone(),
        host_factory: host.host_factory(),
        function,
        arguments,
        delay: Duration::from_millis(u64::try_from(delay.max(least)).unwrap_or(0)),
        every,
    };
    timers.add(worker);
    let alarm = timer.alarm();
    worker.spawn(pinned(|| timer.live(alarm)));
    stack.push_number(1.0);
    Ok(1)
}

impl Timer {
    /// Waits and runs, once or again and again.
    async fn live(self, mut alarm: Alarm) {
        let timer = Rc::new(self);
        loop {
            let premature = timer.wait(alarm).await;
            timer.worker.begun().await;
            let again = timer.every && !premature && !timer.runtime.timers.is_exiting();
            if !again {
                timer.runtime.timers.remove();
                return timer.fire(premature).await;
            }
            alarm = timer.alarm();
            // It begins before what ends at the same moment and was made later; the next turn does not wait for its end.
            let this = timer.clone();
            let mut turn: Pin<Box<dyn Future<Output = ()>>> = pinned(|| async move { this.fire(false).await });
            if poll_fn(|cx| Poll::Ready(turn.as_mut().poll(cx).is_pending())).await {
                timer.worker.spawn(turn);
            }
        }
    }

    /// When it runs next.
    fn alarm(&self) -> Alarm {
        Alarms::after(&self.worker, self.delay)
    }

    /// Returns true if the worker's exit came first.
    async fn wait(&self, alarm: Alarm) -> bool {
        let timers = &self.runtime.timers;
        let exit = timers.wake.notified();
        if self.delay.is_zero() {
            // A new task runs in the next turn of the loop, in order. What is made by a worker that exits already is not
            // premature.
            return false;
        }
        if timers.is_exiting() {
            return true;
        }
        tokio::select! {
            () = alarm => false,
            () = exit => true,
        }
    }

    async fn fire(&self, premature: bool) {
        base::log!(self.worker.log, Level::Debug, 0, "{}lua ngx.timer expired", self.log_prefix);
        let max = self.runtime.max_running_timers.get().unwrap_or(256);
        if self.runtime.timers.begin(max) {
            self.run(premature).await;
        } else {
            let place = self.machine.vm.place_of(&self.function).unwrap_or_default();
            let whose = if self.log_prefix.is_empty() { "" } else { "stream lua: " };
            let reason = format_args!("{whose}{max} lua_max_running_timers are not enough");
            base::log!(self.worker.log, Level::Alert, 0, "lua failed to run timer with function defined at {place}: {reason}");
        }
        self.runtime.timers.release();
    }

    async fn run(&self, premature: bool) {
        let host = (self.host_factory)();
        let push = |stack: &mut Stack<'_>| {
            stack.push_bool(premature);
            self.arguments.iter().for_each(|value| value.push(stack));
            self.arguments.len() + 1
        };
        let started = Job::call(&host.machine().vm, &self.function, push, LuaPhase::TIMER, host.clone());
        let outcome = match started {
            Started::Done(outcome) => outcome,
            Started::Waiting(job) => job.await,
        };
        self.runtime.timers.end();
        if let lua::Completion::Failed(error) = outcome {
            let line = [b"lua entry thread aborted: ".as_slice(), &error.log_text()].concat();
            host.log(Level::Error, &line, LuaPhase::TIMER.name);
        }
        if self.log_prefix.is_empty() {
            return host.log(Level::Debug, b"http lua close fake http connection", "");
        }
        host.log_prefixed(Level::Debug, b"lua finalize fake request: 0", "");
        host.log_prefixed(Level::Debug, b"lua close fake stream connection", "");
    }
}
