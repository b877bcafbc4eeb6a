//! Processes and their counters in the API.

use super::value::{Value, object};
use super::{ApiResult, ApiState, Call, Reply};
use crate::zones;
use ::session::handshake_end::TlsCounter;
use base::clock;
use http::metrics::Counter;
use http::{Method, Request};

/// A time in the form of ISO 8601, with milliseconds.
pub(crate) fn time(epoch_ms: u64) -> Value {
    let utc = clock::civil(i64::try_from(epoch_ms / 1000).unwrap_or(i64::MAX));
    let ms = epoch_ms % 1000;
    let text = format!("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{ms:03}Z", utc.year, utc.month, utc.day, utc.hour, utc.minute, utc.second);
    Value::Text(text)
}

pub(super) fn nginx(request: &Request) -> Value {
    let process = request.worker.process();
    let (mut address, known) = (Vec::new(), request.worker.state::<ApiState>());
    request.connection.local.push_host(&mut address);
    object([
        ("version", base::version::NGINX.into()),
        ("build", format!("lunette-{}", env!("CARGO_PKG_VERSION")).into()),
        ("address", String::from_utf8_lossy(&address).into_owned().into()),
        ("generation", process.map_or(0, |process| process.generation).into()),
        ("load_timestamp", time(known.loaded_ms.get())),
        ("timestamp", time(clock::epoch_ms())),
        ("pid", u64::from(std::process::id()).into()),
        ("ppid", u64::from(process.map_or(0, |process| process.master).unsigned_abs()).into()),
    ])
}

/// A value whose counters begin anew by DELETE.
fn resettable(call: &Call<'_>, read: fn(&Request) -> Value, reset: impl FnOnce(&Request)) -> ApiResult {
    if call.method == Method::DELETE && call.path.is_empty() {
        reset(call.request);
        return Ok(Reply::Empty(204));
    }
    call.leaf(|| read(call.request))
}

pub(super) fn processes(call: &Call<'_>) -> ApiResult {
    fn respawned(request: &Request) -> u64 {
        request.worker.process().map_or(0, |process| (process.respawned)())
    }
    let read = |request: &Request| {
        let since = request.worker.observers.respawned_since_reset(respawned(request));
        object([("respawned", since.into())])
    };
    resettable(call, read, |request| request.worker.observers.reset_respawned(respawned(request)))
}

pub(super) fn connections(call: &Call<'_>) -> ApiResult {
    let read = |request: &Request| {
        let sum = |counter| request.worker.sum(counter);
        let since = |counter| request.worker.observers.sum_since_reset(counter);
        let (accepted, handled) = (since(Counter::Accepted), since(Counter::Handled));
        let busy = sum(Counter::Reading) + sum(Counter::Writing);
        object([
            ("accepted", accepted.into()),
            ("dropped", accepted.saturating_sub(handled).into()),
            ("active", busy.into()),
            ("idle", sum(Counter::Active).saturating_sub(busy).into()),
        ])
    };
    resettable(call, read, |request| request.worker.observers.reset(&[Counter::Accepted, Counter::Handled]))
}

pub(super) fn ssl(call: &Call<'_>) -> ApiResult {
    let read = |request: &Request| zones::tls(|counter| request.worker.observers.sum_since_reset(Counter::from(counter)), true);
    resettable(call, read, |request| request.worker.observers.reset(&TlsCounter::ALL.map(Counter::from)))
}

pub(super) fn requests(call: &Call<'_>) -> ApiResult {
    let read = |request: &Request| {
        let total = request.worker.observers.sum_since_reset(Counter::Requests);
        object([("total", total.into()), ("current", request.worker.sum(Counter::Writing).into())])
    };
    resettable(call, read, |request| request.worker.observers.reset(&[Counter::Requests]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        assert_eq!(time(1_656_414_561_602), Value::from("2022-06-28T11:09:21.602Z"));
    }
}
