//! `ngx.process`: what kind of process this is, and the privileged agent (`ngx/process.lua`).

use crate::ANYWHERE;
use crate::host::host;
use base::errno::describe;
use base::log::Level;
use base::saturated::Saturated;
use lua::{CallContext, Group, Row};
use session::worker::ProcessInfo;

/// nginx's numbers of kinds of processes.
const SINGLE: i32 = 0;
const MASTER: i32 = 1;
const WORKER: i32 = 3;
const AGENT: i32 = 99;

/// The part's rows and glue.
#[must_use]
pub fn group() -> Group {
    Group {
        name: "ngx.process",
        rows: vec![
            Row::fast::<ANYWHERE, _, _>("process_kind", kind),
            Row::fast::<ANYWHERE, _, _>("enable_agent", enable_agent),
            Row::fast::<ANYWHERE, _, _>("graceful_exit", graceful_exit),
            Row::fast::<ANYWHERE, _, _>("master_pid", master_pid),
            Row::constant("SINGLE", SINGLE),
            Row::constant("MASTER", MASTER),
            Row::constant("WORKER", WORKER),
            Row::constant("AGENT", AGENT),
        ],
        glue: include_str!("process.lua"),
    }
}

fn with_place<R>(cx: &CallContext, f: impl FnOnce(Option<&ProcessInfo>) -> R) -> R {
    f(host(cx).as_ref().and_then(|host| host.worker()).and_then(|worker| worker.process()))
}

fn kind(cx: &CallContext) -> i32 {
    let in_worker = with_place(cx, |place| {
        place.map(|place| match place {
            ProcessInfo { agent: true, .. } => AGENT,
            ProcessInfo { single: true, .. } => SINGLE,
            _ => WORKER,
        })
    });
    in_worker.unwrap_or_else(|| {
        let master = host(cx).is_some_and(|host| host.runtime().surroundings.borrow().master);
        if master { MASTER } else { SINGLE }
    })
}

fn enable_agent(cx: &CallContext, connections: f64) {
    if let Some(host) = host(cx) {
        host.runtime().agent.set(Some(usize::saturated(connections)));
    }
}

/// Sends this process the signal that makes it finish its work and go.
fn graceful_exit(cx: &CallContext) {
    if let Err(error) = sys::process::kill(sys::process::id(), sys::signal::SIGQUIT)
        && let Some(host) = host(cx)
    {
        host.log(Level::Alert, format!("kill() failed {}", describe(&error)).as_bytes(), "");
    }
}

fn master_pid(cx: &CallContext) -> i32 {
    with_place(cx, |place| place.map(|place| place.master)).unwrap_or_else(sys::process::id)
}

#[cfg(test)]
mod tests {
    use crate::ngx::tests::evaluate;

    #[test]
    fn without_a_server() {
        assert_eq!(evaluate("require 'ngx.process'.type(), require 'ngx.process'.enable_privileged_agent(0)"), "single true");
        let refused = "select(2, require 'ngx.process'.enable_privileged_agent(-1))";
        assert_eq!(evaluate(refused), "bad 'connections' argument: number expected and greater than 0");
    }
}
