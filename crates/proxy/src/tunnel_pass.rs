//! `tunnel_pass`: connections to elsewhere for clients that ask by CONNECT.

use crate::dialect::tunnel::Tunnel;
use crate::family;
use crate::pass;
use crate::place::{self, HasPass, PassValues, Place};
use crate::route::Route;
use crate::settings::next;
use conf::context::{Arity, Context};
use conf::row::{Cx, Row};
use conf::scope::Config;
use conf::tree::Error;
use http::core::ServerCore;
use http::module::{Attach, Levels, Module};

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
    own: PassValues,
}

impl Config for Values {
    fn inherit(&mut self, parent: &Self) {
        self.own.inherit(&parent.own);
    }
}

impl HasPass for Values {
    const PROTOCOL: &'static str = "tunnel";
    const CONDITIONS: &'static [(&'static str, u32)] = &[("error", next::ERROR), ("timeout", next::TIMEOUT), ("off", next::OFF)];

    fn values(&self) -> &PassValues {
        &self.own
    }

    fn values_mut(&mut self) -> &mut PassValues {
        &mut self.own
    }
}

fn rows() -> Vec<Row> {
    let mut rows = family::some_rows::<Values>(&SUFFIXES);
    let places = Context::SERVER.union(Context::LOCATION).union(Context::LOCATION_IF);
    rows.push(Row::new("tunnel_pass", places, Arity::Between(0, 1), "Connects clients that ask by CONNECT.", pass));
    rows
}

fn pass(cx: &mut Cx<'_>) -> Result<(), Error> {
    place::store::<Values>(cx, || if cx.args().is_empty() { pass::given(cx, ASKED) } else { pass::read(cx, "", "") })?;
    cx.server::<ServerCore>().takes_connect = Some(true);
    Ok(())
}

fn levels(levels: &mut Levels) {
    levels.location::<Values>();
}

fn attach(at: &mut Attach<'_>) -> Result<(), Error> {
    let values = at.conf::<Values>();
    let own = &values.own;
    let Some(place) = Place::find(at, own.pass.as_ref(), own.outer.as_ref()) else { return Ok(()) };
    place.settle(at, 0)?;
    let plan = place::plan(&own.family, "tunnel", &[]).map_err(|text| place.error(text))?;
    place.serve(at, &*values, Route::plain(plan, place.pass.clone(), None, Tunnel));
    Ok(())
}
