//! `health_check` and `match`: periodic health checks of a group's servers (nginx manual, `ngx_http_upstream_hc_module`).
//!
//! [`mod@test`] describes the expected response, [`probe`] makes one check, [`grpc`] uses gRPC's own health protocol. The schedule and the
//! consequences of checks are in `upstream::checks`.

pub mod grpc;
pub mod probe;
pub mod rows;
pub mod test;

use crate::route::Route;
use ::upstream::checks::{self, Checks, Schedule};
use ::upstream::named_tests::NamedTests;
use conf::scope::Config;
use conf::tree::SettingError;
use conf::tree::{Error, Span};
use http::core::Core;
use http::location::{Location, Locations, Match};
use http::module::{Attach, Levels, Module, Parts};
use std::cell::{OnceCell, RefCell};
use std::rc::Rc;
use test::Test;

/// The module.
pub const MODULE: Module = Module { rows: rows::rows, levels, attach, start, ..Module::named("upstream_hc") };

/// One `health_check`.
#[derive(Clone)]
pub(crate) struct HealthCheck {
    pub(crate) schedule: Schedule,
    /// `uri`
    pub(crate) uri: Option<Box<[u8]>>,
    /// `type=grpc`
    pub(crate) grpc: Option<grpc::HealthCheckRequest>,
    /// `keepalive_time`, milliseconds
    pub(crate) keepalive: u64,
    pub(crate) span: Span,
}

/// A location's checks, and its route to the upstream.
#[derive(Default)]
pub struct Checked {
    pub(crate) checks: Vec<HealthCheck>,
    /// Set when the location is built.
    pub(crate) route: OnceCell<Rc<Route>>,
}

impl Config for Checked {
    // Checks are those of their location's group.
    fn inherit(&mut self, _: &Self) {}
}

/// The `match` blocks by name.
pub(crate) type Tests = NamedTests<Test>;

/// A check of one location, ready to be made.
pub(crate) struct PreparedCheck {
    pub(crate) check: HealthCheck,
    pub(crate) test: Option<Rc<Test>>,
    pub(crate) route: Rc<Route>,
    pub(crate) location: Rc<Location>,
    pub(crate) number: u32,
}

/// All checks of a configuration.
#[derive(Default)]
pub(crate) struct LocationChecks(RefCell<Vec<Rc<PreparedCheck>>>);

impl Config for LocationChecks {
    fn inherit(&mut self, _: &Self) {}
}

fn levels(levels: &mut Levels) {
    levels.location::<Checked>().main::<Tests>().main::<LocationChecks>();
}

fn attach(at: &mut Attach<'_>) -> Result<(), Error> {
    let checked = at.conf::<Checked>();
    for check in &checked.checks {
        let error = |error: SettingError| Error::new(error, check.span);
        let route = checked.route.get().ok_or_else(|| error("health checks require a location that passes requests on".into()))?;
        if route.dialect.is_tunnel() || (check.grpc.is_some() && !route.dialect.has_health_service()) {
            let what = if check.grpc.is_some() { "\"type=grpc\" requires \"grpc_pass\"" } else { "\"tunnel_pass\" has no health checks" };
            return Err(error(what.into()));
        }
        let test = check.schedule.test.as_ref().map(|name| at.main_conf::<Tests>().find(name)).transpose().map_err(error)?;
        let upstream = route.pass.upstream.get().ok_or_else(|| error("health checks require an upstream without variables".into()))?;
        let number = checks::join(&upstream.name, &upstream.group, &check.schedule).map_err(error)?;
        let core = at.conf::<Core>();
        let location = Parts::default().into_location(at.name.into(), Match::Unnamed, core, at.conf.clone(), Locations::default());
        let ready = PreparedCheck { check: check.clone(), test, route: route.clone(), location: Rc::new(location), number };
        at.main_conf::<LocationChecks>().0.borrow_mut().push(Rc::new(ready));
    }
    Ok(())
}

/// Has the worker make the checks, whenever they are its own.
fn start(worker: &Rc<http::Worker>) {
    let http = worker.http();
    let (Some(all), Some(server)) = (http.main.get::<LocationChecks>(), http.servers.first()) else { return };
    for ready in all.0.borrow().iter() {
        let Some(upstream) = ready.route.pass.upstream.get() else { continue };
        let log = ready.location.core.error_log.clone().unwrap_or_else(|| worker.log.clone());
        let probe = Rc::new(probe::HttpProbe::new(worker, &http, server, ready, upstream));
        let schedule = ready.check.schedule.clone();
        Checks::new(upstream.name.clone(), upstream.group.clone(), schedule, ready.number, log, probe).start(&worker.common);
    }
}
