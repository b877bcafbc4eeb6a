//! `limit_conn`: how many requests with one key may be in progress.

use crate::limits::{self, Declared, LimitZone, LimitZones, Status};
use base::text;
use conf::context::Arity;
use conf::row::{Cx, Row};
use conf::scope::Frame;
use conf::tree::Error;
use http::{Attach, Levels, Module, Outcome, Phase, Request, Step};
use session::{Configured, Variables, log_client};
use shm::{Record, Table};
use std::rc::Rc;

/// The longest key that counts, bytes.
const LONGEST: usize = 255;

/// The module.
pub const MODULE: Module = Module {
    rows: http_rows,
    levels,
    variables: variables::<Request>,
    complete: complete::<Request>,
    attach,
    ..Module::named("limit_conn")
};

/// Tells the zones of this limit from others.
struct Connections;

struct Limit<S> {
    place: Rc<LimitZone<S, Connections>>,
    most: u64,
}

impl<S> Clone for Limit<S> {
    fn clone(&self) -> Self {
        Limit { place: self.place.clone(), most: self.most }
    }
}

type Conf<S> = limits::Conf<Limit<S>>;

fn levels(levels: &mut Levels) {
    levels.location::<Conf<Request>>();
}

fn complete<S: Configured>(frame: &Frame) -> Result<(), Error> {
    frame.main.get::<LimitZones<S, Connections>>().check()
}

fn variables<S: Configured>(variables: &mut Variables<S>) {
    limits::define_status::<S, Limit<S>>(variables, "limit_conn_status");
}

fn rows<S: Configured>() -> Vec<Row> {
    let mut rows = vec![
        Row::new("limit_conn_zone", S::OUTERMOST, Arity::exactly(2), "Declares a zone that counts requests in progress.", |cx| {
            if !cx.arg(1).starts_with(b"zone=") {
                return Err(cx.invalid_parameter(1));
            }
            let zone = limits::zone_and_size(cx, 1)?;
            limits::declare::<S, _>(cx, "limit_conn", zone, Connections)
        }),
        Row::new("limit_conn", S::BLOCKS, Arity::exactly(2), "Limits the requests in progress with one key.", limit::<S>),
    ];
    rows.extend(limits::rows::<S, Limit<S>>("limit_conn_log_level", "limit_conn_dry_run"));
    rows
}

/// A request that is refused has a status of the administrator's choice.
fn http_rows() -> Vec<Row> {
    let mut rows = rows::<Request>();
    rows.push(limits::status_row::<Request, Limit<Request>>("limit_conn_status"));
    rows
}

fn limit<S: Configured>(cx: &mut Cx<'_>) -> Result<(), Error> {
    let place = cx.main::<LimitZones<S, Connections>>().place(&cx.text(0), cx.error(""));
    let most = text::parse_number(cx.arg(1)).filter(|n| *n > 0);
    let most = most.ok_or_else(|| cx.error_at(1, format!("invalid number of connections \"{}\"", cx.text(1))))?;
    if most > 65_535 {
        return Err(cx.error_at(1, "connection limit must be less 65536"));
    }
    let mut conf = cx.location::<Conf<S>>();
    let limits = conf.limits.get_or_insert_default();
    if limits.iter().any(|l| Rc::ptr_eq(&l.place, &place)) {
        return Err(cx.duplicate());
    }
    limits.push(Limit { place, most });
    Ok(())
}

fn attach(at: &mut Attach<'_>) -> Result<(), Error> {
    let conf = at.conf::<Conf<Request>>();
    if conf.limits.as_ref().is_some_and(|l| !l.is_empty()) {
        at.phase(Phase::Preaccess, move |request| Step::Now(handle(&**request, &conf)));
    }
    Ok(())
}

/// One count that must be given back.
struct Count<S> {
    place: Rc<LimitZone<S, Connections>>,
    record: Record,
    resets: u64,
}

fn handle<S: Configured>(session: &S, conf: &Conf<S>) -> Outcome {
    let status = session.lasting::<Status<Limit<S>>>();
    if !status.0.get().is_empty() {
        return Outcome::Declined;
    }
    let dry = conf.is_dry();
    let mut counts: Vec<Count<S>> = Vec::new();
    let mut key = Vec::new();
    for limit in conf.limits.iter().flatten() {
        let Some(declared) = limit.place.declared.get() else { continue };
        key.clear();
        declared.key.eval(session, &mut key);
        if key.is_empty() || !limits::fits(session, declared, &key, LONGEST) {
            continue;
        }
        status.0.set("PASSED");
        match count(declared, &key, limit.most) {
            Ok((record, resets)) => counts.push(Count { place: limit.place.clone(), record, resets }),
            Err(full) => {
                if !full {
                    let mark = if dry { ", dry run," } else { "" };
                    log_client!(session, conf.level(), "limiting connections{mark} by zone \"{}\"", limit.place.name);
                }
                give_back(counts);
                status.0.set(if dry { "REJECTED_DRY_RUN" } else { "REJECTED" });
                return if dry { Outcome::Declined } else { Outcome::Status(conf.status()) };
            }
        }
    }
    if !counts.is_empty() {
        session.on_end(move || give_back(counts));
    }
    Outcome::Declined
}

/// Counts one more. `Err(true)`: the zone is full; `Err(false)`: the limit is reached.
fn count<S>(declared: &Declared<S, Connections>, key: &[u8], most: u64) -> Result<(Record, u64), bool> {
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

fn give_back<S>(counts: Vec<Count<S>>) {
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
        let place = LimitZones::<Request, Connections>::default().place("z", conf::tree::Error::new("", conf::tree::Span::NONE));
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
