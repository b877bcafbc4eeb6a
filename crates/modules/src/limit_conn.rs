//! `limit_conn`: how many requests with one key may be in progress.

use crate::limits::{self, Declared, LimitZone, LimitZones, Status, Verdict};
use base::text;
use conf::context::Arity;
use conf::row::{Cx, Row};
use conf::scope::Frame;
use conf::tree::Error;
use http::{Module, Request};
use session::{Configured, Join, Levels, Outcome, Step, Variables, log_client};
use shm::{Record, Table};
use std::rc::Rc;

/// The longest key that counts, bytes.
const LONGEST: usize = 255;

/// The module.
pub const MODULE: Module = Module {
    rows: http_rows,
    levels: levels::<Request>,
    variables: variables::<Request>,
    complete: complete::<Request>,
    attach: |at| attach::<Request>(at),
    ..Module::named("limit_conn")
};

/// The module of streams.
pub const STREAM: stream::Module = stream::Module {
    rows: rows::<stream::Session>,
    levels: levels::<stream::Session>,
    variables: variables::<stream::Session>,
    complete: complete::<stream::Session>,
    attach: |at| attach::<stream::Session>(at),
    ..stream::Module::named("limit_conn")
};

/// Tells the zones of this limit from others.
struct Connections;

struct Limit<S> {
    zone: Rc<LimitZone<S, Connections>>,
    most: u64,
}

impl<S> Clone for Limit<S> {
    fn clone(&self) -> Self {
        Limit { zone: self.zone.clone(), most: self.most }
    }
}

type Conf<S> = limits::Conf<Limit<S>>;

fn levels<S: Configured>(levels: &mut Levels) {
    levels.location::<Conf<S>>();
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
            let kind = if S::OUTERMOST == Request::OUTERMOST { &limits::CONNECTIONS } else { &limits::STREAM_CONNECTIONS };
            limits::declare::<S, _>(cx, (kind, "limit_conn_zone"), zone, Connections)
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
    if limits.iter().any(|l| Rc::ptr_eq(&l.zone, &place)) {
        return Err(cx.duplicate());
    }
    limits.push(Limit { zone: place, most });
    Ok(())
}

fn attach<S: Configured>(at: &mut impl Join<S>) -> Result<(), Error> {
    let conf = at.conf::<Conf<S>>();
    if conf.limits.as_ref().is_some_and(|l| !l.is_empty()) {
        at.preaccess(move |session| Step::Now(handle(&**session, &conf)));
    }
    Ok(())
}

/// One count that must be given back.
struct Count<S> {
    zone: Rc<LimitZone<S, Connections>>,
    record: Record,
    resets: u64,
}

fn handle<S: Configured>(session: &S, conf: &Conf<S>) -> Outcome {
    let status = session.session_context::<Status<Limit<S>>>();
    if !status.0.get().is_empty() {
        return Outcome::Declined;
    }
    let dry = conf.is_dry();
    let mut counts: Vec<Count<S>> = Vec::new();
    let mut key = Vec::new();
    for limit in conf.limits.iter().flatten() {
        let Some(declared) = limit.zone.declared.get() else { continue };
        key.clear();
        declared.key.eval(session, &mut key);
        if key.is_empty() || !limits::fits(session, declared, &key, LONGEST) {
            continue;
        }
        status.0.set(Verdict::Passed.name());
        match count(declared, &key, limit.most) {
            Ok((record, resets)) => counts.push(Count { zone: limit.zone.clone(), record, resets }),
            Err(full) => {
                if !full {
                    let mark = if dry { ", dry run," } else { "" };
                    log_client!(session, conf.level(), "limiting connections{mark} by zone \"{}\"", limit.zone.name);
                }
                give_back(counts);
                let verdict = Verdict::refused(dry);
                declared.count(verdict);
                status.0.set(verdict.name());
                return if dry { Outcome::Declined } else { Outcome::Status(conf.status()) };
            }
        }
    }
    for declared in counts.iter().filter_map(|count| count.zone.declared.get()) {
        declared.count(Verdict::Passed);
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
        let Some(declared) = count.zone.declared.get() else { continue };
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
    use crate::bare_tests::{Bare, Setup};
    use session::Client;

    fn setup(text: &str) -> Result<Setup, String> {
        Setup::read(text, rows::<Bare>(), |configs| configs.register::<Conf<Bare>>())
    }

    fn connect(client: &Bare) -> (Outcome, Option<String>) {
        let outcome = handle(client, &client.conf());
        let mut status = Variables::<Bare>::default();
        variables(&mut status);
        let mut out = Vec::new();
        let found = session::variable::by_name::get_named(client, &status.look_up("limit_conn_status"), &mut out);
        (outcome, found.then(|| String::from_utf8(out).unwrap()))
    }

    #[test]
    fn counts_go_up_and_down() {
        let setup = setup("limit_conn_zone $addr zone=z:64k; limit_conn z 1;").unwrap();
        complete::<Bare>(setup.frame()).unwrap();
        let clients = ["10.0.0.1", "10.0.0.1", "10.0.0.2"].map(|address| setup.client(address, None));
        let passed = (Outcome::Declined, Some("PASSED".to_owned()));
        assert_eq!(connect(&clients[0]), passed);
        assert_eq!(connect(&clients[1]), (Outcome::Status(503), Some("REJECTED".to_owned())));
        assert_eq!(*clients[1].lines.borrow(), ["limiting connections by zone \"z\""]);
        assert_eq!(connect(&clients[2]), passed);
        clients[0].end();
        let next = setup.client("10.0.0.1", None);
        assert_eq!(connect(&next), passed);
        clients[2].end();
        next.end();
        let place = setup.frame().main.get::<LimitZones<Bare, Connections>>().place("z", Error::new("", conf::tree::Span::NONE));
        let g = place.declared.get().unwrap().zone.lock();
        assert!(Table::open(&g).unwrap().is_empty(&g));
    }

    #[test]
    fn a_dry_run_refuses_nobody() {
        let setup = setup("limit_conn_zone $addr zone=z:64k; limit_conn z 1; limit_conn_dry_run on;").unwrap();
        let clients = [(); 2].map(|()| setup.client("10.0.0.1", None));
        connect(&clients[0]);
        assert_eq!(connect(&clients[1]), (Outcome::Declined, Some("REJECTED_DRY_RUN".to_owned())));
        assert_eq!(*clients[1].lines.borrow(), ["limiting connections, dry run, by zone \"z\""]);
    }

    #[test]
    fn a_log_level_below_the_logs_writes_nothing() {
        let setup = setup("limit_conn_zone $addr zone=z:64k; limit_conn z 1; limit_conn_log_level info;").unwrap();
        let clients = [(); 2].map(|()| setup.client("10.0.0.1", None));
        connect(&clients[0]);
        assert_eq!(connect(&clients[1]).0, Outcome::Status(503));
        assert!(!clients[1].log_enabled(base::log::Level::Info) && clients[1].lines.borrow().is_empty());
    }

    #[test]
    fn what_is_refused() {
        let table = [
            ("limit_conn_zone $addr zone=z;", "invalid zone size \"zone=z\""),
            ("limit_conn_zone $addr zone=z:1k;", "zone \"zone=z:1k\" is too small"),
            ("limit_conn_zone $addr z:1m;", "invalid parameter \"z:1m\""),
            ("limit_conn z 0;", "invalid number of connections \"0\""),
            ("limit_conn z 65536;", "connection limit must be less 65536"),
            ("limit_conn z 1; limit_conn z 2;", "\"limit_conn\" directive is duplicate"),
            ("limit_conn_log_level debug;", "invalid value \"debug\""),
        ];
        for (text, expected) in table {
            assert_eq!(setup(text).err().unwrap_or_default(), expected, "{text}");
        }
        let undeclared = setup("limit_conn z 1;").unwrap();
        assert_eq!(complete::<Bare>(undeclared.frame()).unwrap_err().message, "zero size shared memory zone \"z\"");
    }
}
