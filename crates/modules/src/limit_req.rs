//! `limit_req`: how fast requests with one key may come (the leaky bucket of nginx's manual).

use crate::limits::{self, Declared, LimitZone, LimitZones, Verdict};
use base::clock;
use base::log::Level;
use base::text;
use conf::context::{Arity, Context};
use conf::row::{Cx, Row};
use conf::scope::Frame;
use conf::tree::Error;
use http::{Attach, Levels, Module, Outcome, Phase, Request, Step, Variables, log_request};
use session::Configured;
use session::alarms::Alarms;
use shm::{Guard, Record, Table};
use std::rc::Rc;
use std::time::Duration;

/// The longest key that counts, bytes.
const LONGEST: usize = 65_535;

/// The module.
pub const MODULE: Module =
    Module { rows, levels: Levels::location_only::<Conf>, variables, complete, attach, ..Module::named("limit_req") };

/// Requests per second, times 1000.
struct Rate(u64);

#[derive(Clone)]
struct Limit {
    place: Rc<LimitZone<Request, Rate>>,
    /// Requests times 1000.
    burst: u64,
    /// Requests times 1000; `u64::MAX` never delays.
    delay: u64,
}

type Conf = limits::Conf<Limit>;

fn complete(frame: &Frame) -> Result<(), Error> {
    frame.main.get::<LimitZones<Request, Rate>>().check()
}

fn variables(variables: &mut Variables) {
    limits::define_status::<Request, Limit>(variables, "limit_req_status");
}

fn rows() -> Vec<Row> {
    let at = Context::HTTP_ALL;
    let mut rows = vec![
        Row::new("limit_req_zone", Context::HTTP, Arity::exactly(3), "Declares a zone that counts requests by key.", zone),
        Row::new("limit_req", at, Arity::Between(1, 3), "Limits the rate of requests.", limit),
    ];
    rows.extend(limits::rows::<Request, Limit>("limit_req_log_level", "limit_req_dry_run"));
    rows.push(limits::status_row::<Request, Limit>("limit_req_status"));
    rows
}

fn zone(cx: &mut Cx<'_>) -> Result<(), Error> {
    let mut zone = (String::new(), 0);
    let mut rate = 1000;
    for i in 1..cx.args().len() {
        let arg = cx.arg(i);
        if arg.starts_with(b"zone=") {
            zone = limits::zone_and_size(cx, i)?;
        } else if let Some(value) = arg.strip_prefix(b"rate=") {
            let (number, scale) = match (value.strip_suffix(b"r/s"), value.strip_suffix(b"r/m")) {
                (Some(number), _) => (number, 1),
                (_, Some(number)) => (number, 60),
                _ => (value, 1),
            };
            let number = text::parse_number(number).filter(|n| *n > 0);
            rate =
                number.and_then(|n| n.checked_mul(1000)).ok_or_else(|| cx.error_at(i, format!("invalid rate \"{}\"", cx.text(i))))? / scale;
        } else {
            return Err(cx.invalid_parameter(i));
        }
    }
    limits::declare::<Request, _>(cx, (&limits::REQUESTS, "limit_req"), zone, Rate(rate))
}

fn limit(cx: &mut Cx<'_>) -> Result<(), Error> {
    let mut name = None;
    let (mut burst, mut delay) = (0, 0);
    for i in 0..cx.args().len() {
        let arg = cx.arg(i);
        let number = |from: &[u8], what: &str| {
            let number = text::parse_number(from).filter(|n| *n > 0).and_then(|n| n.checked_mul(1000));
            number.ok_or_else(|| cx.error_at(i, format!("invalid {what} value \"{}\"", cx.text(i))))
        };
        if let Some(zone) = arg.strip_prefix(b"zone=") {
            name = Some(String::from_utf8_lossy(zone).into_owned());
        } else if let Some(value) = arg.strip_prefix(b"burst=") {
            burst = number(value, "burst")?;
        } else if let Some(value) = arg.strip_prefix(b"delay=") {
            delay = number(value, "delay")?;
        } else if arg == b"nodelay" {
            delay = u64::MAX;
        } else {
            return Err(cx.invalid_parameter(i));
        }
    }
    let name = name.ok_or_else(|| cx.error(format!("\"{}\" must have \"zone\" parameter", cx.name())))?;
    let place = cx.main::<LimitZones<Request, Rate>>().place(&name, cx.error(""));
    let mut conf = cx.location::<Conf>();
    let limits = conf.limits.get_or_insert_default();
    if limits.iter().any(|l| Rc::ptr_eq(&l.place, &place)) {
        return Err(cx.duplicate());
    }
    limits.push(Limit { place, burst, delay });
    Ok(())
}

fn attach(at: &mut Attach<'_>) -> Result<(), Error> {
    let conf = at.conf::<Conf>();
    if conf.limits.as_ref().is_some_and(|l| !l.is_empty()) {
        at.phase(Phase::Preaccess, move |request| handle(request, &conf));
    }
    Ok(())
}

/// A limit that has been passed and waits to be charged.
struct Pending<'a> {
    limit: &'a Limit,
    declared: &'a Declared<Request, Rate>,
    record: Record,
    resets: u64,
}

/// The limit that weighs most.
struct Longest<'a> {
    delay: u64,
    excess: u64,
    limit: &'a Limit,
}

fn handle(request: &Rc<Request>, conf: &Conf) -> Step {
    let status = Configured::session_context::<limits::Status<Limit>>(&**request);
    if !status.0.get().is_empty() {
        return Step::Now(Outcome::Declined);
    }
    let Some((verdict, delay)) = apply(request, conf) else { return Step::Now(Outcome::Declined) };
    status.0.set(verdict.name());
    match verdict {
        Verdict::Rejected => Step::Now(Outcome::Status(conf.status())),
        Verdict::Delayed => Step::wait(|| wait(request.clone(), delay)),
        Verdict::Passed | Verdict::RejectedDryRun | Verdict::DelayedDryRun => Step::Now(Outcome::Declined),
    }
}

/// Waits, unless the client goes away first.
async fn wait(request: Rc<Request>, delay: u64) -> Outcome {
    let wire = request.wire.clone();
    tokio::select! {
        () = Alarms::after(&request.worker, Duration::from_millis(delay)) => Outcome::Declined,
        () = std::future::poll_fn(move |cx| wire.poll_gone(cx)) => {
            request.flags.client_gone.set(true);
            Outcome::Status(499)
        }
    }
}

/// What comes of the limits and for how many milliseconds the request is delayed; `None`: none of them has a key.
fn apply(request: &Request, conf: &Conf) -> Option<(Verdict, u64)> {
    let limits = conf.limits.as_deref().unwrap_or_default();
    let level = conf.level();
    let (is_dry, dry) = (conf.is_dry(), if conf.is_dry() { ", dry run" } else { "" });
    let now = clock::now().epoch_ms();
    let mut pending: Vec<Pending<'_>> = Vec::with_capacity(limits.len().saturating_sub(1));
    let mut worst: Option<Longest<'_>> = None;
    let mut key = Vec::new();
    for (i, limit) in limits.iter().enumerate() {
        let Some(declared) = limit.place.declared.get() else { continue };
        key.clear();
        declared.key.eval(request, &mut key);
        if key.is_empty() || !limits::fits(request, declared, &key, LONGEST) {
            continue;
        }
        let charge = i + 1 == limits.len();
        let guard = declared.zone.lock();
        match look_up(&guard, &key, limit, declared.extra.0, now, charge) {
            Lookup::Pending(record) => pending.push(Pending { limit, declared, record, resets: guard.resets() }),
            Lookup::Charged(excess) => {
                worst = Some(Longest { delay: delay_of(excess, limit.delay, declared.extra.0), excess, limit });
            }
            Lookup::Full => {
                drop(guard);
                log_request!(request, Level::Alert, "could not allocate node in limit_req zone \"{}\"", limit.place.name);
                return Some((refuse(&pending, declared, is_dry), 0));
            }
            Lookup::Over(excess) => {
                drop(guard);
                let name = &limit.place.name;
                log_request!(request, level, "limiting requests{dry}, excess: {}.{:03} by zone \"{name}\"", excess / 1000, excess % 1000);
                return Some((refuse(&pending, declared, is_dry), 0));
            }
        }
    }
    let last = worst.as_ref().map(|last| last.limit);
    if pending.is_empty() && last.is_none() {
        return None;
    }
    let Some(worst) = charge_pending(&pending, worst, now) else { return Some((Verdict::Passed, 0)) };
    let verdict = if is_dry { Verdict::DelayedDryRun } else { Verdict::Delayed };
    count(pending.iter().map(|pending| pending.limit).chain(last), &worst, verdict);
    let Longest { delay: delay @ 1.., excess, limit } = worst else { return Some((Verdict::Passed, 0)) };
    let level = if level == Level::Info { Level::Info } else { Level::from_number(level as i64 + 1).unwrap_or(level) };
    let name = &limit.place.name;
    log_request!(request, level, "delaying request{dry}, excess: {}.{:03}, by zone \"{name}\"", excess / 1000, excess % 1000);
    Some((verdict, delay))
}

/// Counts for each limit what came of it: the one that weighs most may delay, all others let pass.
fn count<'a>(limits: impl Iterator<Item = &'a Limit>, worst: &Longest<'_>, delayed: Verdict) {
    for limit in limits {
        let delays = worst.delay > 0 && std::ptr::eq(worst.limit, limit);
        if let Some(declared) = limit.place.declared.get() {
            declared.count(if delays { delayed } else { Verdict::Passed });
        }
    }
}

/// What comes of a limit that refuses.
fn refuse(pending: &[Pending<'_>], by: &Declared<Request, Rate>, dry: bool) -> Verdict {
    release_pending(pending);
    let verdict = Verdict::refused(dry);
    by.count(verdict);
    verdict
}

fn delay_of(excess: u64, free: u64, rate: u64) -> u64 {
    excess.saturating_sub(free).saturating_mul(1000) / rate.max(1)
}

/// Words of a record: when it was last charged; excess in the upper half, holders in the lower.
const LAST: usize = 0;
const STATE: usize = 1;

fn excess_of(state: u64) -> u64 {
    state >> 32
}

fn holders_of(state: u64) -> u64 {
    state & 0xffff_ffff
}

fn pack(excess: u64, holders: u64) -> u64 {
    (excess.min(0xffff_ffff) << 32) | (holders & 0xffff_ffff)
}

/// Milliseconds since the record was charged. A clock that was set back a little counts as standing still.
fn passed(last: u64, now: u64) -> u64 {
    match now.checked_sub(last) {
        Some(ms) => ms,
        None if last - now > 60_000 => 1,
        None => 0,
    }
}

enum Lookup {
    Over(u64),
    Charged(u64),
    Pending(Record),
    Full,
}

fn look_up(g: &Guard<'_>, key: &[u8], limit: &Limit, rate: u64, now: u64, charge: bool) -> Lookup {
    let Some(table) = Table::open(g) else { return Lookup::Full };
    if let Some(record) = table.find(g, key) {
        table.touch(g, record);
        let state = record.value(g, STATE);
        let ms = passed(record.value(g, LAST), now);
        let excess = leaked(excess_of(state), rate, ms);
        if excess > limit.burst {
            return Lookup::Over(excess);
        }
        if charge {
            record.set_value(g, STATE, pack(excess, holders_of(state)));
            if ms != 0 {
                record.set_value(g, LAST, now);
            }
            return Lookup::Charged(excess);
        }
        record.set_value(g, STATE, pack(excess_of(state), holders_of(state) + 1));
        return Lookup::Pending(record);
    }
    expire(g, &table, rate, now, false);
    let made = table.insert(g, key).or_else(|| {
        expire(g, &table, rate, now, true);
        table.insert(g, key)
    });
    let Some(record) = made else { return Lookup::Full };
    if charge {
        record.set_value(g, LAST, now);
        return Lookup::Charged(0);
    }
    record.set_value(g, STATE, pack(0, 1));
    Lookup::Pending(record)
}

fn leaked(excess: u64, rate: u64, ms: u64) -> u64 {
    (excess + 1000).saturating_sub(rate.saturating_mul(ms) / 1000)
}

/// Removes up to two records that have long leaked dry; with `force` first the oldest whatever it holds.
fn expire(g: &Guard<'_>, table: &Table, rate: u64, now: u64, force: bool) {
    for round in u8::from(!force)..3 {
        let Some(oldest) = table.oldest(g) else { return };
        let state = oldest.value(g, STATE);
        if holders_of(state) != 0 {
            return;
        }
        if round != 0 {
            let ms = now.abs_diff(oldest.value(g, LAST));
            if ms < 60_000 || excess_of(state) > rate.saturating_mul(ms) / 1000 {
                return;
            }
        }
        table.remove(g, oldest);
    }
}

/// Charges the limits that were only looked up, now that all of them let the request pass.
fn charge_pending<'a>(pending: &[Pending<'a>], mut worst: Option<Longest<'a>>, now: u64) -> Option<Longest<'a>> {
    for pending in pending.iter().rev() {
        let g = pending.declared.zone.lock();
        if g.resets() != pending.resets {
            continue;
        }
        let state = pending.record.value(&g, STATE);
        let last = pending.record.value(&g, LAST);
        // A record that was made just now has not been charged yet.
        let excess = if last == 0 { 0 } else { leaked(excess_of(state), pending.declared.extra.0, passed(last, now)) };
        pending.record.set_value(&g, LAST, now.max(1));
        pending.record.set_value(&g, STATE, pack(excess, holders_of(state).saturating_sub(1)));
        let delay = delay_of(excess, pending.limit.delay, pending.declared.extra.0);
        if worst.as_ref().is_none_or(|w| delay > w.delay) {
            worst = Some(Longest { delay, excess, limit: pending.limit });
        }
    }
    worst
}

fn release_pending(pending: &[Pending<'_>]) {
    for pending in pending {
        let g = pending.declared.zone.lock();
        if g.resets() == pending.resets {
            let state = pending.record.value(&g, STATE);
            pending.record.set_value(&g, STATE, pack(excess_of(state), holders_of(state).saturating_sub(1)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shm::Zone;

    fn limit(burst: u64) -> Limit {
        Limit {
            place: LimitZones::<Request, Rate>::default().place("z", conf::tree::Error::new("", conf::tree::Span::NONE)),
            burst,
            delay: 0,
        }
    }

    #[test]
    fn the_bucket_leaks_at_its_rate() {
        let zone = Zone::new("z", "test", 1 << 16).unwrap();
        let g = zone.lock();
        let limit = limit(1000);
        let at = |now| match look_up(&g, b"k", &limit, 1000, now, true) {
            Lookup::Charged(excess) => Ok(excess),
            Lookup::Over(excess) => Err(excess),
            _ => panic!("neither charged nor refused"),
        };
        assert_eq!(at(100_000), Ok(0));
        assert_eq!(at(100_000), Ok(1000));
        assert_eq!(at(100_000), Err(2000));
        assert_eq!(at(100_500), Err(1500));
        assert_eq!(at(101_000), Ok(1000));
        assert_eq!(at(110_000), Ok(0));
        assert_eq!(at(109_999), Ok(1000));
        assert_eq!(delay_of(1500, 1000, 1000), 500);
    }

    #[test]
    fn a_full_zone_drops_its_oldest() {
        let zone = Zone::new("z", "test", 1 << 16).unwrap();
        let g = zone.lock();
        let limit = limit(0);
        for key in 0..5000u32 {
            assert!(matches!(look_up(&g, &key.to_be_bytes(), &limit, 1000, 1000, true), Lookup::Charged(0)));
        }
        assert!(matches!(look_up(&g, &4999u32.to_be_bytes(), &limit, 1000, 1000, true), Lookup::Over(1000)));
        assert!(matches!(look_up(&g, &0u32.to_be_bytes(), &limit, 1000, 1000, true), Lookup::Charged(0)));
    }
}
