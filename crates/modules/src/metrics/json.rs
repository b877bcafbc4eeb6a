//! The report as one JSON object.

use super::overview::Overview;
use super::prometheus::push_seconds;
use crate::api::value::push_text;
use base::text::push_number;
use http::metrics::{BOUNDS, Counter, Histogram};
use std::io::Write;
use upstream::directory::Member;

/// All but the servers of upstream groups, whose list it begins.
pub(super) fn overview(overview: &Overview, out: &mut Vec<u8>) {
    let _ = write!(out, "{{\"version\":\"{}\"", env!("CARGO_PKG_VERSION"));
    let mut before = "";
    for &counter in Counter::ALL {
        let name = counter.name();
        match counter.label() {
            None => {
                let _ = write!(out, ",\"{name}\":");
            }
            Some((_, value)) => {
                let _ = if name == before { write!(out, ",\"{value}\":") } else { write!(out, ",\"{name}\":{{\"{value}\":") };
            }
        }
        let value = overview.sums.get(counter);
        if counter.is_time() {
            push_seconds(value, out)
        } else {
            push_number(out, value)
        }
        before = name;
        let next = Counter::ALL.get(counter as usize + 1);
        if counter.label().is_some() && next.is_none_or(|next| next.name() != name) {
            out.push(b'}');
        }
    }
    for histogram in Histogram::ALL {
        let counts = overview.sums.histogram(histogram);
        let _ = write!(out, ",\"{}\":{{\"count\":{},\"sum\":", histogram.name(), counts.total());
        push_seconds(counts.sum_ms, out);
        out.extend_from_slice(b",\"buckets\":[");
        for (bound, count) in BOUNDS.iter().map(Some).chain([None]).zip(counts.buckets) {
            out.extend_from_slice(b"{\"le\":");
            match bound {
                Some(bound) => push_seconds(*bound, out),
                None => out.extend_from_slice(b"null"),
            }
            let _ = write!(out, ",\"count\":{count}}},");
        }
        out.pop();
        out.extend_from_slice(b"]}");
    }
    out.extend_from_slice(&overview.zones);
    out.extend_from_slice(b",\"workers\":[");
    for (index, process) in overview.processes.iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        let _ = write!(
            out,
            "{comma}{{\"pid\":{},\"connections_active\":{},\"requests_total\":{},\"resident_bytes\":",
            process.pid, process.connections, process.requests
        );
        match process.resident {
            Some(bytes) => push_number(out, bytes),
            None => out.extend_from_slice(b"null"),
        }
        out.push(b'}');
    }
    out.extend_from_slice(b"],\"upstream_servers\":[");
}

/// Some servers; `first`: they are the list's first.
pub(super) fn servers(first: bool, members: &[Member], out: &mut Vec<u8>) {
    for (index, member) in members.iter().enumerate() {
        if !first || index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(b"{\"upstream\":");
        push_text(&member.upstream, out);
        out.extend_from_slice(b",\"server\":");
        push_text(member.server(), out);
        let _ = write!(
            out,
            ",\"state\":\"{}\",\"backup\":{},\"weight\":{},\"connections\":{},\"failures\":{}",
            member.state(),
            member.is_backup(),
            member.weight(),
            member.connections(),
            member.fails()
        );
        if let Some([checks, failed, unhealthy]) = member.checks() {
            let passed = member.last_passed().map_or("null", |passed| if passed { "true" } else { "false" });
            let _ = write!(
                out,
                ",\"health_checks\":{{\"checks\":{checks},\"fails\":{failed},\"unhealthy\":{unhealthy},\"last_passed\":{passed}}}"
            );
        }
        out.push(b'}');
    }
}
