//! `ngx.worker`: which worker runs the code.

use crate::host::Host;
use lua::{Cx, Group, PhaseSet, Row};

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
        ],
        glue: include_str!("worker.lua"),
    }
}

/// The worker's number; below 0 in the master.
fn worker_id(cx: &Cx) -> i32 {
    let worker = cx.host::<Host>().and_then(|host| host.worker.clone());
    worker.map_or(-1, |worker| i32::try_from(worker.number).unwrap_or(-1))
}

fn worker_count(cx: &Cx) -> i32 {
    let Some(host) = cx.host::<Host>() else { return 1 };
    let count = host.worker.as_ref().map_or(1, |worker| worker.count);
    i32::try_from(count).unwrap_or(i32::MAX)
}

fn worker_pid(_: &Cx) -> i32 {
    i32::try_from(std::process::id()).unwrap_or(0)
}

fn worker_exiting(cx: &Cx) -> i32 {
    let worker = cx.host::<Host>().and_then(|host| host.worker.clone());
    i32::from(worker.is_some_and(|worker| worker.exiting.get()))
}
