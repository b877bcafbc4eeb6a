//! The view: what happened between two samples.

use super::sample::{Line, Sample};
use std::collections::HashMap;
use std::fmt::Write;

/// Most workers and servers that are listed.
const ROWS: usize = 12;

/// The text in place of what the screen shows.
pub(super) fn on_a_screen(text: &str) -> String {
    let mut out = String::from("\x1b[H");
    for line in text.lines() {
        // What the line before it was longer by goes.
        out.push_str(line);
        out.push_str("\x1b[K\n");
    }
    out.push_str("\x1b[J");
    out
}

struct Interval<'a> {
    before: &'a Sample,
    now: &'a Sample,
    seconds: f64,
}

impl Interval<'_> {
    /// How much was added. A server that was started anew begins at nothing.
    fn added(&self, name: &str) -> f64 {
        (self.now.sum(name) - self.before.sum(name)).max(0.0)
    }

    fn rate(&self, name: &str) -> f64 {
        self.added(name) / self.seconds
    }

    fn labelled(&self, name: &str, key: &str, label: &str) -> f64 {
        (self.now.of(name, key, label).unwrap_or(0.0) - self.before.of(name, key, label).unwrap_or(0.0)).max(0.0)
    }

    /// The bound that a share of all times lies within, as text.
    fn quantile(&self, name: &str, share: f64) -> String {
        let buckets = format!("{name}_bucket");
        let total = self.added(&format!("{name}_count"));
        let mut last = String::new();
        for line in self.now.lines(&buckets) {
            let bound = line.label("le");
            if total > 0.0 && self.labelled(&buckets, "le", &bound) >= share * total {
                let at_most = bound.parse::<f64>().ok().filter(|bound| bound.is_finite());
                return at_most.map_or_else(|| format!("> {last}"), |bound| format!("<= {}", time(bound)));
            }
            last = time(bound.parse().unwrap_or(0.0));
        }
        "-".to_owned()
    }

    fn times(&self, name: &str) -> String {
        let count = self.added(&format!("{name}_count"));
        let mean = if count > 0.0 { time(self.added(&format!("{name}_sum")) / count) } else { "-".to_owned() };
        let [half, most, nearly_all] = [0.5, 0.9, 0.99].map(|share| self.quantile(name, share));
        format!("p50 {half}   p90 {most}   p99 {nearly_all}   mean {mean}")
    }
}

fn time(seconds: f64) -> String {
    match seconds * 1000.0 {
        ms if ms > 0.0 && ms < 0.05 => "< 0.1 ms".to_owned(),
        ms if ms < 10.0 => format!("{} ms", (ms * 10.0).round() / 10.0),
        ms if ms < 1000.0 => format!("{ms:.0} ms"),
        ms => format!("{} s", (ms / 100.0).round() / 10.0),
    }
}

/// A column's text: what is too long for it goes out of its middle, as names begin alike and ports stand at the end.
fn column(text: &str, width: usize) -> String {
    let (count, room) = (text.chars().count(), width - 1);
    if count <= room {
        return format!("{text:<width$}");
    }
    let (first, last) = (room / 2, room - room / 2 - 1);
    let ends = text.chars().enumerate().filter(|(place, _)| *place < first || *place >= count - last).map(|(_, char)| char);
    let (start, end): (String, String) = (ends.clone().take(first).collect(), ends.skip(first).collect());
    format!("{start}\u{2026}{end} ")
}

fn bytes(number: f64) -> String {
    match number {
        n if n < 1024.0 => format!("{n:.0} B"),
        n if n < 1_048_576.0 => format!("{:.1} KiB", n / 1024.0),
        n => format!("{:.1} MiB", n / 1_048_576.0),
    }
}

fn percent(part: f64, whole: f64) -> String {
    if whole > 0.0 { format!("{:.1} %", 100.0 * part / whole) } else { "-".to_owned() }
}

/// One view.
pub(super) fn render(before: &Sample, now: &Sample, seconds: f64, from: &str) -> String {
    let between = Interval { before, now, seconds };
    let mut out = String::new();
    let version = now.lines("info").first().map(|line| line.label("version")).unwrap_or_default();
    // Writing to a text cannot fail, here and below.
    let _ = writeln!(out, "lunette {version}   {from}   over {}\n", time(seconds));
    overview(&between, &mut out);
    workers(&between, &mut out);
    servers(now, &mut out);
    out
}

fn overview(between: &Interval<'_>, out: &mut String) {
    let (now, rate, added) = (between.now, |name: &str| between.rate(name), |name: &str| between.added(name));
    let mut row = |name: &str, text: String| {
        let _ = writeln!(out, "{name:<13}{text}");
    };
    let [active, reading, writing] = ["active", "reading", "writing"].map(|what| now.sum(&format!("connections_{what}")));
    row(
        "Connections",
        format!("{active} active   {reading} reading   {writing} writing   {:.1}/s new", rate("connections_accepted_total")),
    );
    row("Requests", format!("{:.1}/s   {} in all", rate("requests_total"), now.sum("requests_total")));
    let classes = [1, 2, 3, 4, 5].map(|class| added(&format!("responses_{class}xx_total")));
    let ended: f64 = classes.iter().sum();
    let shown: Vec<_> = (1..).zip(classes).skip(1).map(|(class, count)| format!("{class}xx {:.1}/s", count / between.seconds)).collect();
    row("Answers", shown.join("   "));
    row("Errors", format!("{} of answers are 5xx   {} are 4xx", percent(classes[4], ended), percent(classes[3], ended)));
    row("Latency", between.times("request_duration_seconds"));
    row("Traffic", format!("{}/s in   {}/s out", bytes(rate("received_bytes_total")), bytes(rate("sent_bytes_total"))));
    row("TLS", format!("{:.1}/s handshakes   {:.1}/s failed", rate("tls_handshakes_total"), rate("tls_handshake_failures_total")));
    row("Upstreams", format!("{:.1}/s tries   {:.1}/s failed", rate("upstream_attempts_total"), rate("upstream_failures_total")));
    row("", between.times("upstream_duration_seconds"));
    let cache = "cache_requests_total";
    let hits = between.labelled(cache, "status", "HIT") + between.labelled(cache, "status", "REVALIDATED");
    row("Caches", format!("{:.1}/s asked   {} hit", rate(cache), percent(hits, added(cache))));
    row("Lua", format!("{:.1}/s handlers   {:.1}/s failed", rate("lua_handlers_total"), rate("lua_failures_total")));
}

fn workers(between: &Interval<'_>, out: &mut String) {
    let of = |sample: &Sample, name: &str, pid: &str| sample.of(name, "pid", pid);
    let lines = between.now.lines("worker_connections_active");
    let _ = writeln!(out, "\n{:>10}{:>13}{:>12}{:>14}", "Worker", "Connections", "Requests", "Memory");
    for line in lines.iter().take(ROWS) {
        let pid = line.label("pid");
        let requests = of(between.now, "worker_requests_total", &pid).unwrap_or(0.0);
        let earlier = of(between.before, "worker_requests_total", &pid).unwrap_or(requests);
        let rate = format!("{:.1}/s", (requests - earlier).max(0.0) / between.seconds);
        let memory = of(between.now, "worker_resident_bytes", &pid).map_or_else(|| "-".to_owned(), bytes);
        let _ = writeln!(out, "{pid:>10}{:>13}{rate:>12}{memory:>14}", line.value);
    }
    let _ = writeln!(out, "{:>10}{:>39}", "together", bytes(between.now.sum("worker_resident_bytes")));
}

/// A server of a group.
struct Server<'a> {
    line: &'a Line,
    connections: f64,
    failures: f64,
    /// Health checks: how many failed of how many.
    checks: Option<(f64, f64)>,
    state: &'static str,
}

/// The servers of upstream groups: those that take no requests first, then the busiest.
fn servers(now: &Sample, out: &mut String) {
    let up = now.lines("upstream_server_up");
    let values = |name| now.lines(name).iter().map(|line| (line.labels(), line.value)).collect::<HashMap<&str, f64>>();
    let kept = values("upstream_server_unhealthy");
    let all_checks = values("upstream_server_health_checks_total");
    let failed_checks = values("upstream_server_health_checks_failed_total");
    let both = up.iter().zip(now.lines("upstream_server_connections")).zip(now.lines("upstream_server_failures"));
    let mut rows: Vec<Server<'_>> = both
        .map(|((line, connections), failures)| {
            let checks = all_checks.get(line.labels()).copied();
            let state = match kept.get(line.labels()) {
                _ if line.value > 0.0 => "up",
                Some(1.0) => "UNHEALTHY",
                Some(2.0) => "CHECKING",
                _ => "DOWN",
            };
            let failed = failed_checks.get(line.labels()).copied().unwrap_or(0.0);
            let (connections, failures) = (connections.value, failures.value);
            Server { line, connections, failures, checks: checks.map(|all| (failed, all)), state }
        })
        .collect();
    if rows.is_empty() {
        return;
    }
    rows.sort_by(|a, b| a.line.value.total_cmp(&b.line.value).then(b.connections.total_cmp(&a.connections)));
    let ups = up.iter().filter(|line| line.value > 0.0).count();
    let _ = writeln!(
        out,
        "\n{:<24}{:<28}{:<10}{:>12}{:>10}{:>16}   {ups} of {} up",
        "Upstream",
        "Server",
        "State",
        "Connections",
        "Failures",
        "Checks failed",
        up.len()
    );
    for Server { line, connections, failures, checks, state } in rows.iter().take(ROWS) {
        let (upstream, server) = (column(&line.label("upstream"), 24), column(&line.label("server"), 28));
        let checks = checks.map_or_else(|| "-".to_owned(), |(failed, all)| format!("{failed} of {all}"));
        let _ = writeln!(out, "{upstream}{server}{state:<10}{connections:>12}{failures:>10}{checks:>16}");
    }
    if let Some(more) = rows.len().checked_sub(ROWS).filter(|more| *more > 0) {
        let _ = writeln!(out, "and {more} more");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(requests: u64, failed: u64, buckets: [u64; 3]) -> Sample {
        let [fast, slow, all] = buckets;
        let text = format!(
            "lunette_requests_total {requests}\nlunette_responses_2xx_total {}\nlunette_responses_5xx_total {failed}\n\
             lunette_request_duration_seconds_bucket{{le=\"0.001\"}} {fast}\nlunette_request_duration_seconds_bucket{{le=\"2.5\"}} {slow}\n\
             lunette_request_duration_seconds_bucket{{le=\"+Inf\"}} {all}\nlunette_request_duration_seconds_count {all}\n\
             lunette_request_duration_seconds_sum {slow}\nlunette_worker_connections_active{{pid=\"9\"}} 3\n\
             lunette_worker_requests_total{{pid=\"9\"}} {requests}\nlunette_worker_resident_bytes{{pid=\"9\"}} 2097152\n\
             lunette_upstream_server_up{{upstream=\"u\",server=\"a:1\"}} 1\nlunette_upstream_server_up{{upstream=\"u\",server=\"b:1\"}} 0\n\
             lunette_upstream_server_connections{{upstream=\"u\",server=\"a:1\"}} 4\n\
             lunette_upstream_server_connections{{upstream=\"u\",server=\"b:1\"}} 0\n\
             lunette_upstream_server_failures{{upstream=\"u\",server=\"a:1\"}} 0\nlunette_upstream_server_failures{{upstream=\"u\",server=\"b:1\"}} 2\n\
             lunette_upstream_server_unhealthy{{upstream=\"u\",server=\"b:1\"}} 1\n\
             lunette_upstream_server_health_checks_total{{upstream=\"u\",server=\"b:1\"}} 9\n\
             lunette_upstream_server_health_checks_failed_total{{upstream=\"u\",server=\"b:1\"}} 3\n",
            requests - failed
        );
        Sample::parse(&text).unwrap()
    }

    #[test]
    fn what_was_added_is_shown() {
        let text = render(&sample(100, 0, [100, 100, 100]), &sample(120, 5, [110, 119, 120]), 2.0, "here");
        for line in [
            "Requests     10.0/s   120 in all",
            "Answers      2xx 7.5/s   3xx 0.0/s   4xx 0.0/s   5xx 2.5/s",
            "Errors       25.0 % of answers are 5xx   0.0 % are 4xx",
            "Latency      p50 <= 1 ms   p90 <= 2.5 s   p99 > 2.5 s   mean 950 ms",
            "         9            3      10.0/s       2.0 MiB",
            "u                       b:1                         UNHEALTHY            0         2          3 of 9",
            "u                       a:1                         up                   4         0               -",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
        assert!(text.find("b:1").unwrap() < text.find("a:1").unwrap());
    }

    #[test]
    fn long_names_stay_in_their_columns() {
        for text in [
            "short",
            "just-as-long-as-may-be1",
            "an-upstream-group.with-a-long-name.example.com",
            "unix:/run/\u{e4}\u{f6}\u{fc}/with/a/long/path.sock",
        ] {
            let shown = column(text, 24);
            assert!(shown.chars().count() == 24 && shown.ends_with(' '), "{shown:?}");
        }
        assert_eq!(column("an-upstream-group.with-a-long-name.example.com", 24), "an-upstream\u{2026}example.com ");
        assert_eq!((time(0.000_01), time(0.0)), ("< 0.1 ms".to_owned(), "0 ms".to_owned()));
    }

    #[test]
    fn a_server_that_was_started_anew_begins_at_nothing() {
        let text = render(&sample(100, 0, [100, 100, 100]), &sample(5, 0, [5, 5, 5]), 1.0, "here");
        assert!(text.contains("Requests     0.0/s   5 in all") && text.contains("p50 -"), "{text}");
    }
}
