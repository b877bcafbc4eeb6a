//! `health_check` and `match` in `stream`: servers of a group are asked regularly whether they are well (nginx manual,
//! `ngx_stream_upstream_hc_module`). When they are asked and what follows is `upstream::checks`.

pub mod probe;
pub mod test;

use crate::groups::Upstream;
use crate::settings::Plan;
use conf::context::{Arity, Context};
use conf::row::{Cx, Row};
use conf::scope::Config;
use conf::tree::SettingError;
use conf::tree::{Error, Span};
use probe::Prober;
use std::cell::{Cell, OnceCell};
use std::rc::Rc;
use stream::{Attach, Levels, Module, Worker};
use test::Test;
use upstream::checks::{self, Checks, Schedule};
use upstream::named_tests::NamedTests;

/// The module.
pub const MODULE: Module = Module { rows, levels, attach, start, ..Module::named("upstream_hc") };

/// Time for the data of a check, unless `health_check_timeout` says another, milliseconds.
const TIMEOUT_MS: u64 = 5000;

/// One `health_check`.
#[derive(Clone)]
struct HealthCheck {
    schedule: Schedule,
    /// `udp`
    udp: bool,
    span: Span,
    /// Its number among the checks of the group, and its test; set when the server is built.
    number: Cell<u32>,
    test: OnceCell<Rc<Test>>,
}

/// A server's checks, and its route to the upstream.
#[derive(Default)]
pub struct Checked {
    checks: Vec<HealthCheck>,
    /// Set when the server is built.
    pub(crate) plan: OnceCell<Rc<Plan>>,
}

impl Config for Checked {
    // Checks are those of their server's group.
    fn inherit(&mut self, _: &Self) {}
}

#[derive(Default)]
struct Timeout(Option<u64>);

impl Config for Timeout {
    fn inherit(&mut self, parent: &Self) {
        self.0 = self.0.or(parent.0);
    }
}

/// The `match` blocks by name.
type Tests = NamedTests<Test>;

fn rows() -> Vec<Row> {
    let both = Context::STREAM.union(Context::STREAM_SERVER);
    vec![
        Row::new(
            "health_check",
            Context::STREAM_SERVER,
            Arity::AtLeast(0),
            "The server's upstream servers are asked regularly.",
            health_check,
        ),
        Row::new("health_check_timeout", both, Arity::exactly(1), "How long a health check waits for data.", |cx| {
            let time = cx.time_ms(0)?;
            cx.once(&mut cx.location::<Timeout>().0, time)
        }),
        Row::new("match", Context::STREAM, Arity::exactly(1), "What a healthy server responds to a health check with.", |cx| {
            Tests::read(cx, test::read)
        })
        .with_block(),
    ]
}

fn levels(levels: &mut Levels) {
    levels.location::<Checked>().location::<Timeout>().main::<Tests>();
}

fn health_check(cx: &mut Cx<'_>) -> Result<(), Error> {
    let span = cx.directive.name.span;
    let mut check = HealthCheck { schedule: Schedule::default(), udp: false, span, number: Cell::new(0), test: OnceCell::new() };
    for i in 0..cx.args().len() {
        match cx.arg(i) {
            b"udp" => check.udp = true,
            _ if check.schedule.read(cx, i)? => {}
            _ => return Err(cx.invalid_parameter(i)),
        }
    }
    cx.location::<Checked>().checks.push(check);
    Ok(())
}

fn upstream(plan: &Plan) -> Option<&Rc<Upstream>> {
    plan.pass.fixed()
}

fn attach(at: &mut Attach<'_>) -> Result<(), Error> {
    let checked = at.conf::<Checked>();
    for check in &checked.checks {
        let error = |error: SettingError| Error::new(error, check.span);
        let plan = checked.plan.get().ok_or_else(|| error("health checks require a server that passes sessions on".into()))?;
        let upstream = upstream(plan).ok_or_else(|| error("health checks require an upstream without variables".into()))?;
        if let Some(name) = &check.schedule.test {
            // It is set once, here.
            let _ = check.test.set(at.main_conf::<Tests>().find(name).map_err(error)?);
        }
        check.number.set(checks::join(&upstream.name, &upstream.group, &check.schedule).map_err(error)?);
    }
    Ok(())
}

/// Has the worker make the checks, whenever they are its own.
fn start(worker: &Rc<Worker>) {
    let configuration = worker.configuration();
    for server in &configuration.servers {
        let (checked, timeout) = (server.conf::<Checked>(), server.conf::<Timeout>().0.unwrap_or(TIMEOUT_MS));
        let Some(plan) = checked.plan.get() else { continue };
        let Some(upstream) = upstream(plan) else { continue };
        for check in &checked.checks {
            let log = server.core.error_log.clone().unwrap_or_else(|| worker.log.clone());
            let asker = Prober {
                worker: worker.clone(),
                configuration: configuration.clone(),
                server: server.clone(),
                plan: plan.clone(),
                upstream: upstream.clone(),
                udp: check.udp,
                timeout,
                test: check.test.get().cloned(),
            };
            let probe = Rc::new(probe::Stream(Rc::new(asker)));
            let (name, group) = (upstream.name.clone(), upstream.group.clone());
            Checks::new(name, group, check.schedule.clone(), check.number.get(), log, probe).start(&worker.common);
        }
    }
}
