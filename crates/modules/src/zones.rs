//! What was counted for names of the configuration (zones of servers, locations, limits and resolvers; caches), as the API and the metrics tell
//! it.

use crate::api::value::{Value, object};
use crate::limits::{self, Verdict};
use ::session::handshake_end::TlsCounter;
use ::session::status_zone::{
    BEGUN, DISCARDED, HTTP_SERVERS, LOCATIONS, RECEIVED, SENT, STATUS_RANGE, STATUSES, STREAM_SERVERS, TLS, answered,
};
use http::Worker;
use http::cache_report::{CacheCounter, CacheReport};
use http::metrics::CacheStatus;
use resolver::status::Counter as ResolverCounter;
use shm::meter::Kind;
use shm::{Meter, Zones};
use std::cell::RefCell;
use std::rc::Rc;

/// One kind of zones, and how they are told.
pub(crate) struct ZoneKind {
    pub(crate) kind: &'static Kind,
    pub(crate) value: fn(&Meter) -> Value,
}

pub(crate) const SERVERS: ZoneKind = ZoneKind { kind: &HTTP_SERVERS, value: server };
pub(crate) const LOCATION_ZONES: ZoneKind = ZoneKind { kind: &LOCATIONS, value: location };
pub(crate) const SESSIONS: ZoneKind = ZoneKind { kind: &STREAM_SERVERS, value: stream_server };
pub(crate) const REQUEST_LIMITS: ZoneKind = ZoneKind { kind: &limits::REQUESTS, value: request_limit };
pub(crate) const CONNECTION_LIMITS: ZoneKind = ZoneKind { kind: &limits::CONNECTIONS, value: connection_limit };
pub(crate) const SESSION_LIMITS: ZoneKind = ZoneKind { kind: &limits::STREAM_CONNECTIONS, value: connection_limit };
pub(crate) const RESOLVERS: ZoneKind = ZoneKind { kind: &resolver::status::ZONES, value: resolver_zone };

/// The zones of a worker's configuration, by name.
pub(crate) fn meters(worker: &Worker, of: &ZoneKind) -> Vec<Rc<Meter>> {
    let zones = worker.state::<RefCell<Zones>>();
    let mut found: Vec<Rc<Meter>> = zones.borrow().meters.of(of.kind).cloned().collect();
    found.sort_by(|one, other| one.name().cmp(other.name()));
    found
}

/// Counters by number; what is not there is 0.
fn at(counters: &[u64], number: usize) -> u64 {
    counters.get(number).copied().unwrap_or(0)
}

/// Requests that have begun and not ended, by all that was ever counted.
pub(crate) fn in_progress(totals: &[u64]) -> u64 {
    at(totals, BEGUN).saturating_sub(answered(totals) + at(totals, DISCARDED))
}

/// Ended requests whose status is of a class.
pub(crate) fn of_class(counters: &[u64], class: u16) -> u64 {
    codes(counters).filter(|(code, _)| code / 100 == class).map(|(_, count)| count).sum()
}

/// The statuses that there were, and how often.
pub(crate) fn codes(counters: &[u64]) -> impl Iterator<Item = (u16, u64)> {
    let all = STATUS_RANGE.zip(counters.get(STATUSES..).unwrap_or_default());
    all.filter(|(_, count)| **count > 0).map(|(code, count)| (code, *count))
}

fn responses(counters: &[u64]) -> Value {
    let mut value = object([]);
    for (name, class) in [("1xx", 1), ("2xx", 2), ("3xx", 3), ("4xx", 4), ("5xx", 5)] {
        value.put(name, of_class(counters, class));
    }
    value.put("codes", Value::Object(codes(counters).map(|(code, count)| (code.to_string(), count.into())).collect()));
    value.put("total", answered(counters));
    value
}

fn server(zone: &Meter) -> Value {
    let counters = zone.read();
    let mut value = object([
        ("processing", in_progress(&zone.totals()).into()),
        ("requests", at(&counters, BEGUN).into()),
        ("responses", responses(&counters)),
    ]);
    put_traffic(&mut value, &counters);
    value.put("ssl", tls(|counter| at(&counters, TLS + counter as usize), false));
    value
}

fn location(zone: &Meter) -> Value {
    let counters = zone.read();
    let mut value = object([("requests", at(&counters, BEGUN).into()), ("responses", responses(&counters))]);
    put_traffic(&mut value, &counters);
    value
}

fn stream_server(zone: &Meter) -> Value {
    let counters = zone.read();
    let mut sessions = object([]);
    for (name, class) in [("2xx", 2), ("4xx", 4), ("5xx", 5)] {
        sessions.put(name, of_class(&counters, class));
    }
    sessions.put("total", answered(&counters));
    let mut value =
        object([("processing", in_progress(&zone.totals()).into()), ("connections", at(&counters, BEGUN).into()), ("sessions", sessions)]);
    put_traffic(&mut value, &counters);
    value.put("ssl", tls(|counter| at(&counters, TLS + counter as usize), false));
    value
}

fn put_traffic(value: &mut Value, counters: &[u64]) {
    for (name, number) in [("discarded", DISCARDED), ("received", RECEIVED), ("sent", SENT)] {
        value.put(name, at(counters, number));
    }
}

/// What is counted of handshakes; `hosts`: also with servers, whose names may be wrong.
pub(crate) fn tls(count: impl Fn(TlsCounter) -> u64, hosts: bool) -> Value {
    let fields_of = |counters: &[(&str, TlsCounter)]| {
        let fields = counters.iter().map(|(name, counter)| ((*name).to_owned(), count(*counter).into()));
        Value::Object(fields.collect())
    };
    let mut value = fields_of(&[
        ("handshakes", TlsCounter::Handshakes),
        ("handshakes_failed", TlsCounter::Failed),
        ("session_reuses", TlsCounter::Reuses),
        ("no_common_protocol", TlsCounter::NoCommonProtocol),
        ("no_common_cipher", TlsCounter::NoCommonCipher),
        ("handshake_timeout", TlsCounter::Timeout),
        ("peer_rejected_cert", TlsCounter::PeerRejectedCertificate),
    ]);
    let mut faults = vec![
        ("no_cert", TlsCounter::NoCertificate),
        ("expired_cert", TlsCounter::ExpiredCertificate),
        ("revoked_cert", TlsCounter::RevokedCertificate),
    ];
    faults.extend(hosts.then_some(("hostname_mismatch", TlsCounter::HostnameMismatch)));
    faults.push(("other", TlsCounter::OtherFault));
    value.put("verify_failures", fields_of(&faults));
    value
}

fn verdicts(zone: &Meter, all: &[(&str, Verdict)]) -> Value {
    let counters = zone.read();
    Value::Object(all.iter().map(|(name, verdict)| ((*name).to_owned(), at(&counters, *verdict as usize).into())).collect())
}

/// What limits of requests come to, by the names that the API has for it.
pub(crate) const REQUEST_VERDICTS: [(&str, Verdict); 5] = [
    ("passed", Verdict::Passed),
    ("delayed", Verdict::Delayed),
    ("rejected", Verdict::Rejected),
    ("delayed_dry_run", Verdict::DelayedDryRun),
    ("rejected_dry_run", Verdict::RejectedDryRun),
];

/// What limits of connections come to.
pub(crate) const CONNECTION_VERDICTS: [(&str, Verdict); 3] =
    [("passed", Verdict::Passed), ("rejected", Verdict::Rejected), ("rejected_dry_run", Verdict::RejectedDryRun)];

fn request_limit(zone: &Meter) -> Value {
    verdicts(zone, &REQUEST_VERDICTS)
}

fn connection_limit(zone: &Meter) -> Value {
    verdicts(zone, &CONNECTION_VERDICTS)
}

/// What resolvers ask for.
pub(crate) const QUESTIONS: [(&str, ResolverCounter); 3] =
    [("name", ResolverCounter::Name), ("srv", ResolverCounter::Srv), ("addr", ResolverCounter::Addr)];

/// What comes of it.
pub(crate) const ANSWERS: [(&str, ResolverCounter); 8] = [
    ("noerror", ResolverCounter::Noerror),
    ("formerr", ResolverCounter::Formerr),
    ("servfail", ResolverCounter::Servfail),
    ("nxdomain", ResolverCounter::Nxdomain),
    ("notimp", ResolverCounter::Notimp),
    ("refused", ResolverCounter::Refused),
    ("timedout", ResolverCounter::Timedout),
    ("unknown", ResolverCounter::Unknown),
];

fn resolver_zone(zone: &Meter) -> Value {
    let counters = zone.read();
    let fields_of = |all: &[(&str, ResolverCounter)]| {
        Value::Object(all.iter().map(|(name, counter)| ((*name).to_owned(), at(&counters, *counter as usize).into())).collect())
    };
    object([("requests", fields_of(&QUESTIONS)), ("responses", fields_of(&ANSWERS))])
}

/// The results of a cache's look-ups, by the names that the API has for them, and whether the upstream's response may have been written.
pub(crate) const RESULTS: [(&str, CacheStatus, bool); 7] = [
    ("hit", CacheStatus::Hit, false),
    ("stale", CacheStatus::Stale, false),
    ("updating", CacheStatus::Updating, false),
    ("revalidated", CacheStatus::Revalidated, false),
    ("miss", CacheStatus::Miss, true),
    ("expired", CacheStatus::Expired, true),
    ("bypass", CacheStatus::Bypass, true),
];

/// A cache.
pub(crate) fn cache(cache: &dyn CacheReport) -> Value {
    let usage = cache.usage();
    let mut value = object([("size", usage.size.into())]);
    if let Some(max_size) = usage.max_size {
        value.put("max_size", max_size);
    }
    value.put("cold", usage.cold);
    let counters = cache.meter().read();
    for (name, status, writes) in RESULTS {
        let count = |counter: CacheCounter| Value::from(at(&counters, counter.of(status)));
        let mut result = object([("responses", count(CacheCounter::Responses)), ("bytes", count(CacheCounter::Bytes))]);
        if writes {
            result.put("responses_written", count(CacheCounter::ResponsesWritten));
            result.put("bytes_written", count(CacheCounter::BytesWritten));
        }
        value.put(name, result);
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_told_by_class_and_one_by_one() {
        let mut counters = vec![0; STATUSES + STATUS_RANGE.len()];
        for (status, count) in [(101, 1), (200, 7), (206, 1), (599, 2)] {
            counters[STATUSES + status - 100] = count;
        }
        let mut out = Vec::new();
        responses(&counters).push(&mut out);
        let expected = r#"{"1xx":1,"2xx":8,"3xx":0,"4xx":0,"5xx":2,"codes":{"101":1,"200":7,"206":1,"599":2},"total":11}"#;
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
