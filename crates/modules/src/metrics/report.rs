//! A report in parts, each made in well below a millisecond.

use super::overview::{Overview, Process};
use super::{json, prometheus, zones};
use http::Request;
use http::metrics::Counter;
use upstream::directory::{Directory, Member};

/// Servers of upstream groups in one part.
const SERVERS: usize = 200;

/// How a report looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// The text format of Prometheus, version 0.0.4.
    Prometheus,
    /// One JSON object.
    Json,
}

impl Format {
    pub(super) fn content_type(self) -> &'static [u8] {
        match self {
            Format::Prometheus => b"text/plain; version=0.0.4",
            Format::Json => b"application/json",
        }
    }
}

/// What can be told at once.
fn overview(request: &Request, format: Format) -> Overview {
    let worker = &request.worker;
    worker.read_gauges();
    let process = |(pid, [connections, requests]): (u32, [u64; 2])| Process { pid, connections, requests, resident: resident(pid) };
    let processes = worker.observers.processes([Counter::Active, Counter::Requests]).into_iter().map(process).collect();
    let mut text = Vec::new();
    match format {
        Format::Prometheus => zones::prometheus(request, &mut text),
        Format::Json => zones::json(request, &mut text),
    }
    Overview { sums: worker.observers.sums(), processes, zones: text }
}

/// Bytes of memory that a process has in RAM.
fn resident(pid: u32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib * 1024)
}

/// The parts of a report.
pub(super) struct Report {
    pub(super) format: Format,
    overview: Option<Overview>,
    members: Vec<Member>,
    /// The family of samples that comes next; JSON has one only.
    family: usize,
    /// The first server of the next part.
    at: usize,
    families: usize,
}

impl Report {
    pub(super) fn new(request: &Request, format: Format) -> Report {
        let members = request.http.main.get::<Directory>().map(Directory::members).unwrap_or_default();
        let families = match format {
            _ if members.is_empty() => 0,
            Format::Prometheus => prometheus::FAMILIES.len(),
            Format::Json => 1,
        };
        Report { format, overview: Some(overview(request, format)), members, family: 0, at: 0, families }
    }

    /// Whether the last part has been made.
    pub(super) fn is_done(&self) -> bool {
        self.overview.is_none() && self.family >= self.families
    }

    /// The next servers, and whether they are the last of their family.
    fn servers(&mut self, out: &mut Vec<u8>) {
        let end = self.members.len().min(self.at + SERVERS);
        let members = self.members.get(self.at..end).unwrap_or_default();
        match self.format {
            Format::Prometheus => prometheus::servers(self.family, self.at == 0, members, out),
            Format::Json => json::servers(self.at == 0, members, out),
        }
        self.at = end;
        if end == self.members.len() {
            (self.family, self.at) = (self.family + 1, 0);
        }
    }
}

impl Iterator for Report {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        if self.is_done() {
            return None;
        }
        let mut out = Vec::new();
        match self.overview.take() {
            Some(overview) => {
                match self.format {
                    Format::Prometheus => prometheus::overview(&overview, &mut out),
                    Format::Json => json::overview(&overview, &mut out),
                }
                // A few servers go along.
                while self.family < self.families && self.members.len() * self.families <= SERVERS {
                    self.servers(&mut out);
                }
            }
            None => self.servers(&mut out),
        }
        if self.is_done() && self.format == Format::Json {
            out.extend_from_slice(b"]}\n");
        }
        Some(out)
    }
}
