//! `metrics`: what all workers have counted, for programs (beyond nginx).

use conf::context::{Arity, Context};
use conf::row::Row;
use conf::scope::Config;
use conf::tree::Error;
use http::observers::Counter;
use http::{Attach, Levels, Method, Module, Outcome, Step, Worker};
use std::fmt::Write;

/// Counters as text.
pub const MODULE: Module = Module { rows, levels, attach, ..Module::named("metrics") };

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    /// The text format of Prometheus, version 0.0.4.
    Prometheus,
    /// One JSON object.
    Json,
}

#[derive(Default)]
struct Metrics {
    format: Option<Format>,
}

impl Config for Metrics {
    // A content handler belongs to its location.
    fn inherit(&mut self, _: &Self) {}
}

fn rows() -> Vec<Row> {
    vec![Row::new("metrics", Context::SERVER | Context::LOCATION, Arity::Between(0, 1), "Answers with what was counted.", |cx| {
        let format = match cx.args().is_empty() {
            true => Format::Prometheus,
            false => cx.choice(0, &[("prometheus", Format::Prometheus), ("json", Format::Json)])?,
        };
        cx.once(&mut cx.location::<Metrics>().format, format)
    })]
}

fn levels(levels: &mut Levels) {
    levels.location::<Metrics>();
}

fn attach(place: &mut Attach<'_>) -> Result<(), Error> {
    let Some(format) = place.conf::<Metrics>().format else { return Ok(()) };
    place.content(move |request| {
        if !request.method().intersects(Method::GET.or(Method::HEAD)) {
            return Step::Now(Outcome::Status(405));
        }
        let sums = sums(&request.worker);
        match format {
            Format::Prometheus => request.respond(200, b"text/plain; version=0.0.4", prometheus(&sums)),
            Format::Json => request.respond(200, b"application/json", json(&sums)),
        }
    });
    Ok(())
}

fn sums(worker: &Worker) -> Vec<(Counter, u64)> {
    Counter::ALL.iter().map(|counter| (*counter, worker.sum(*counter))).collect()
}

fn prometheus(sums: &[(Counter, u64)]) -> Vec<u8> {
    let mut text = String::new();
    for (counter, value) in sums {
        let (name, kind) = (counter.name(), if counter.is_gauge() { "gauge" } else { "counter" });
        // Writing to a String cannot fail.
        let _ = writeln!(text, "# TYPE lunette_{name} {kind}\nlunette_{name} {value}");
    }
    text.into_bytes()
}

fn json(sums: &[(Counter, u64)]) -> Vec<u8> {
    let members: Vec<_> = sums.iter().map(|(counter, value)| format!("\"{}\":{value}", counter.name())).collect();
    format!("{{{}}}\n", members.join(",")).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_name_each_counter() {
        let sums = [(Counter::Requests, 7), (Counter::Active, 2)];
        let text = "# TYPE lunette_requests_total counter\nlunette_requests_total 7\n# TYPE lunette_connections_active gauge\n\
                    lunette_connections_active 2\n";
        assert_eq!(prometheus(&sums), text.as_bytes());
        assert_eq!(json(&sums), b"{\"requests_total\":7,\"connections_active\":2}\n");
    }
}
