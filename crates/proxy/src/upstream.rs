//! Groups of HTTP's upstream servers with their pools of idle connections.

pub mod keepalive;
pub mod queue;
pub mod sticky;

use crate::connection::Keepalive;
use crate::limits::default;
use crate::pools::BalancerPools;
use crate::queue::Queue;
use crate::secure::Plans;
use crate::sticky::Sticky;
use ::upstream::directory::Directory;
use ::upstream::protocol::{Part, Protocol};
use ::upstream::{builder, group, methods, resolve, zone};
use balance::Measure;
use base::log::ErrorLog;
use conf::context::Context;
use conf::row::Cx;
use conf::scope::Frame;
use http::Request;
use http::core::Core;
use http::module::{Levels, Module};
use std::cell::RefMut;
use std::rc::Rc;

/// The block and its servers.
pub const MODULE: Module =
    Module { rows: group::rows::<HttpProtocol>, levels, complete: group::complete::<HttpProtocol>, start, ..Module::named("upstream") };
/// `zone`
pub const ZONE: Module = Module { rows: zone::rows::<HttpProtocol>, ..Module::named("upstream_zone") };
/// `hash`
pub const HASH: Module = Module { rows: methods::hash_rows::<HttpProtocol>, ..Module::named("upstream_hash") };
/// `ip_hash`
pub const IP_HASH: Module = Module { rows: methods::ip_hash_rows::<HttpProtocol>, ..Module::named("upstream_ip_hash") };
/// `least_conn`
pub const LEAST_CONN: Module = Module { rows: methods::least_conn_rows::<HttpProtocol>, ..Module::named("upstream_least_conn") };
/// `least_time`
pub const LEAST_TIME: Module = Module { rows: methods::least_time_rows::<HttpProtocol>, ..Module::named("upstream_least_time") };
/// `random`
pub const RANDOM: Module = Module { rows: methods::random_rows::<HttpProtocol>, ..Module::named("upstream_random") };
/// Names that are followed while requests run.
pub const FOLLOWING: Module = Module { start: follow, ..Module::named("upstream_resolve") };

/// A group of HTTP's.
pub type Upstream = group::Upstream<HttpProtocol>;
/// All groups of HTTP's.
pub type Upstreams = group::Upstreams<HttpProtocol>;

/// HTTP, as groups see it.
pub enum HttpProtocol {}

/// What only HTTP's blocks say.
#[derive(Default)]
pub struct HttpGroupConf {
    pub(crate) sticky: Option<Rc<Sticky>>,
    /// Length and time.
    pub(crate) queue: Option<(usize, u64)>,
    pub(crate) keepalive: Option<(usize, bool)>,
    pub(crate) requests: Option<u64>,
    pub(crate) time: Option<u64>,
    pub(crate) timeout: Option<u64>,
}

/// What only HTTP's groups have.
#[derive(Default)]
pub struct HttpGroup {
    /// Idle connections; `None` keeps none.
    pub keepalive: Option<Keepalive>,
    /// `sticky`
    pub sticky: Option<Rc<Sticky>>,
    /// `queue`
    pub queue: Option<Queue>,
    /// What the balancer has brought.
    pub outside: BalancerPools,
}

impl Part for HttpGroupConf {
    fn yields_to_method(&mut self) -> bool {
        self.sticky.take().is_some()
    }
}

impl Protocol for HttpProtocol {
    type Session = Request;
    type Part = HttpGroupConf;
    type Own = HttpGroup;

    const OUTSIDE: Context = Context::HTTP;
    const INSIDE: Context = Context::UPSTREAM;
    const PORT: Option<u16> = Some(80);
    const OWNER: &'static str = balance::shared::OWNER;
    const HAS_BOUND_CLIENTS: bool = true;
    const MEASURES: &'static [(&'static str, Measure)] = &[("header", Measure::Header), ("last_byte", Measure::LastByte)];
    const BETTER: &'static [(&'static str, Option<Measure>)] =
        &[("least_conn", None), ("least_time=header", Some(Measure::Header)), ("least_time=last_byte", Some(Measure::LastByte))];

    fn own(conf: HttpGroupConf) -> HttpGroup {
        let (limit, local) = conf.keepalive.unwrap_or((default::KEEPALIVE, true));
        let keepalive = (limit > 0).then(|| {
            let requests = conf.requests.unwrap_or(default::KEEPALIVE_REQUESTS);
            let time = conf.time.unwrap_or(default::KEEPALIVE_TIME);
            Keepalive::new(limit, local, requests, time, conf.timeout.unwrap_or(default::KEEPALIVE_TIMEOUT))
        });
        let queue = conf.queue.map(|(limit, timeout)| Queue::new(limit, timeout));
        HttpGroup { keepalive, sticky: conf.sticky, queue, outside: BalancerPools::default() }
    }

    fn error_log(frame: &Frame) -> Option<ErrorLog> {
        frame.location.get::<Core>().error_log.clone()
    }
}

/// HTTP's part of the block that is being read.
pub(crate) fn part<'a>(cx: &Cx<'a>) -> RefMut<'a, HttpGroupConf> {
    RefMut::map(builder::builder::<HttpProtocol>(cx), |builder| &mut builder.part)
}

fn levels(levels: &mut Levels) {
    levels.main::<Upstreams>().main::<Plans>().main::<Directory>();
}

/// A worker that exits does not wait for its idle connections.
fn start(worker: &Rc<http::Worker>) {
    let http = worker.http();
    let Some(all) = http.main.get::<Upstreams>() else { return };
    all.start(worker);
    worker.on_exiting(move || {
        let Some(all) = http.main.get::<Upstreams>() else { return };
        all.all().filter_map(|u| u.own.keepalive.as_ref()).for_each(Keepalive::clear);
        all.all().for_each(|u| u.own.outside.clear());
    });
}

fn follow(worker: &Rc<http::Worker>) {
    let http = worker.http();
    let Some(all) = http.main.get::<Upstreams>() else { return };
    resolve::start(&worker.common, all);
}
