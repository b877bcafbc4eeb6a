//! Health checks of a group's servers: when they are made and what follows from them, whatever is spoken (nginx manual,
//! `ngx_http_upstream_hc_module`, `ngx_stream_upstream_hc_module`).
//!
//! One process of all makes the checks of a zone: the one that holds its lease, which passes on when that process ends or dies.
//! What a check says is in the zone, where all workers see it. Each server has a task of its own, so that none waits for another.

use crate::url;
use balance::{Group, Peer, Server, ServerState};
use base::clock;
use base::log::{ErrorLog, Level};
use conf::row::Cx;
use conf::tree::Error;
use conf::tree::SettingError;
use net::address::SocketAddress;
use session::{BoxFuture, Worker};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

/// How often a process checks whether it owns the checks, and looks for new servers.
const LOOK_MS: u64 = 1000;
/// How far apart the first checks of two servers are.
const APART_MS: u64 = 2;

/// The timing and thresholds of `health_check`.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// `interval`, milliseconds
    pub interval: u64,
    /// `jitter`, milliseconds
    pub jitter: u64,
    /// `fails`
    pub fails: u64,
    /// `passes`
    pub passes: u64,
    /// `mandatory`
    pub mandatory: bool,
    /// `persistent`
    pub persistent: bool,
    /// `port`
    pub port: Option<u16>,
    /// `match`
    pub test: Option<Rc<str>>,
}

impl Default for Schedule {
    fn default() -> Self {
        Schedule { interval: 5000, jitter: 0, fails: 1, passes: 1, mandatory: false, persistent: false, port: None, test: None }
    }
}

impl Schedule {
    /// Reads argument `i`; false: it is not about that.
    ///
    /// # Errors
    /// It makes no sense.
    pub fn read(&mut self, cx: &Cx<'_>, i: usize) -> Result<bool, Error> {
        let invalid = || cx.invalid_parameter(i);
        let word = cx.arg(i);
        let Some((name, value)) = memchr::memchr(b'=', word).and_then(|at| Some((word.get(..at)?, word.get(at + 1..)?))) else {
            match word {
                b"mandatory" => self.mandatory = true,
                b"persistent" if self.mandatory => self.persistent = true,
                b"persistent" => return Err(cx.error_at(i, "\"persistent\" requires \"mandatory\"")),
                _ => return Ok(false),
            }
            return Ok(true);
        };
        let time = || base::text::parse_time_ms(value).ok_or_else(invalid);
        let count = || base::text::parse_number(value).filter(|count| *count > 0).ok_or_else(invalid);
        match name {
            b"interval" => self.interval = Some(time()?).filter(|time| *time > 0).ok_or_else(invalid)?,
            b"jitter" => self.jitter = time()?,
            b"fails" => self.fails = count()?,
            b"passes" => self.passes = count()?,
            b"port" => self.port = Some(count()?.try_into().map_err(|_| invalid())?),
            b"match" if !value.is_empty() => self.test = Some(String::from_utf8_lossy(value).into()),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Which server is asked about `server`.
    #[must_use]
    pub fn target(&self, server: &Server) -> Server {
        let own = match (&server.address, self.port) {
            (SocketAddress::Internet(address), Some(port)) => Server::new(SocketAddr::new(address.ip(), port).into()),
            _ => server.clone(),
        };
        // Nothing that is said of its use has to do with asking it.
        Server { max_conns: 0, max_fails: 0, ..own }
    }
}

/// The result of a check.
#[derive(Clone, Copy, Debug)]
pub struct Report {
    /// The server is well.
    pub passed: bool,
    /// What was done when that was clear, for the log.
    pub action: &'static str,
}

/// Asks a server.
pub trait Probe {
    /// Asks `server`, whose lines in the log say `about`. It ends within a time of its own, whatever the server does.
    fn probe(&self, server: Server, about: String) -> BoxFuture<Report>;
}

/// The checks of a group.
pub struct Checks {
    /// Its name.
    pub upstream: Rc<str>,
    /// Its servers.
    pub group: Rc<Group>,
    /// When they are made.
    pub schedule: Schedule,
    /// The number of the check among those of the group.
    pub number: u32,
    /// Where they are logged.
    pub log: ErrorLog,
    /// What they are.
    pub probe: Rc<dyn Probe>,
    /// Servers that have a task.
    tended: RefCell<BTreeSet<u64>>,
}

/// Joins the checks of a group.
///
/// # Errors
/// The group is in no zone.
pub fn join(upstream: &str, group: &Group, schedule: &Schedule) -> Result<u32, SettingError> {
    if group.zone().is_none() {
        return Err(format!("health checks require upstream \"{upstream}\" to be in shared memory").into());
    }
    Ok(group.add_check(schedule.mandatory, schedule.persistent))
}

impl Checks {
    /// Checks that have been joined.
    #[must_use]
    pub fn new(upstream: Rc<str>, group: Rc<Group>, schedule: Schedule, number: u32, log: ErrorLog, probe: Rc<dyn Probe>) -> Rc<Checks> {
        Rc::new(Checks { upstream, group, schedule, number, log, probe, tended: RefCell::default() })
    }

    /// Has a worker make them whenever the lease is its own.
    pub fn start(self: Rc<Self>, worker: &Rc<Worker>) {
        if worker.process().is_none_or(|place| !place.agent) {
            worker.spawn(Box::pin(run(worker.clone(), self)));
        }
    }

    fn peers(&self) -> Vec<Rc<Peer>> {
        self.group.snapshot().peers().cloned().collect()
    }

    fn is_ours(&self) -> bool {
        self.group.zone().is_some_and(|zone| zone.lease())
    }

    fn log_context(&self, peer: &Peer) -> String {
        let test = self.schedule.test.as_deref().unwrap_or_default();
        let port = self.schedule.port.map(|port| format!(", port {port}")).unwrap_or_default();
        format!("health check \"{test}\" of peer {} in upstream \"{}\"{port}", peer.server.name, self.upstream)
    }
}

async fn run(worker: Rc<Worker>, checks: Rc<Checks>) {
    while !worker.exiting.get() {
        if checks.is_ours() {
            let fresh = checks.peers().into_iter().filter(|peer| checks.tended.borrow_mut().insert(peer.number));
            for (place, peer) in fresh.enumerate() {
                let delay = (place as u64 * APART_MS).min(checks.schedule.interval);
                worker.spawn(Box::pin(maintain(worker.clone(), checks.clone(), peer.number, delay)));
            }
        }
        net::time::sleep(Duration::from_millis(LOOK_MS)).await;
    }
    if let Some(zone) = checks.group.zone() {
        zone.release_lease();
    }
}

/// Checks one server as long as it is there and the lease is this process's.
async fn maintain(worker: Rc<Worker>, checks: Rc<Checks>, number: u64, delay: u64) {
    let mut streak = Streak::default();
    net::time::sleep(Duration::from_millis(delay)).await;
    while !worker.exiting.get() && checks.is_ours() {
        let Some(peer) = checks.peers().into_iter().find(|peer| peer.number == number) else { break };
        // Whom nobody is sent to need not be asked.
        if peer.state() != ServerState::Down {
            let report = checks.probe.probe(checks.schedule.target(&peer.server), checks.log_context(&peer)).await;
            if worker.exiting.get() || !checks.is_ours() {
                break;
            }
            record(&checks, &peer, report, &mut streak);
        }
        let pause = checks.schedule.interval + jitter(checks.schedule.jitter);
        net::time::sleep(Duration::from_millis(pause)).await;
    }
    checks.tended.borrow_mut().remove(&number);
}

/// Checks of one server that went the same way, one after the other.
#[derive(Default)]
struct Streak {
    passed: bool,
    count: u64,
}

fn record(checks: &Checks, peer: &Rc<Peer>, report: Report, streak: &mut Streak) {
    clock::update();
    peer.checked(report.passed);
    let before = if streak.passed == report.passed { streak.count } else { 0 };
    *streak = Streak { passed: report.passed, count: before.saturating_add(1) };
    let needed = if report.passed { checks.schedule.passes } else { checks.schedule.fails };
    if peer.passes(checks.number) == Some(report.passed) || streak.count < needed {
        return;
    }
    peer.set_health(checks.number, report.passed, clock::monotonic_ms());
    let (level, word) = if report.passed { (Level::Notice, "healthy") } else { (Level::Warn, "unhealthy") };
    base::log!(checks.log, level, 0, "peer is {word} while {}, {}", report.action, checks.log_context(peer));
}

/// A number up to `most`, by chance.
fn jitter(most: u64) -> u64 {
    // Without randomness none is as good as any.
    getrandom::u64().map_or(0, |number| number % (most.saturating_add(1)).max(1))
}

/// The URL of a group for a check, which has no URI part of its own.
#[must_use]
pub fn bare(url: &url::Url) -> url::Url {
    url::Url { uri: Box::default(), ..url.clone() }
}
