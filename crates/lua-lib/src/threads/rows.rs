//! The row of `ngx.run_worker_thread`.

use crate::host::expect_host;
use crate::threads::plain_value::PlainValue;
use crate::threads::vm_thread::{CallResult, Task, VmSetup, VmThreads};
use foldhash::HashMap;
use lua::{CallContext, Group, Raise, Reply, Row, Stack, Suspension, Value, YIELDABLE};
use std::cell::RefCell;
use std::sync::Arc;
use tokio::sync::{Semaphore, oneshot};

/// `lua_worker_thread_vm_pool_size` where the configuration does not say.
const MACHINES: u64 = 10;

/// The part's rows and glue.
#[must_use]
pub fn group() -> Group {
    Group {
        name: "ngx.run_worker_thread",
        rows: vec![Row::suspends("run_worker_thread", YIELDABLE, run)],
        glue: "local b = ... local run, package = b.R.run_worker_thread, b.G.package \
               function b.ngx.run_worker_thread(...) return run(package.path, package.cpath, ...) end",
    }
}

/// Threads of each pool that are free, by the pool's name.
#[derive(Default)]
struct ThreadLimits(RefCell<HashMap<Vec<u8>, Arc<Semaphore>>>);

impl ThreadLimits {
    fn of(&self, pool: &[u8], threads: u64) -> Arc<Semaphore> {
        let mut all = self.0.borrow_mut();
        if let Some(places) = all.get(pool) {
            return places.clone();
        }
        let count = usize::try_from(threads).unwrap_or(usize::MAX).clamp(1, Semaphore::MAX_PERMITS);
        let places = Arc::new(Semaphore::new(count));
        all.insert(pool.to_vec(), places.clone());
        places
    }
}

fn refused(stack: &mut Stack<'_>, reason: &[u8]) -> Result<Suspension, Raise> {
    stack.push_bool(false);
    stack.push_bytes(reason);
    Ok(Suspension::Now(2))
}

/// `run_worker_thread(path, cpath, pool, module, function, ...)`
fn run(cx: &CallContext, stack: &mut Stack<'_>) -> Result<Suspension, Raise> {
    let host = expect_host(cx)?;
    let worker = host.worker().cloned().ok_or("no request found")?;
    let given = stack.top();
    if given < 5 {
        return refused(stack, b"expecting at least 3 arguments");
    }
    let Some(pool) = stack.bytes(3).map(<[u8]>::to_vec) else { return refused(stack, b"threadpool should be a string") };
    let found = host.runtime().surroundings.borrow().pools.iter().find(|(name, _)| *name == pool).cloned();
    let Some((_, threads)) = found else {
        return refused(stack, &[b"thread pool ", pool.as_slice(), b" not found"].concat());
    };
    let Some(module) = stack.bytes(4).map(<[u8]>::to_vec) else { return refused(stack, b"module name should be a string") };
    let Some(function) = stack.bytes(5).map(<[u8]>::to_vec) else { return refused(stack, b"function name should be a string") };
    let packed: Result<Vec<PlainValue>, _> = (6..=given).map(|index| PlainValue::pack(stack, index)).collect();
    let arguments = match packed {
        Ok(arguments) => arguments,
        Err(reason) => return refused(stack, format!("{reason} in the argument").as_bytes()),
    };
    let (vm_threads, places) = (worker.state::<VmThreads>(), worker.state::<ThreadLimits>().of(&pool, threads));
    let text = |index| String::from_utf8_lossy(stack.bytes(index).unwrap_or_default()).into_owned();
    let setup = || VmSetup {
        path: text(1),
        cpath: text(2),
        prefix: host.runtime().prefix.borrow().clone(),
        surroundings: host.runtime().surroundings.borrow().clone(),
        zones: host.runtime().dicts.borrow().iter().map(|zone| zone.share()).collect(),
    };
    let max = host.runtime().thread_machines.get().unwrap_or(MACHINES);
    let Some(vm_thread) = vm_threads.take(max, setup) else { return refused(stack, b"no available Lua vm") };
    let (reply, answer) = oneshot::channel();
    let task = Task { module, function, arguments, reply };
    let (done, result) = oneshot::channel();
    // Apart from the caller, who may be killed: the vm_thread must come back in any case.
    worker.spawn(Box::pin(async move {
        let _place = places.acquire_owned().await;
        let answered = if vm_thread.send(task).is_ok() { answer.await.ok() } else { None };
        match answered {
            Some(answer) => {
                vm_threads.put(vm_thread);
                let _ = done.send(answer);
            }
            None => vm_threads.thread_ended(),
        }
    }));
    Ok(Suspension::wait(|| async move { Ok(delivered(result.await.unwrap_or_else(|_| Err(b"the thread died".to_vec())))) }))
}

fn delivered(answer: CallResult) -> Reply {
    match answer {
        Err(reason) => Reply::Two(Value::Bool(false), reason.into()),
        Ok(values) => Reply::with(move |stack| {
            stack.push_bool(true);
            for value in &values {
                if !value.unpack(stack) {
                    return Err("too many results".into());
                }
            }
            Ok(values.len() + 1)
        }),
    }
}
