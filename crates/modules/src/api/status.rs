//! Processes and their counters in the API.

use super::Known;
use super::value::{Value, object};
use base::clock;
use http::Request;
use http::metrics::Counter;

/// A time in the form of ISO 8601, with milliseconds.
pub(crate) fn time(epoch_ms: u64) -> Value {
    let utc = clock::civil(i64::try_from(epoch_ms / 1000).unwrap_or(i64::MAX));
    let ms = epoch_ms % 1000;
    let text = format!("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{ms:03}Z", utc.year, utc.month, utc.day, utc.hour, utc.minute, utc.second);
    Value::Text(text)
}

pub(super) fn nginx(request: &Request) -> Value {
    let process = request.worker.process();
    let (mut address, known) = (Vec::new(), request.worker.state::<Known>());
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

pub(super) fn processes(request: &Request) -> Value {
    object([("respawned", request.worker.process().map_or(0, |process| (process.respawned)()).into())])
}

pub(super) fn connections(request: &Request) -> Value {
    let sum = |counter| request.worker.sum(counter);
    let (accepted, handled) = (sum(Counter::Accepted), sum(Counter::Handled));
    let busy = sum(Counter::Reading) + sum(Counter::Writing);
    object([
        ("accepted", accepted.into()),
        ("dropped", accepted.saturating_sub(handled).into()),
        ("active", busy.into()),
        ("idle", sum(Counter::Active).saturating_sub(busy).into()),
    ])
}

pub(super) fn ssl(request: &Request) -> Value {
    let sum = |counter| request.worker.sum(counter);
    object([
        ("handshakes", sum(Counter::Handshakes).into()),
        ("handshakes_failed", sum(Counter::HandshakesFailed).into()),
        ("session_reuses", sum(Counter::Resumed).into()),
    ])
}

pub(super) fn requests(request: &Request) -> Value {
    let sum = |counter| request.worker.sum(counter);
    object([("total", sum(Counter::Requests).into()), ("current", sum(Counter::Writing).into())])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        assert_eq!(time(1_656_414_561_602), Value::from("2022-06-28T11:09:21.602Z"));
    }
}
