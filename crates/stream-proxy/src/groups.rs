//! Groups of upstream servers in `stream`.

use balance::Measure;
use base::log::ErrorLog;
use conf::context::Context;
use conf::scope::Frame;
use std::rc::Rc;
use stream::{Core, Levels, Module, Session, Worker};
use upstream::directory::Directory;
use upstream::named::NamedServers;
use upstream::protocol::Protocol;
use upstream::secure::plan;
use upstream::{group, methods, resolve, zone};

/// The block and its servers.
pub const MODULE: Module =
    Module { rows: group::rows::<StreamProtocol>, levels, complete: group::complete::<StreamProtocol>, start, ..Module::named("upstream") };
/// `zone`
pub const ZONE: Module = Module { rows: zone::rows::<StreamProtocol>, ..Module::named("upstream_zone") };
/// `hash`
pub const HASH: Module = Module { rows: methods::hash_rows::<StreamProtocol>, ..Module::named("upstream_hash") };
/// `least_conn`
pub const LEAST_CONN: Module = Module { rows: methods::least_conn_rows::<StreamProtocol>, ..Module::named("upstream_least_conn") };
/// `least_time`
pub const LEAST_TIME: Module = Module { rows: methods::least_time_rows::<StreamProtocol>, ..Module::named("upstream_least_time") };
/// `random`
pub const RANDOM: Module = Module { rows: methods::random_rows::<StreamProtocol>, ..Module::named("upstream_random") };

/// A group of `stream`.
pub type Upstream = group::Upstream<StreamProtocol>;
/// All groups of `stream`.
pub type Upstreams = group::Upstreams<StreamProtocol>;
/// The plans for TLS to upstream servers.
pub type Plans = plan::Plans<Session>;
/// A server's way to speak TLS with its upstream.
pub type Secured = plan::Secured<Session>;

/// `stream`, as groups see it.
pub enum StreamProtocol {}

impl Protocol for StreamProtocol {
    type Session = Session;
    type Part = ();
    type Own = NamedServers;

    const OUTSIDE: Context = Context::STREAM;
    const INSIDE: Context = Context::STREAM_UPSTREAM;
    const PORT: Option<u16> = None;
    const OWNER: &'static str = "stream_upstream";
    const HAS_BOUND_CLIENTS: bool = false;
    const MEASURES: &'static [(&'static str, Measure)] =
        &[("connect", Measure::Connect), ("first_byte", Measure::Header), ("last_byte", Measure::LastByte)];
    const BETTER: &'static [(&'static str, Option<Measure>)] = &[("least_conn", None)];

    fn own((): ()) -> NamedServers {
        NamedServers::default()
    }

    fn error_log(frame: &Frame) -> Option<ErrorLog> {
        frame.location.get::<Core>().error_log.clone()
    }
}

fn levels(levels: &mut Levels) {
    levels.main::<Upstreams>().main::<Plans>().main::<Directory>();
}

fn start(worker: &Rc<Worker>) {
    let configuration = worker.configuration();
    let Some(all) = configuration.main.get::<Upstreams>() else { return };
    all.start(worker);
    resolve::start(&worker.common, all);
}
