//! `ngx.worker`: which worker runs the code.

use crate::host::host;
use lua::{CallContext, Group, LuaPhase, PhaseSet, Raise, Row, Stack};

const ALL: u32 = PhaseSet::EVERYWHERE.bits();

/// The part's rows and glue.
#[must_use]
pub fn group() -> Group {
    Group {
        name: "ngx.worker",
        rows: vec![
            Row::fast::<ALL, _, _>("worker_id", worker_id),
            Row::fast::<ALL, _, _>("worker_count", worker_count),
            Row::fast::<ALL, _, _>("worker_pid", worker_pid),
            Row::fast::<ALL, _, _>("worker_exiting", worker_exiting),
            Row::calls("worker_pids", PhaseSet::EVERYWHERE, worker_pids),
        ],
        glue: include_str!("worker.lua"),
    }
}

/// The worker's number; below 0 in the privileged agent. The master has 0 while it starts.
fn worker_id(cx: &CallContext) -> i32 {
    if cx.phase() == Some(LuaPhase::INIT) {
        return 0;
    }
    let worker = host(cx).and_then(|host| host.worker().cloned());
    worker
        .filter(|worker| !worker.process().is_some_and(|place| place.agent))
        .map_or(-1, |worker| i32::try_from(worker.number).unwrap_or(-1))
}

fn worker_count(cx: &CallContext) -> i32 {
    let Some(host) = host(cx) else { return 1 };
    let configured = host.runtime().surroundings.borrow().workers;
    let count = if configured > 0 { configured } else { host.worker().map_or(1, |worker| worker.count) };
    i32::try_from(count).unwrap_or(i32::MAX)
}

/// The list of all workers' process ids; of this process alone where there is no list.
fn worker_pids(cx: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    let worker = host(cx).and_then(|host| host.worker().cloned());
    let mut pids = worker.and_then(|worker| worker.process().map(|place| (place.pids)())).unwrap_or_default();
    if pids.is_empty() {
        pids.push(worker_pid(cx));
    }
    stack.push_table(pids.len(), 0);
    let table = stack.top();
    for (index, pid) in pids.into_iter().enumerate() {
        stack.push_number(f64::from(pid));
        stack.set_item(table, index + 1);
    }
    Ok(1)
}

fn worker_pid(_: &CallContext) -> i32 {
    i32::try_from(std::process::id()).unwrap_or(0)
}

fn worker_exiting(cx: &CallContext) -> bool {
    let worker = host(cx).and_then(|host| host.worker().cloned());
    worker.is_some_and(|worker| worker.exiting.get())
}
