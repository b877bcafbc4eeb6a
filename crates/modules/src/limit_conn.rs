//! `limit_conn`: how many requests with one key may be in progress.

use crate::limits::{self, Declared, LimitZone, LimitZones};
use base::text;
use conf::context::{Arity, Context};
use conf::row::{Cx, Row};
use conf::scope::Frame;
use conf::tree::Error;
use http::{Attach, Levels, Module, Outcome, Phase, Request, Step, Variables, log_request};
use shm::{Record, Table};
use std::rc::Rc;

/// The longest key that counts, bytes.
const LONGEST: usize = 255;

/// The module.
pub const MODULE: Module = Module { rows, levels, variables, complete, attach, ..Module::named("limit_conn") };

/// Tells the zones of this limit from others.
struct Connections;

#[derive(Clone)]
struct Limit {
    place: Rc<LimitZone<Connections>>,
    most: u64,
}

type Conf = limits::Conf<Limit>;

fn levels(levels: &mut Levels) {
    levels.location::<Conf>();
}

fn complete(frame: &Frame) -> Result<(), Error> {
    frame.main.get::<LimitZones<Connections>>().check()
}

fn variables(variables: &mut Variables) {
    limits::define_status::<Limit>(variables, "limit_conn_status");
}

fn rows() -> Vec<Row> {
    let at = Context::HTTP_ALL;
    let mut rows = vec![
        Row::new("limit_conn_zone", Context::HTTP, Arity::exactly(2), "Declares a zone that counts requests in progress.", |cx| {
            if !cx.arg(1).starts_with(b"zone=") {
                return Err(cx.invalid_parameter(1));
            }
            let zone = limits::zone_and_size(cx, 1)?;
            limits::declare(cx, "limit_conn", zone, Connections)
        }),
        Row::new("limit_conn", at, Arity::exactly(2), "Limits the requests in progress with one key.", limit),
    ];
    rows.extend(limits::rows::<Limit>("limit_conn_log_level", "limit_conn_status", "limit_conn_dry_run"));
    rows
}

fn limit(cx: &mut Cx<'_>) -> Result<(), Error> {
    let place = cx.main::<LimitZones<Connections>>().place(&cx.text(0), cx.error(""));
    let most = text::parse_number(cx.arg(1)).filter(|n| *n > 0);
    let most = most.ok_or_else(|| cx.error_at(1, format!("invalid number of connections \"{}\"", cx.text(1))))?;
    if most > 65_535 {
        return Err(cx.error_at(1, "connection limit must be less 65536"));
    }
    let mut conf = cx.location::<Conf>();
    let limits = conf.limits.get_or_insert_default();
    if limits.iter().any(|l| Rc::ptr_eq(&l.place, &place)) {
        return Err(cx.duplicate());
    }
    limits.push(Limit { place, most });
    Ok(())
}

fn attach(at: &mut Attach<'_>) -> Result<(), Error> {
    let conf = at.conf::<Conf>();
    if conf.limits.as_ref().is_some_and(|l| !l.is_empty()) {
        at.phase(Phase::Preaccess, move |request| Step::Now(handle(request, &conf)));
    }
    Ok(())
}

/// One count that must be given back.
struct Count {
    place: Rc<LimitZone<Connections>>,
    record: Record,
    resets: u64,
}

fn handle(request: &Rc<Request>, conf: &Conf) -> Outcome {
    let status = limits::status_of::<Limit>(request);
    if !status.0.get().is_empty() {
        return Outcome::Declined;
    }
    let dry = conf.is_dry();
    let mut counts: Vec<Count> = Vec::new();
    let mut key = Vec::new();
    for limit in conf.limits.iter().flatten() {
        let Some(declared) = limit.place.declared.get() else { continue };
        key.clear();
        declared.key.eval(&**request, &mut key);
        if key.is_empty() || !limits::fits(request, declared, &key, LONGEST) {
            continue;
        }
        status.0.set("PASSED");
        match count(declared, &key, limit.most) {
            Ok((record, resets)) => counts.push(Count { place: limit.place.clone(), record, resets }),
            Err(full) => {
                if !full {
                    let mark = if dry { ", dry run," } else { "" };
                    let level = conf.level();
                    log_request!(request, level, "limiting connections{mark} by zone \"{}\"", limit.place.name);
                }
                give_back(counts);
                status.0.set(if dry { "REJECTED_DRY_RUN" } else { "REJECTED" });
                return if dry { Outcome::Declined } else { Outcome::Status(conf.status()) };
            }
        }
    }
    if !counts.is_empty() {
        request.on_end(move |_| give_back(counts));
    }
    Outcome::Declined
}

/// Counts one more. `Err(true)`: the zone is full; `Err(false)`: the limit is reached.
fn count(declared: &Declared<Connections>, key: &[u8], most: u64) -> Result<(Record, u64), bool> {
    let g = declared.zone.lock();
    let table = Table::open(&g).ok_or(true)?;
    let record = match table.find(&g, key) {
        Some(record) => record,
        None => table.insert(&g, key).ok_or(true)?,
    };
    let value = record.value(&g, 0);
    if value >= most {
        return Err(false);
    }
    record.set_value(&g, 0, value + 1);
    Ok((record, g.resets()))
}

fn give_back(counts: Vec<Count>) {
    for count in counts {
        let Some(declared) = count.place.declared.get() else { continue };
        let g = declared.zone.lock();
        if g.resets() != count.resets {
            continue;
        }
        let Some(table) = Table::open(&g) else { continue };
        match count.record.value(&g, 0) {
            0 | 1 => table.remove(&g, count.record),
            value => count.record.set_value(&g, 0, value - 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Complex;
    use shm::Zone;

    #[test]
    fn counts_go_up_and_down() {
        let place = LimitZones::<Connections>::default().place("z", conf::tree::Error::new("", conf::tree::Span::NONE));
        let zone = Rc::new(Zone::new("z", "limit_conn", 1 << 16).unwrap());
        assert!(place.declared.set(Declared { zone, key: Complex::from_literal(b"k"), extra: Connections }).is_ok());
        let declared = place.declared.get().unwrap();
        let taken: Vec<_> = (0..2).map(|_| count(declared, b"k", 2).unwrap()).collect();
        assert_eq!(count(declared, b"k", 2).err(), Some(false));
        let back = |(record, resets)| give_back(vec![Count { place: place.clone(), record, resets }]);
        taken.into_iter().for_each(back);
        let g = declared.zone.lock();
        assert!(Table::open(&g).unwrap().is_empty(&g));
    }
}
