//! Worker processes in the API.

use super::value::{Value, object};
use super::{ApiResult, Call, Reply};
use http::metrics::Counter;
use http::{Method, Worker};
use upstream::live::ApiError;

/// What is told of a worker.
const COUNTERS: [Counter; 6] =
    [Counter::Accepted, Counter::Handled, Counter::Active, Counter::Reading, Counter::Writing, Counter::Requests];

/// What begins anew by a reset.
const RESET: [Counter; 3] = [Counter::Accepted, Counter::Handled, Counter::Requests];

pub(super) fn answer(call: &Call<'_>) -> ApiResult {
    let worker = &*call.request.worker;
    let (id, call) = call.next();
    let ids = ids(worker);
    let Some(id) = id else {
        if call.method == Method::DELETE {
            ids.iter().for_each(|pid| worker.observers.reset_process(*pid, &RESET));
            return Ok(Reply::Empty(204));
        }
        call.only_read()?;
        let all = ids.iter().enumerate().map(|(id, pid)| value(worker, id, *pid)).collect();
        return Ok(Reply::Value(Value::List(all), 1));
    };
    let found = base::text::parse_number(id.as_bytes()).and_then(|id| usize::try_from(id).ok());
    let found = found.and_then(|id| Some((id, *ids.get(id)?)));
    let (id, pid) = found.ok_or_else(|| ApiError { status: 404, code: "WorkerNotFound", text: "worker not found".to_owned() })?;
    if call.method == Method::DELETE && call.path.is_empty() {
        worker.observers.reset_process(pid, &RESET);
        return Ok(Reply::Empty(204));
    }
    call.leaf(|| value(worker, id, pid))
}

/// The process of each worker.
fn ids(worker: &Worker) -> Vec<u32> {
    let pids = worker.process().map(|process| (process.pids)()).unwrap_or_default();
    let pids: Vec<u32> = pids.into_iter().filter_map(|pid| u32::try_from(pid).ok()).collect();
    if pids.is_empty() { vec![std::process::id()] } else { pids }
}

fn value(worker: &Worker, id: usize, pid: u32) -> Value {
    worker.read_gauges();
    let [accepted, handled, open, reading, writing, requests] = worker.observers.of_process(pid, COUNTERS);
    let busy = reading + writing;
    let connections = object([
        ("accepted", accepted.into()),
        ("dropped", accepted.saturating_sub(handled).into()),
        ("active", busy.into()),
        ("idle", open.saturating_sub(busy).into()),
    ]);
    let requests = object([("total", requests.into()), ("current", writing.into())]);
    object([
        ("id", (id as u64).into()),
        ("pid", u64::from(pid).into()),
        ("connections", connections),
        ("http", object([("requests", requests)])),
    ])
}
