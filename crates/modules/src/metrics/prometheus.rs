//! The text format of Prometheus: all samples of a family stand together behind its `HELP` and `TYPE`.

use super::overview::{Overview, Process};
use base::text::push_number;
use http::metrics::{BOUNDS, Counter, Counts, Histogram};
use std::io::Write;
use upstream::directory::Member;

/// Name, kind, help and value of a metric family with a sample per server.
type ServerFamily = (&'static str, &'static str, &'static str, fn(&Member) -> Option<u64>);

/// What is told of each server of a group.
pub(super) const FAMILIES: [ServerFamily; 8] = [
    ("upstream_server_up", "gauge", "Whether a server takes requests.", |member| Some(u64::from(member.state() == "up"))),
    ("upstream_server_connections", "gauge", "Requests that a server serves now.", |member| Some(member.connections())),
    ("upstream_server_failures", "gauge", "Failures of a server since it last was well.", |member| Some(member.fails())),
    ("upstream_server_unhealthy", "gauge", "Whether health checks keep a server out: 1 after one failed, 2 before the first.", |member| {
        let number =
            [("unhealthy", 1), ("checking", 2)].iter().find(|(state, _)| member.state() == *state).map_or(0, |(_, number)| *number);
        member.checks().map(|_| number).or(Some(number).filter(|number| *number > 0))
    }),
    ("upstream_server_health_checks_total", "counter", "Health checks of a server.", |member| member.checks().map(|[all, ..]| all)),
    ("upstream_server_health_checks_failed_total", "counter", "Health checks of a server that failed.", |member| {
        member.checks().map(|[_, failed, _]| failed)
    }),
    ("upstream_server_health_checks_unhealthy_total", "counter", "How often health checks have put a server out of service.", |member| {
        member.checks().map(|[_, _, unhealthy]| unhealthy)
    }),
    ("upstream_server_health_check_passed", "gauge", "Whether a server's last health check went well.", |member| {
        member.last_passed().map(u64::from)
    }),
];

/// Name, kind, help and value of a metric family with a sample per process.
type ProcessFamily = (&'static str, &'static str, &'static str, fn(&Process) -> Option<u64>);

const PROCESSES: [ProcessFamily; 3] = [
    ("worker_connections_active", "gauge", "Connections open in a worker.", |process| Some(process.connections)),
    ("worker_requests_total", "counter", "Requests that a worker has begun.", |process| Some(process.requests)),
    ("worker_resident_bytes", "gauge", "Memory of a worker.", |process| process.resident),
];

pub(super) fn family(name: &str, kind: &str, help: &str, out: &mut Vec<u8>) {
    // Writing to memory cannot fail, here and below.
    let _ = writeln!(out, "# HELP lunette_{name} {help}\n# TYPE lunette_{name} {kind}");
}

/// Milliseconds as seconds.
pub(super) fn push_seconds(ms: u64, out: &mut Vec<u8>) {
    push_number(out, ms / 1000);
    match ms % 1000 {
        0 => {}
        rest => {
            let text = format!(".{rest:03}");
            out.extend_from_slice(text.trim_end_matches('0').as_bytes());
        }
    }
}

fn push_value(counter: Counter, value: u64, out: &mut Vec<u8>) {
    if counter.is_time() { push_seconds(value, out) } else { push_number(out, value) }
}

/// A label's value between quotes.
pub(super) fn push_label(text: &str, out: &mut Vec<u8>) {
    for byte in text.bytes() {
        match byte {
            b'\n' => out.extend_from_slice(b"\\n"),
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            _ => out.push(byte),
        }
    }
}

pub(super) fn overview(overview: &Overview, out: &mut Vec<u8>) {
    family("info", "gauge", "The version that runs.", out);
    let _ = writeln!(out, "lunette_info{{version=\"{}\"}} 1", env!("CARGO_PKG_VERSION"));
    let mut before = "";
    for &counter in Counter::ALL {
        let name = counter.name();
        if name != before {
            family(name, if counter.is_gauge() { "gauge" } else { "counter" }, counter.help(), out);
            before = name;
        }
        let _ = match counter.label() {
            Some((key, value)) => write!(out, "lunette_{name}{{{key}=\"{value}\"}} "),
            None => write!(out, "lunette_{name} "),
        };
        push_value(counter, overview.sums.get(counter), out);
        out.push(b'\n');
    }
    for histogram in Histogram::ALL {
        buckets(histogram, &overview.sums.histogram(histogram), out);
    }
    for (name, kind, help, value) in PROCESSES {
        family(name, kind, help, out);
        for process in &overview.processes {
            if let Some(value) = value(process) {
                let _ = writeln!(out, "lunette_{name}{{pid=\"{}\"}} {value}", process.pid);
            }
        }
    }
    out.extend_from_slice(&overview.zones);
}

fn buckets(histogram: Histogram, counts: &Counts, out: &mut Vec<u8>) {
    let name = histogram.name();
    family(name, "histogram", histogram.help(), out);
    let mut so_far = 0_u64;
    for (bound, count) in BOUNDS.iter().map(Some).chain([None]).zip(counts.buckets) {
        so_far = so_far.wrapping_add(count);
        let _ = write!(out, "lunette_{name}_bucket{{le=\"");
        match bound {
            Some(bound) => push_seconds(*bound, out),
            None => out.extend_from_slice(b"+Inf"),
        }
        let _ = writeln!(out, "\"}} {so_far}");
    }
    let _ = write!(out, "lunette_{name}_sum ");
    push_seconds(counts.sum_ms, out);
    let _ = writeln!(out, "\nlunette_{name}_count {so_far}");
}

/// One family of some servers; `first`: they are its first.
pub(super) fn servers(number: usize, first: bool, members: &[Member], out: &mut Vec<u8>) {
    let Some((name, kind, help, value)) = FAMILIES.get(number) else { return };
    if first {
        family(name, kind, help, out);
    }
    for member in members {
        let Some(value) = value(member) else { continue };
        let _ = write!(out, "lunette_{name}{{upstream=\"");
        push_label(&member.upstream, out);
        out.extend_from_slice(b"\",server=\"");
        push_label(member.server(), out);
        if member.copy > 0 {
            let _ = write!(out, "\",copy=\"{}", member.copy);
        }
        let _ = writeln!(out, "\"}} {value}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_labels() {
        let seconds = |ms| {
            let mut out = Vec::new();
            push_seconds(ms, &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!([0, 1, 250, 1000, 2500, 10010].map(seconds), ["0", "0.001", "0.25", "1", "2.5", "10.01"]);
        let mut out = Vec::new();
        push_label("a\"b\\c\nd", &mut out);
        assert_eq!(out, b"a\\\"b\\\\c\\nd");
    }
}
