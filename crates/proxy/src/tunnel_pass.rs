//! `tunnel_pass`: CONNECT requests to other servers.

use crate::dialect::tunnel::Tunnel;
use crate::family;
use crate::pass;
use crate::place::{self, PassConf, Protocol};
use crate::route::Route;
use crate::settings::next;
use conf::context::{Arity, Context};
use conf::row::{Cx, Row};
use conf::scope::Config;
use conf::tree::Error;
use http::core::ServerCore;
use http::module::{Attach, Module};

/// The module.
pub const MODULE: Module = Module { rows, levels: place::levels::<TunnelConf>, attach, ..Module::named("tunnel") };

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

/// A tunnel has no more than the family.
#[derive(Default)]
struct TunnelConf;

impl Config for TunnelConf {
    fn inherit(&mut self, _: &Self) {}
}

impl Protocol for TunnelConf {
    const NAME: &'static str = "tunnel";
    const CONDITIONS: &'static [(&'static str, u32)] = &[("error", next::ERROR), ("timeout", next::TIMEOUT), ("off", next::OFF)];
}

type Values = PassConf<TunnelConf>;

fn rows() -> Vec<Row> {
    let mut rows = family::some_rows::<Values>(&SUFFIXES);
    let places = Context::SERVER.union(Context::LOCATION).union(Context::LOCATION_IF);
    rows.push(Row::new("tunnel_pass", places, Arity::Between(0, 1), "Connects clients that ask by CONNECT.", pass));
    rows
}

fn pass(cx: &mut Cx<'_>) -> Result<(), Error> {
    place::store::<TunnelConf>(cx, || if cx.args().is_empty() { pass::read_default(cx, ASKED) } else { pass::read(cx, "", "") })?;
    cx.server::<ServerCore>().takes_connect = Some(true);
    Ok(())
}

fn attach(at: &mut Attach<'_>) -> Result<(), Error> {
    let values = at.conf::<Values>();
    let Some(place) = values.place(at) else { return Ok(()) };
    place.resolve(at, 0)?;
    let plan = place::plan(&values.family, "tunnel", &[]).map_err(|text| place.error(text))?;
    place.serve(at, &*values, Route::plain(plan, place.pass.clone(), None, Tunnel));
    Ok(())
}
