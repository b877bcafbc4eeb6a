//! `tunnel_pass`: connections to elsewhere for clients that ask by CONNECT.

use crate::dialect::tunnel::Tunnel;
use crate::family::{self, Member};
use crate::handler;
use crate::limits::default;
use crate::pass::{self, Pass};
use crate::rewrite::CookieRules;
use crate::route::{Route, Routed};
use crate::settings::{Family, Plan, next};
use crate::upstream::Upstreams;
use conf::context::{Arity, Context};
use conf::row::{Cx, Row};
use conf::scope::Config;
use conf::tree::Error;
use http::core::ServerCore;
use http::location::Match;
use http::module::{Attach, Levels, Module};
use std::cell::OnceCell;
use std::rc::Rc;

/// The module.
pub const MODULE: Module = Module { rows, levels, attach, ..Module::named("tunnel") };

/// Where a tunnel leads unless the directive says something else.
const ASKED: &[u8] = b"$host:$request_port";

/// The family's directives that a tunnel has.
const SUFFIXES: [&str; 12] = [
    "bind",
    "socket_keepalive",
    "socket_rcvbuf",
    "socket_sndbuf",
    "connect_timeout",
    "send_timeout",
    "send_lowat",
    "read_timeout",
    "buffer_size",
    "next_upstream",
    "next_upstream_tries",
    "next_upstream_timeout",
];

/// What a block says of `tunnel_*`.
#[derive(Default)]
struct Values {
    family: Family,
    /// `tunnel_pass`; not inherited
    pass: Option<Rc<Pass>>,
    /// `tunnel_pass` of the block outside, for blocks without a name
    outer: Option<Rc<Pass>>,
    route: OnceCell<Rc<Route>>,
}

impl Config for Values {
    fn inherit(&mut self, parent: &Self) {
        self.family.inherit(&parent.family);
        self.outer.clone_from(&parent.pass);
    }
}

impl Member for Values {
    const PREFIX: &'static str = "tunnel";
    const NEXT: &'static [(&'static str, u32)] = &[("error", next::ERROR), ("timeout", next::TIMEOUT), ("off", next::OFF)];

    fn family(&mut self) -> &mut Family {
        &mut self.family
    }
}

impl Routed for Values {
    fn route(&self) -> &OnceCell<Rc<Route>> {
        &self.route
    }
}

fn rows() -> Vec<Row> {
    let mut rows = family::some_rows::<Values>(&SUFFIXES);
    let places = Context::SERVER.union(Context::LOCATION).union(Context::LOCATION_IF);
    rows.push(Row::new("tunnel_pass", places, Arity::Between(0, 1), "Connects clients that ask by CONNECT.", pass));
    rows
}

fn pass(cx: &mut Cx<'_>) -> Result<(), Error> {
    if cx.location::<Values>().pass.is_some() {
        return Err(cx.duplicate());
    }
    let made = match cx.args().len() {
        0 => pass::given(cx, ASKED)?,
        _ => pass::read(cx, "", "")?,
    };
    cx.location::<Values>().pass = Some(Rc::new(made));
    cx.server::<ServerCore>().takes_connect = Some(true);
    Ok(())
}

fn levels(levels: &mut Levels) {
    levels.location::<Values>();
}

fn plan(family: &Family) -> Result<Plan, String> {
    let mut family = family.clone();
    // There are no other buffers that the first one could contradict.
    family.buffers = Some((default::BUFFERS, family.buffer_size.unwrap_or(default::PAGE).max(default::PAGE)));
    family.plan("tunnel", &[])
}

fn attach(at: &mut Attach<'_>) -> Result<(), Error> {
    let values = at.conf::<Values>();
    let unnamed = matches!(at.kind, Match::Unnamed) && !at.is_server;
    let inherited = values.pass.is_none();
    let Some(pass) = values.pass.clone().or_else(|| values.outer.clone().filter(|_| unnamed)) else { return Ok(()) };
    let error = |text: String| Error::new(text, pass.span);
    pass.settle(&at.main_conf::<Upstreams>(), 0).map_err(error)?;
    let plan = plan(&values.family).map_err(error)?;
    let cookies = CookieRules { domains: Rc::default(), paths: Rc::default(), flags: Rc::default() };
    let route = Rc::new(Route { plan, pass, secure: None, dialect: Box::new(Tunnel), redirects: Vec::new(), cookies });
    // The values of a location are frozen once.
    let _ = values.route.set(route.clone());
    if !inherited || at.parts.content.is_none() {
        at.content(move |request| handler::handle_current::<Values>(request, &route));
    }
    Ok(())
}
