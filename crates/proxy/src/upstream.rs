//! `upstream { }`: groups of servers with their pools of idle connections.

use crate::connection::Keepalive;
use crate::limits::default;
use crate::url;
use balance::{Group, Policy, Server};
use conf::context::{Arity, Context};
use conf::row::{Cx, Row};
use conf::scope::Config;
use conf::tree::Error;
use http::module::{Levels, Module};
use net::address::Address;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

/// The block and its servers.
pub const MODULE: Module = Module { rows, levels, start, ..Module::named("upstream") };
/// `keepalive` and its companions.
pub const KEEPALIVE: Module = Module { rows: keepalive_rows, ..Module::named("upstream_keepalive") };
/// `least_conn`
pub const LEAST_CONN: Module = Module { rows: least_conn_rows, ..Module::named("upstream_least_conn") };
/// `ip_hash`
pub const IP_HASH: Module = Module { rows: ip_hash_rows, ..Module::named("upstream_ip_hash") };

/// A group at work in one worker.
#[derive(Debug)]
pub struct Upstream {
    /// Its name, or the host of the URL that made it.
    pub name: Rc<str>,
    /// Its servers.
    pub group: Group,
    /// Its idle connections; `None` keeps none.
    pub keepalive: Option<Keepalive>,
}

impl Upstream {
    /// A group without a block: what a host in a URL stands for. It keeps no idle connections.
    #[must_use]
    pub fn implicit(name: &str, addresses: Vec<Address>) -> Rc<Upstream> {
        let servers = addresses.into_iter().map(Server::new).collect();
        Rc::new(Upstream { name: name.into(), group: Group::new(servers, Policy::RoundRobin), keepalive: None })
    }
}

/// All groups that blocks define.
#[derive(Default)]
pub struct Upstreams {
    groups: HashMap<Box<[u8]>, Rc<Upstream>>,
    /// Hosts of fixed URLs, by name and port: URLs with variables find them as nginx does.
    hosts: RefCell<HashMap<(Box<[u8]>, u16), Rc<Upstream>>>,
}

impl Config for Upstreams {
    fn inherit(&mut self, _: &Self) {}
}

impl Upstreams {
    /// The group called `name`; case does not matter, as in host names.
    #[must_use]
    pub fn find(&self, name: &[u8]) -> Option<&Rc<Upstream>> {
        self.groups.get(name).or_else(|| self.groups.get(&*name.to_ascii_lowercase()))
    }

    /// The host of a fixed URL.
    #[must_use]
    pub fn host(&self, name: &[u8], port: u16) -> Option<Rc<Upstream>> {
        self.hosts.borrow().get(&(name.to_ascii_lowercase().into(), port)).cloned()
    }

    /// Remembers the host of a fixed URL.
    pub fn add_host(&self, name: &[u8], port: u16, upstream: &Rc<Upstream>) {
        self.hosts.borrow_mut().insert((name.to_ascii_lowercase().into(), port), upstream.clone());
    }
}

/// A block while it is read.
#[derive(Default)]
struct Draft {
    servers: Vec<Server>,
    policy: Option<Policy>,
    keepalive: Option<(usize, bool)>,
    requests: Option<u64>,
    time: Option<u64>,
    timeout: Option<u64>,
}

fn levels(levels: &mut Levels) {
    levels.main::<Upstreams>();
}

/// A worker that exits keeps nobody waiting for its idle connections.
fn start(worker: &Rc<http::Worker>) {
    let http = worker.http();
    worker.on_exiting(move || {
        let Some(all) = http.main.get::<Upstreams>() else { return };
        all.groups.values().filter_map(|u| u.keepalive.as_ref()).for_each(Keepalive::clear);
    });
}

const HERE: Context = Context::UPSTREAM;

fn rows() -> Vec<Row> {
    let mut rows = vec![
        Row::new("upstream", Context::HTTP, Arity::exactly(1), "A group of servers.", upstream).with_block(),
        Row::new("server", HERE, Arity::AtLeast(1), "A server of the group.", server),
    ];
    for name in ["zone", "hash", "random", "least_time", "sticky"] {
        rows.push(Row::new(name, HERE, Arity::AtLeast(0), "Not supported yet.", |cx| {
            Err(cx.error(format!("\"{}\" directive is not supported yet", cx.name())))
        }));
    }
    rows
}

fn least_conn_rows() -> Vec<Row> {
    vec![Row::new("least_conn", HERE, Arity::exactly(0), "The server with the fewest requests is next.", |cx| {
        policy(cx, Policy::LeastConnections)
    })]
}

fn ip_hash_rows() -> Vec<Row> {
    vec![Row::new("ip_hash", HERE, Arity::exactly(0), "A client's network chooses the server.", |cx| policy(cx, Policy::IpHash))]
}

fn keepalive_rows() -> Vec<Row> {
    vec![
        Row::new("keepalive", HERE, Arity::Between(1, 2), "Idle connections kept per worker.", keepalive),
        Row::new("keepalive_requests", HERE, Arity::exactly(1), "Requests of one connection.", |cx| {
            let value = cx.number(0)?;
            cx.once(&mut draft(cx).requests, value)
        }),
        Row::new("keepalive_time", HERE, Arity::exactly(1), "How long a connection may live.", |cx| {
            let value = cx.time_ms(0)?;
            cx.once(&mut draft(cx).time, value)
        }),
        Row::new("keepalive_timeout", HERE, Arity::exactly(1), "How long a connection may be idle.", |cx| {
            let value = cx.time_ms(0)?;
            cx.once(&mut draft(cx).timeout, value)
        }),
    ]
}

fn draft<'a>(cx: &Cx<'a>) -> std::cell::RefMut<'a, Draft> {
    cx.frame.server.get::<Draft>()
}

fn policy(cx: &mut Cx<'_>, policy: Policy) -> Result<(), Error> {
    let mut draft = draft(cx);
    if draft.policy.is_some() {
        return Err(cx.error("load balancing method redefined"));
    }
    if policy == Policy::IpHash && draft.servers.iter().any(|s| s.backup) {
        return Err(cx.error("balancing method does not support parameter \"backup\""));
    }
    draft.policy = Some(policy);
    Ok(())
}

fn upstream(cx: &mut Cx<'_>) -> Result<(), Error> {
    let name = cx.arg(0).to_ascii_lowercase();
    if cx.main::<Upstreams>().groups.contains_key(&*name) {
        return Err(cx.error(format!("duplicate upstream \"{}\"", cx.text(0))));
    }
    let frame = cx.frame.enter_server();
    cx.read_block(Context::UPSTREAM, &frame)?;
    let draft = frame.server.take::<Draft>();
    if draft.servers.is_empty() {
        return Err(cx.error("no servers are inside upstream"));
    }
    let policy = draft.policy.unwrap_or_default();
    if draft.servers.iter().all(|s| s.backup) {
        return Err(cx.error(format!("no servers in upstream \"{}\"", cx.text(0))));
    }
    let (limit, local) = draft.keepalive.unwrap_or((default::KEEPALIVE, true));
    let keepalive = (limit > 0).then(|| {
        let requests = draft.requests.unwrap_or(default::KEEPALIVE_REQUESTS);
        let time = draft.time.unwrap_or(default::KEEPALIVE_TIME);
        Keepalive::new(limit, local, requests, time, draft.timeout.unwrap_or(default::KEEPALIVE_TIMEOUT))
    });
    let made = Upstream { name: cx.text(0).as_ref().into(), group: Group::new(draft.servers, policy), keepalive };
    cx.main::<Upstreams>().groups.insert(name.into(), Rc::new(made));
    Ok(())
}

fn keepalive(cx: &mut Cx<'_>) -> Result<(), Error> {
    let limit = cx.number(0).map_err(|_| cx.error_at(0, format!("invalid value \"{}\" in \"keepalive\" directive", cx.text(0))))?;
    let local = match cx.args().len() {
        1 => false,
        _ if cx.arg(1) == b"local" => true,
        _ => return Err(cx.invalid_parameter(1)),
    };
    cx.once(&mut draft(cx).keepalive, (usize::try_from(limit).unwrap_or(usize::MAX), local))
}

fn server(cx: &mut Cx<'_>) -> Result<(), Error> {
    let mut shape = Server::new(Address::Unix(Default::default()));
    for i in 1..cx.args().len() {
        parameter(cx, i, &mut shape)?;
    }
    if shape.backup && draft(cx).policy == Some(Policy::IpHash) {
        return Err(cx.error("balancing method does not support parameter \"backup\""));
    }
    let addresses = url::resolve(cx.arg(0), 80).map_err(|text| cx.error_at(0, text))?;
    let mut draft = draft(cx);
    for address in addresses {
        let name = address.to_string().into();
        draft.servers.push(Server { address, name, ..shape.clone() });
    }
    Ok(())
}

fn parameter(cx: &Cx<'_>, i: usize, server: &mut Server) -> Result<(), Error> {
    let word = cx.arg(i);
    let (name, value) = match memchr::memchr(b'=', word) {
        Some(at) => (word.get(..at).unwrap_or_default(), word.get(at + 1..).unwrap_or_default()),
        None => (word, &[][..]),
    };
    let number = || base::text::parse_number(value).ok_or_else(|| cx.invalid_parameter(i));
    match name {
        b"weight" => {
            server.weight = i64::try_from(number()?).ok().filter(|w| (1..=1_000_000).contains(w)).ok_or_else(|| cx.invalid_parameter(i))?;
        }
        b"max_fails" => server.max_fails = number()?,
        b"max_conns" => server.max_conns = number()?,
        b"fail_timeout" => {
            let seconds = base::text::parse_time_sec(value).ok_or_else(|| cx.invalid_parameter(i))?;
            server.fail_timeout = i64::try_from(seconds).map_err(|_| cx.invalid_parameter(i))?;
        }
        b"backup" if word == b"backup" => server.backup = true,
        b"down" if word == b"down" => server.down = true,
        b"resolve" | b"service" | b"route" | b"slow_start" | b"drain" => {
            return Err(cx.error_at(i, format!("parameter \"{}\" is not supported yet", cx.text(i))));
        }
        _ => return Err(cx.invalid_parameter(i)),
    }
    Ok(())
}
