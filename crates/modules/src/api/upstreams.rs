//! Upstream groups in the API.

use super::status::time;
use super::value::{Value, object};
use super::{ApiResult, Call, Reply, no_path, servers};
use balance::{Counter, Health, Peer, ServerState};
use base::clock;
use http::Method;
use upstream::directory::{Directory, Named};
use upstream::live::ApiError;

pub(super) fn answer(call: &Call<'_>, directory: &Directory, protocol: &str) -> ApiResult {
    let (name, call) = call.next();
    let Some(name) = name else {
        call.only_read()?;
        // Only those that can be changed are shown, as in NGINX Plus.
        let all = directory.all().into_iter().filter(|named| named.group.zone().is_some());
        let all = all.map(|named| (named.full_name(), group(&named, protocol))).collect();
        return Ok(Reply::Value(Value::Object(all), 1));
    };
    let named = directory.find(name.as_bytes());
    let named = named.ok_or_else(|| ApiError { status: 404, code: "UpstreamNotFound", text: "upstream not found".to_owned() })?;
    if named.group.zone().is_none() {
        return Err(ApiError::bad("UpstreamStatic", "upstream is static"));
    }
    let (part, call) = call.next();
    match part {
        None if call.method == Method::DELETE => {
            named.group.snapshot().peers().for_each(|peer| peer.forget_statistics());
            Ok(Reply::Empty(204))
        }
        None => call.leaf(|| group(&named, protocol)),
        Some("servers") => servers::answer(&call, &named, protocol),
        Some(_) => Err(no_path()),
    }
}

fn group(named: &Named, protocol: &str) -> Value {
    let snapshot = named.group.snapshot();
    let peers = snapshot.peers().map(|peer| server(peer, protocol)).collect();
    let mut value = object([("peers", Value::List(peers)), ("zombies", (named.group.zombies() as u64).into())]);
    if let Some(zone) = named.group.zone() {
        value.put("zone", zone.zone().name());
    }
    value
}

fn state(peer: &Peer) -> &'static str {
    match (peer.state(), peer.health()) {
        (ServerState::Down, _) => "down",
        (_, Health::Unhealthy) => "unhealthy",
        (_, Health::Checking) => "checking",
        _ if peer.is_failing(clock::monotonic_ms()) => "unavail",
        (ServerState::Draining, _) => "draining",
        (ServerState::Up, _) => "up",
    }
}

/// Milliseconds since the epoch for milliseconds on the monotonic clock.
fn epoch(monotonic_ms: u64) -> u64 {
    (clock::epoch_ms() + monotonic_ms).saturating_sub(clock::monotonic_ms())
}

fn server(peer: &Peer, protocol: &str) -> Value {
    let get = |counter| peer.counters().get(counter).unsigned_abs();
    let server = &peer.server;
    let mut value = object([
        ("id", peer.number.into()),
        ("server", (*server.name).into()),
        ("name", (*server.source).into()),
        ("backup", server.backup.into()),
        ("weight", server.weight.unsigned_abs().into()),
        ("state", state(peer).into()),
        ("active", peer.connections().into()),
    ]);
    if server.max_conns > 0 {
        value.put("max_conns", server.max_conns);
    }
    if protocol == "http" {
        value.put("requests", get(Counter::Requests));
        for (name, counter) in [("header_time", Counter::HeaderTime), ("response_time", Counter::ResponseTime)] {
            if get(counter) > 0 {
                value.put(name, get(counter));
            }
        }
        value.put("responses", responses(peer));
    } else {
        value.put("connections", get(Counter::Requests));
    }
    value.put("sent", get(Counter::Sent));
    value.put("received", get(Counter::Received));
    value.put("fails", get(Counter::Failures));
    value.put("unavail", get(Counter::Unavailable));
    value.put("health_checks", checks(peer));
    value.put("downtime", peer.down_time(clock::monotonic_ms()));
    for (name, counter) in [("downstart", Counter::DownSince), ("selected", Counter::Selected)] {
        if get(counter) > 0 {
            value.put(name, time(epoch(get(counter))));
        }
    }
    value
}

fn responses(peer: &Peer) -> Value {
    let get = |counter| peer.counters().get(counter).unsigned_abs();
    let classes = [
        ("1xx", Counter::Answers1),
        ("2xx", Counter::Answers2),
        ("3xx", Counter::Answers3),
        ("4xx", Counter::Answers4),
        ("5xx", Counter::Answers5),
    ];
    let mut value = object(classes.map(|(name, counter)| (name, get(counter).into())));
    value.put("total", classes.iter().map(|(_, counter)| get(*counter)).sum::<u64>());
    value
}

fn checks(peer: &Peer) -> Value {
    let get = |counter| peer.counters().get(counter).unsigned_abs();
    let mut value = object([
        ("checks", get(Counter::Checks).into()),
        ("fails", get(Counter::ChecksFailed).into()),
        ("unhealthy", get(Counter::ChecksUnhealthy).into()),
    ]);
    if get(Counter::CheckPassed) > 0 {
        value.put("last_passed", get(Counter::CheckPassed) == 1);
    }
    value
}
