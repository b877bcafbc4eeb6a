//! Zones and caches in the metrics.

use super::prometheus::{family, push_label};
use crate::api::value::{Value, object};
use crate::zones::{self, ZoneKind};
use ::session::handshake_end::TlsCounter;
use ::session::status_zone::{BEGUN, DISCARDED, RECEIVED, SENT, TLS};
use http::Request;
use http::cache_report::{CacheCounter, CacheReport, CacheReports};
use std::io::Write;
use std::rc::Rc;

/// A value's label beside the zone's, and the value.
type Sample = (Option<(&'static str, String)>, u64);

/// Name, kind, help and samples of a metric family about a zone.
type Family<Z> = (&'static str, &'static str, &'static str, fn(&Z) -> Vec<Sample>);

fn one(value: u64) -> Vec<Sample> {
    vec![(None, value)]
}

fn counter(zone: &[u64], number: usize) -> u64 {
    zone.get(number).copied().unwrap_or(0)
}

fn statuses(zone: &[u64]) -> Vec<Sample> {
    zones::codes(zone).map(|(code, count)| (Some(("code", code.to_string())), count)).collect()
}

const SERVERS: [Family<[u64]>; 9] = [
    ("server_zone_processing", "gauge", "Requests in progress.", |zone| one(zones::in_progress(zone))),
    ("server_zone_requests_total", "counter", "Requests that have begun.", |zone| one(counter(zone, BEGUN))),
    ("server_zone_responses_total", "counter", "Responses, by status.", statuses),
    ("server_zone_discarded_total", "counter", "Requests that ended without a response.", |zone| one(counter(zone, DISCARDED))),
    ("server_zone_received_bytes_total", "counter", "Bytes of requests.", |zone| one(counter(zone, RECEIVED))),
    ("server_zone_sent_bytes_total", "counter", "Bytes of responses.", |zone| one(counter(zone, SENT))),
    ("server_zone_tls_handshakes_total", "counter", "Handshakes of TLS that were completed.", |zone| {
        one(tls(zone, TlsCounter::Handshakes))
    }),
    ("server_zone_tls_handshake_failures_total", "counter", "Handshakes of TLS that failed.", |zone| one(tls(zone, TlsCounter::Failed))),
    ("server_zone_tls_sessions_resumed_total", "counter", "Handshakes of TLS that resumed a session.", |zone| {
        one(tls(zone, TlsCounter::Reuses))
    }),
];

fn tls(zone: &[u64], of: TlsCounter) -> u64 {
    counter(zone, TLS + of as usize)
}

const LOCATIONS: [Family<[u64]>; 5] = [
    ("location_zone_requests_total", "counter", "Requests that have ended.", |zone| one(counter(zone, BEGUN))),
    ("location_zone_responses_total", "counter", "Responses, by status.", statuses),
    ("location_zone_discarded_total", "counter", "Requests that ended without a response.", |zone| one(counter(zone, DISCARDED))),
    ("location_zone_received_bytes_total", "counter", "Bytes of requests.", |zone| one(counter(zone, RECEIVED))),
    ("location_zone_sent_bytes_total", "counter", "Bytes of responses.", |zone| one(counter(zone, SENT))),
];

const SESSIONS: [Family<[u64]>; 6] = [
    ("stream_server_zone_processing", "gauge", "Sessions in progress.", |zone| one(zones::in_progress(zone))),
    ("stream_server_zone_connections_total", "counter", "Sessions that have begun.", |zone| one(counter(zone, BEGUN))),
    ("stream_server_zone_sessions_total", "counter", "Sessions that have ended, by status.", statuses),
    ("stream_server_zone_discarded_total", "counter", "Connections without a session.", |zone| one(counter(zone, DISCARDED))),
    ("stream_server_zone_received_bytes_total", "counter", "Bytes from clients.", |zone| one(counter(zone, RECEIVED))),
    ("stream_server_zone_sent_bytes_total", "counter", "Bytes to clients.", |zone| one(counter(zone, SENT))),
];

fn named<T: Copy>(zone: &[u64], label: &'static str, all: &[(&str, T)], at: fn(T) -> usize) -> Vec<Sample> {
    all.iter().map(|(name, of)| (Some((label, (*name).to_owned())), counter(zone, at(*of)))).collect()
}

const REQUEST_LIMITS: [Family<[u64]>; 1] = [("limit_req_requests_total", "counter", "Requests by what a limit of rates did.", |zone| {
    named(zone, "result", &zones::REQUEST_VERDICTS, |verdict| verdict as usize)
})];

const CONNECTION_LIMITS: [Family<[u64]>; 1] =
    [("limit_conn_requests_total", "counter", "Requests by what a limit of connections did.", |zone| {
        named(zone, "result", &zones::CONNECTION_VERDICTS, |verdict| verdict as usize)
    })];

const SESSION_LIMITS: [Family<[u64]>; 1] =
    [("stream_limit_conn_sessions_total", "counter", "Sessions by what a limit of connections did.", |zone| {
        named(zone, "result", &zones::CONNECTION_VERDICTS, |verdict| verdict as usize)
    })];

const RESOLVERS: [Family<[u64]>; 2] = [
    ("resolver_requests_total", "counter", "Look-ups by what was asked for.", |zone| {
        named(zone, "kind", &zones::QUESTIONS, |counter| counter as usize)
    }),
    ("resolver_responses_total", "counter", "Look-ups by what came of them.", |zone| {
        named(zone, "result", &zones::ANSWERS, |counter| counter as usize)
    }),
];

const CACHES: [Family<dyn CacheReport>; 6] = [
    ("cache_size_bytes", "gauge", "Bytes of a cache's files.", |cache| one(cache.usage().size)),
    ("cache_cold", "gauge", "Whether a cache's files are not all known yet.", |cache| one(u64::from(cache.usage().cold))),
    ("cache_responses_total", "counter", "Responses by the result of the look-up.", |cache| results(cache, CacheCounter::Responses)),
    ("cache_bytes_total", "counter", "Bytes read from the cache, or from the upstream.", |cache| results(cache, CacheCounter::Bytes)),
    ("cache_responses_written_total", "counter", "Responses written to the cache.", |cache| results(cache, CacheCounter::ResponsesWritten)),
    ("cache_written_bytes_total", "counter", "Bytes written to the cache.", |cache| results(cache, CacheCounter::BytesWritten)),
];

fn results(cache: &dyn CacheReport, of: CacheCounter) -> Vec<Sample> {
    let shown = |writes: bool| writes || matches!(of, CacheCounter::Responses | CacheCounter::Bytes);
    let totals = cache.meter().totals();
    let all = zones::RESULTS.into_iter().filter(|(.., writes)| shown(*writes));
    all.map(|(_, status, _)| (Some(("status", status.name().to_owned())), counter(&totals, of.of(status)))).collect()
}

fn families<Z: ?Sized>(label: &str, all: &[(&str, &Z)], families: &[Family<Z>], out: &mut Vec<u8>) {
    if all.is_empty() {
        return;
    }
    for (name, kind, help, samples) in families {
        family(name, kind, help, out);
        for (zone, of) in all {
            for (more, value) in samples(of) {
                // Writing to memory cannot fail.
                let _ = write!(out, "lunette_{name}{{{label}=\"");
                push_label(zone, out);
                if let Some((key, value)) = more {
                    let _ = write!(out, "\",{key}=\"{value}");
                }
                let _ = writeln!(out, "\"}} {value}");
            }
        }
    }
}

fn meters(request: &Request, kind: &ZoneKind, with: &[Family<[u64]>], out: &mut Vec<u8>) {
    let zones = zones::meters(&request.worker, kind);
    let counted: Vec<_> = zones.iter().map(|zone| (zone.name(), zone.totals())).collect();
    families("zone", &counted.iter().map(|(name, counters)| (*name, &**counters)).collect::<Vec<_>>(), with, out);
}

fn caches(request: &Request) -> &[Rc<dyn CacheReport>] {
    request.http.main.get::<CacheReports>().map(CacheReports::all).unwrap_or_default()
}

/// All of them for Prometheus.
pub(super) fn prometheus(request: &Request, out: &mut Vec<u8>) {
    meters(request, &zones::SERVERS, &SERVERS, out);
    meters(request, &zones::LOCATION_ZONES, &LOCATIONS, out);
    meters(request, &zones::SESSIONS, &SESSIONS, out);
    meters(request, &zones::REQUEST_LIMITS, &REQUEST_LIMITS, out);
    meters(request, &zones::CONNECTION_LIMITS, &CONNECTION_LIMITS, out);
    meters(request, &zones::SESSION_LIMITS, &SESSION_LIMITS, out);
    meters(request, &zones::RESOLVERS, &RESOLVERS, out);
    families("cache", &caches(request).iter().map(|cache| (cache.meter().name(), &**cache)).collect::<Vec<_>>(), &CACHES, out);
}

/// All of them as the API tells them, as further fields of an object.
pub(super) fn json(request: &Request, out: &mut Vec<u8>) {
    let map = |kind: &ZoneKind| {
        let zones = zones::meters(&request.worker, kind);
        Value::Object(zones.iter().map(|zone| (zone.name().to_owned(), (kind.value)(zone))).collect())
    };
    let caches = caches(request).iter().map(|cache| (cache.meter().name().to_owned(), zones::cache(&**cache))).collect();
    let all = object([
        ("server_zones", map(&zones::SERVERS)),
        ("location_zones", map(&zones::LOCATION_ZONES)),
        ("stream_server_zones", map(&zones::SESSIONS)),
        ("limit_reqs", map(&zones::REQUEST_LIMITS)),
        ("limit_conns", map(&zones::CONNECTION_LIMITS)),
        ("stream_limit_conns", map(&zones::SESSION_LIMITS)),
        ("resolvers", map(&zones::RESOLVERS)),
        ("caches", Value::Object(caches)),
    ]);
    let mut text = Vec::new();
    all.push(&mut text);
    // They are fields of the report's object.
    out.push(b',');
    out.extend_from_slice(text.get(1..text.len().saturating_sub(1)).unwrap_or_default());
}
