//! `upstream { }`: groups of servers with their pools of idle connections.

pub(crate) mod draft;
pub mod keepalive;
pub mod methods;
pub mod queue;
mod server;
pub mod sticky;
pub mod zone;

use crate::connection::Keepalive;
use crate::limits::default;
use crate::pools::Outside;
use crate::queue::Queue;
use crate::secure::plan::Plans;
use crate::sticky::Sticky;
use balance::{Balancing, Group, Server};
use base::log::{ErrorLog, Level};
use conf::context::{Arity, Context};
use conf::row::{Cx, Row};
use conf::scope::{Config, Frame};
use conf::tree::Error;
use draft::Draft;
use foldhash::HashMap;
use http::Complex;
use http::balancer::{Balancer, Custom};
use http::core::Core;
use http::module::{Levels, Module};
use http::resolving::{Resolving, log_trouble};
use http::root::MainContext;
use http::upstreams::{Directory, Named};
use net::address::SocketAddress;
use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use tls::files::Files;

/// The block and its servers.
pub const MODULE: Module = Module { rows, levels, complete, start, ..Module::named("upstream") };

/// A group at work in one worker.
pub struct Upstream {
    /// Its name, or the host of the URL that made it.
    pub name: Rc<str>,
    /// The same, with the port of a URL that says none.
    pub full_name: Rc<str>,
    /// Its servers.
    pub group: Rc<Group>,
    /// Its idle connections; `None` keeps none.
    pub keepalive: Option<Keepalive>,
    /// What `hash` hashes.
    pub key: Option<Complex>,
    /// `sticky`
    pub sticky: Option<Rc<Sticky>>,
    /// `queue`
    pub queue: Option<Queue>,
    /// Who chooses in its stead.
    pub balancer: Option<Rc<dyn Balancer>>,
    /// What the balancer has brought.
    pub outside: Outside,
    /// There is no server but those that the balancer names.
    pub is_empty: bool,
    /// How its names are resolved.
    pub resolving: Resolving,
}

impl Upstream {
    /// A group without a block: what a host in a URL stands for. It keeps no idle connections.
    #[must_use]
    pub fn implicit(name: &str, addresses: Vec<SocketAddress>) -> Rc<Upstream> {
        Rc::new(Upstream::of_addresses(name, addresses))
    }

    pub(crate) fn of_addresses(name: &str, addresses: Vec<SocketAddress>) -> Upstream {
        let servers = addresses.into_iter().map(Server::new).collect();
        Upstream::new(name, Group::new(servers, Balancing::RoundRobin))
    }

    fn new(name: &str, group: Group) -> Upstream {
        let name: Rc<str> = name.into();
        Upstream {
            full_name: name.clone(),
            name,
            group: Rc::new(group),
            keepalive: None,
            key: None,
            sticky: None,
            queue: None,
            balancer: None,
            outside: Outside::default(),
            is_empty: false,
            resolving: Resolving::default(),
        }
    }
}

/// All groups that blocks define.
#[derive(Default)]
pub struct Upstreams {
    /// As they were read, until `http` has been read whole.
    drafts: Vec<(Draft, Resolving)>,
    groups: HashMap<Box<[u8]>, Rc<Upstream>>,
    /// Hosts of fixed URLs, by name and port: URLs with variables find them as nginx does.
    hosts: RefCell<HashMap<(Box<[u8]>, u16), Rc<Upstream>>>,
    /// What other modules see of them.
    directory: Directory,
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

    /// What other modules see of the groups.
    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    /// All groups.
    pub fn all(&self) -> impl Iterator<Item = &Rc<Upstream>> {
        self.groups.values()
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

fn levels(levels: &mut Levels) {
    levels.main::<Upstreams>().main::<Plans>().main::<Directory>();
}

fn rows() -> Vec<Row> {
    vec![
        Row::new("upstream", Context::HTTP, Arity::exactly(1), "A group of servers.", upstream).with_block(),
        Row::new("server", Context::UPSTREAM, Arity::AtLeast(1), "A server of the group.", server::server),
    ]
}

fn upstream(cx: &mut Cx<'_>) -> Result<(), Error> {
    let name = cx.text(0).into_owned();
    if cx.main::<Upstreams>().drafts.iter().any(|(draft, _)| draft.name.eq_ignore_ascii_case(&name)) {
        return Err(cx.error(format!("duplicate upstream \"{name}\"")));
    }
    let frame = cx.frame.enter_server();
    {
        let mut draft = frame.server.get::<Draft>();
        (draft.name, draft.span) = (name, cx.directive.name.span);
    }
    cx.read_block(Context::UPSTREAM, &frame)?;
    let mut draft = frame.server.take::<Draft>();
    draft.balancer = frame.server.take::<Custom>().balancer;
    if draft.balancer.is_some() && draft.servers.is_empty() && draft.templates.is_empty() {
        draft.add(&Server::new(SocketAddress::Internet(NOWHERE)), [SocketAddress::Internet(NOWHERE)]);
        draft.is_empty = true;
    }
    if draft.servers.is_empty() && draft.templates.is_empty() {
        return Err(cx.error("no servers are inside upstream"));
    }
    let resolving = frame.location.take::<Resolving>();
    cx.main::<Upstreams>().drafts.push((draft, resolving));
    Ok(())
}

/// What a group is made of whose balancer names all servers.
const NOWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(0, 0, 0, 1)), 80);

/// Makes the groups. Zones and name servers may be said behind the blocks that need them.
fn complete(frame: &Frame) -> Result<(), Error> {
    let drafts = std::mem::take(&mut frame.main.get::<Upstreams>().drafts);
    frame.main.get::<Plans>().paths = frame.global.get::<MainContext>().paths.clone();
    frame.main.get::<Plans>().files = frame.global.get::<Rc<Files>>().clone();
    let mut outer = Resolving::default();
    outer.inherit(&frame.location.get::<Resolving>());
    let own = frame.location.get::<Core>().error_log.clone();
    let log = own.or_else(|| frame.global.get::<MainContext>().log.clone()).unwrap_or_else(|| ErrorLog::stderr(Level::Error));
    let directory = frame.main.get::<Directory>().clone();
    let mut zones = Vec::new();
    for (draft, mut resolving) in drafts {
        if let Some(own) = &resolving.resolver {
            log_trouble(own, &log);
        }
        resolving.inherit(&outer);
        if let Some(zone) = draft.zone.as_ref().filter(|zone| !zones.iter().any(|known| Rc::ptr_eq(known, *zone))) {
            zones.push(zone.clone());
        }
        let lines = draft.lines.as_slice().into();
        let made = build(draft, resolving)?;
        directory.add(Named { host: made.name.clone(), port: None, group: made.group.clone(), lines });
        frame.main.get::<Upstreams>().groups.insert(made.name.to_ascii_lowercase().into_bytes().into(), Rc::new(made));
    }
    frame.main.get::<Upstreams>().directory = directory;
    // Names come behind all servers with fixed addresses.
    let all = frame.main.get::<Upstreams>();
    for previous in zones.iter().filter_map(|zone| zone.previous.get()) {
        all.groups.values().for_each(|upstream| upstream.group.inherit(previous));
    }
    Ok(())
}

fn build(mut draft: Draft, resolving: Resolving) -> Result<Upstream, Error> {
    let name = std::mem::take(&mut draft.name);
    let error = |text: String| Error::new(text, draft.span);
    let primary = draft.servers.iter().chain(draft.templates.iter().map(|template| &template.server)).any(|server| !server.backup);
    if draft.zone.is_none() && !draft.templates.is_empty() {
        return Err(error(format!("resolving names at run time requires upstream \"{name}\" to be in shared memory")));
    }
    if !draft.templates.is_empty() && resolving.usable().is_none() {
        return Err(error(format!("no resolver defined to resolve names at run time in upstream \"{name}\"")));
    }
    if !primary {
        return Err(error(format!("no servers in upstream \"{name}\"")));
    }
    let balancing = draft.balancing.unwrap_or_default();
    let group = match &draft.zone {
        None => Group::new(draft.servers, balancing),
        Some(zone) => {
            let peers = zone.peers.get().ok_or_else(|| error(format!("zero size shared memory zone \"{}\"", zone.name)))?;
            let group = Group::shared(name.as_str().into(), draft.servers, draft.templates, peers, balancing);
            group.ok_or_else(|| error(format!("zone \"{}\" is too small for upstream \"{name}\"", zone.name)))?
        }
    };
    let (limit, local) = draft.keepalive.unwrap_or((default::KEEPALIVE, true));
    let keepalive = (limit > 0).then(|| {
        let requests = draft.requests.unwrap_or(default::KEEPALIVE_REQUESTS);
        let time = draft.time.unwrap_or(default::KEEPALIVE_TIME);
        Keepalive::new(limit, local, requests, time, draft.timeout.unwrap_or(default::KEEPALIVE_TIMEOUT))
    });
    let queue = draft.queue.map(|(limit, timeout)| Queue::new(limit, timeout));
    Ok(Upstream {
        keepalive,
        key: draft.key,
        sticky: draft.sticky,
        queue,
        balancer: draft.balancer,
        is_empty: draft.is_empty,
        resolving,
        ..Upstream::new(&name, group)
    })
}

/// A worker begins to count in the zones. One that exits keeps nobody waiting for its idle
/// connections.
fn start(worker: &Rc<http::Worker>) {
    let http = worker.http();
    let Some(all) = http.main.get::<Upstreams>() else { return };
    if worker.process().is_none_or(|place| !place.agent) {
        for zone in all.groups.values().filter_map(|upstream| upstream.group.zone()) {
            zone.start_worker(worker.number);
        }
    }
    worker.on_exiting(move || {
        let Some(all) = http.main.get::<Upstreams>() else { return };
        all.groups.values().filter_map(|u| u.keepalive.as_ref()).for_each(Keepalive::clear);
        all.groups.values().for_each(|u| u.outside.clear());
    });
}
