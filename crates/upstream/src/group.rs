//! `upstream { }`: groups of servers.

use crate::balancer::{Balancer, CustomBalancer};
use crate::builder::GroupBuilder;
use crate::directory::{Directory, Named};
use crate::protocol::Protocol;
use crate::secure::plan::Plans;
use crate::server;
use crate::terms::GroupConstraints;
use balance::{Balancing, Group, Server};
use base::log::{ErrorLog, Level};
use conf::context::Arity;
use conf::row::{Cx, Row};
use conf::scope::{Config, Frame};
use conf::tree::Error;
use foldhash::HashMap;
use net::address::SocketAddress;
use resolver::settings::{Resolving, log_trouble};
use session::paths::MainContext;
use session::{Complex, Worker};
use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use tls::files::Files;

/// A group at work in one worker.
pub struct Upstream<P: Protocol> {
    /// Its name, or the host of the URL that made it.
    pub name: Rc<str>,
    /// The same, with the port of a URL that says none.
    pub full_name: Rc<str>,
    /// Its servers.
    pub group: Rc<Group>,
    /// What `hash` hashes.
    pub key: Option<Complex<P::Session>>,
    /// Its external balancer.
    pub balancer: Option<Rc<dyn Balancer<P::Session>>>,
    /// There is no server but those that the balancer names.
    pub is_empty: bool,
    /// How its names are resolved.
    pub resolving: Resolving,
    /// What only this protocol's groups have.
    pub own: P::Own,
}

impl<P: Protocol> Upstream<P> {
    /// A group without a block: what a host in a URL stands for.
    #[must_use]
    pub fn implicit(name: &str, addresses: Vec<SocketAddress>) -> Rc<Upstream<P>> {
        Rc::new(Upstream::of_addresses(name, addresses))
    }

    /// As [`Upstream::implicit`], before it is shared.
    #[must_use]
    pub(crate) fn of_addresses(name: &str, addresses: Vec<SocketAddress>) -> Upstream<P> {
        let servers = addresses.into_iter().map(Server::new).collect();
        Upstream::new(name, Group::new(servers, Balancing::RoundRobin))
    }

    fn new(name: &str, group: Group) -> Upstream<P> {
        let name: Rc<str> = name.into();
        Upstream {
            full_name: name.clone(),
            name,
            group: Rc::new(group),
            key: None,
            balancer: None,
            is_empty: false,
            resolving: Resolving::default(),
            own: P::Own::default(),
        }
    }
}

/// All groups that blocks define.
pub struct Upstreams<P: Protocol> {
    /// As they were read, until the outer block has been read whole.
    builders: Vec<(GroupBuilder<P>, Resolving)>,
    groups: HashMap<Box<[u8]>, Rc<Upstream<P>>>,
    /// Hosts of fixed URLs, by name and port: URLs with variables find them as nginx does.
    hosts: RefCell<HashMap<(Box<[u8]>, u16), Rc<Upstream<P>>>>,
    /// What other modules see of them.
    directory: Directory,
}

impl<P: Protocol> Default for Upstreams<P> {
    fn default() -> Self {
        Upstreams { builders: Vec::new(), groups: HashMap::default(), hosts: RefCell::default(), directory: Directory::default() }
    }
}

impl<P: Protocol> Config for Upstreams<P> {
    fn inherit(&mut self, _: &Self) {}
}

impl<P: Protocol> Upstreams<P> {
    /// The group called `name`; case does not matter, as in host names.
    #[must_use]
    pub fn find(&self, name: &[u8]) -> Option<&Rc<Upstream<P>>> {
        self.groups.get(name).or_else(|| self.groups.get(&*name.to_ascii_lowercase()))
    }

    /// What other modules see of the groups.
    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    /// All groups.
    pub fn all(&self) -> impl Iterator<Item = &Rc<Upstream<P>>> {
        self.groups.values()
    }

    /// The host of a fixed URL.
    #[must_use]
    pub fn host(&self, name: &[u8], port: u16) -> Option<Rc<Upstream<P>>> {
        self.hosts.borrow().get(&(name.to_ascii_lowercase().into(), port)).cloned()
    }

    /// Remembers the host of a fixed URL.
    pub fn add_host(&self, name: &[u8], port: u16, upstream: &Rc<Upstream<P>>) {
        self.hosts.borrow_mut().insert((name.to_ascii_lowercase().into(), port), upstream.clone());
    }

    /// A worker begins to count in the zones.
    pub fn start(&self, worker: &Worker) {
        if worker.process().is_none_or(|place| !place.agent) {
            for zone in self.groups.values().filter_map(|upstream| upstream.group.zone()) {
                zone.start_worker(worker.number);
            }
        }
    }
}

/// The block and its servers.
#[must_use]
pub fn rows<P: Protocol>() -> Vec<Row> {
    vec![
        Row::new("upstream", P::OUTSIDE, Arity::exactly(1), "A group of servers.", upstream::<P>).with_block(),
        Row::new("server", P::INSIDE, Arity::AtLeast(1), "A server of the group.", server::server::<P>),
    ]
}

fn upstream<P: Protocol>(cx: &mut Cx<'_>) -> Result<(), Error> {
    let name = cx.text(0).into_owned();
    if cx.main::<Upstreams<P>>().builders.iter().any(|(builder, _)| builder.name.eq_ignore_ascii_case(&name)) {
        return Err(cx.error(format!("duplicate upstream \"{name}\"")));
    }
    let frame = cx.frame.enter_server();
    {
        let mut builder = frame.server.get::<GroupBuilder<P>>();
        (builder.name, builder.span) = (name, cx.directive.name.span);
    }
    cx.read_block(P::INSIDE, &frame)?;
    let mut builder = frame.server.take::<GroupBuilder<P>>();
    builder.balancer = frame.server.take::<CustomBalancer<P::Session>>().balancer;
    if builder.balancer.is_some() && builder.servers.is_empty() && builder.templates.is_empty() {
        builder.add(&Server::new(SocketAddress::Internet(NOWHERE)), [SocketAddress::Internet(NOWHERE)]);
        builder.is_empty = true;
    }
    if builder.servers.is_empty() && builder.templates.is_empty() && builder.state.is_none() {
        return Err(cx.error("no servers are inside upstream"));
    }
    if builder.state.is_some() && builder.zone.is_none() {
        return Err(cx.error(format!("\"state\" requires upstream \"{}\" to be in shared memory", builder.name)));
    }
    let resolving = frame.location.take::<Resolving>();
    cx.main::<Upstreams<P>>().builders.push((builder, resolving));
    Ok(())
}

/// What a group is made of whose balancer names all servers.
const NOWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(0, 0, 0, 1)), 80);

/// Makes the groups. Zones and name servers may be said behind the blocks that need them.
///
/// # Errors
/// nginx's texts for groups without servers, names without resolvers and zones without room.
pub fn complete<P: Protocol>(frame: &Frame) -> Result<(), Error> {
    let builders = std::mem::take(&mut frame.main.get::<Upstreams<P>>().builders);
    let mut outer = Resolving::default();
    outer.inherit(&frame.location.get::<Resolving>());
    {
        let mut plans = frame.main.get::<Plans<P::Session>>();
        plans.paths = frame.global.get::<MainContext>().paths.clone();
        plans.files = frame.global.get::<Rc<Files>>().clone();
    }
    let log = P::error_log(frame).or_else(|| frame.global.get::<MainContext>().log.clone());
    let log = log.unwrap_or_else(|| ErrorLog::stderr(Level::Error));
    let directory = frame.main.get::<Directory>().clone();
    let mut zones = Vec::new();
    for (builder, mut resolving) in builders {
        if let Some(own) = &resolving.resolver {
            log_trouble(own, &log);
        }
        resolving.inherit(&outer);
        if let Some(zone) = builder.zone.as_ref().filter(|zone| !zones.iter().any(|known| Rc::ptr_eq(known, *zone))) {
            zones.push(zone.clone());
        }
        let lines = builder.lines.as_slice().into();
        let terms = GroupConstraints {
            state: builder.state.clone(),
            resolves: resolving.usable().is_some(),
            backups: builder.allowed.is_none_or(|allowed| allowed.backup) && builder.balancer.is_none(),
            port: P::PORT,
            bound: P::HAS_BOUND_CLIENTS,
        };
        let made = build(builder, resolving)?;
        directory.add(Named { host: made.name.clone(), port: None, group: made.group.clone(), lines, terms: Rc::new(terms) });
        frame.main.get::<Upstreams<P>>().groups.insert(made.name.to_ascii_lowercase().into_bytes().into(), Rc::new(made));
    }
    frame.main.get::<Upstreams<P>>().directory = directory;
    // Names come behind all servers with fixed addresses.
    let all = frame.main.get::<Upstreams<P>>();
    for previous in zones.iter().filter_map(|zone| zone.previous.get()) {
        all.groups.values().for_each(|upstream| upstream.group.inherit(previous));
    }
    Ok(())
}

fn build<P: Protocol>(mut builder: GroupBuilder<P>, resolving: Resolving) -> Result<Upstream<P>, Error> {
    let name = std::mem::take(&mut builder.name);
    let error = |text: String| Error::new(text, builder.span);
    let primary = builder.servers.iter().chain(builder.templates.iter().map(|template| &template.server)).any(|server| !server.backup);
    if builder.zone.is_none() && !builder.templates.is_empty() {
        return Err(error(format!("resolving names at run time requires upstream \"{name}\" to be in shared memory")));
    }
    if !builder.templates.is_empty() && resolving.usable().is_none() {
        return Err(error(format!("no resolver defined to resolve names at run time in upstream \"{name}\"")));
    }
    if !primary && builder.state.is_none() {
        return Err(error(format!("no servers in upstream \"{name}\"")));
    }
    let balancing = builder.balancing.unwrap_or_default();
    let group = match &builder.zone {
        None => Group::new(builder.servers, balancing),
        Some(zone) => {
            let peers = zone.peers.get().ok_or_else(|| error(format!("zero size shared memory zone \"{}\"", zone.name)))?;
            let group = Group::shared(name.as_str().into(), builder.servers, builder.templates, peers, balancing);
            group.ok_or_else(|| error(format!("zone \"{}\" is too small for upstream \"{name}\"", zone.name)))?
        }
    };
    Ok(Upstream {
        key: builder.key,
        balancer: builder.balancer,
        is_empty: builder.is_empty,
        resolving,
        own: P::own(builder.part),
        ..Upstream::new(&name, group)
    })
}
