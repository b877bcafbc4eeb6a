//! `memcached_pass`: values of a memcached server as answers.

use crate::dialect::memcached::Memcached;
use crate::family::{self, Member};
use crate::memc::conditions;
use crate::pass::{Kind, Pass};
use crate::place;
use crate::route::{Route, Routed};
use crate::settings::Family;
use conf::context::{Arity, Context};
use conf::row::{self, Cx, Row};
use conf::scope::Config;
use conf::tree::Error;
use http::Variables;
use http::module::{Attach, Levels, Module};
use session::variable::VarIndex;
use std::cell::OnceCell;
use std::rc::Rc;

/// The module.
pub const MODULE: Module = Module { rows, levels, attach, ..Module::named("memcached") };

/// What a block says of `memcached_*`.
#[derive(Default)]
struct Values {
    family: Family,
    /// `memcached_pass`; not inherited
    pass: Option<Rc<Pass>>,
    /// `memcached_pass` of the block outside, for blocks without a name
    outer: Option<Rc<Pass>>,
    /// `$memcached_key`, once there is a pass
    key: Option<VarIndex>,
    /// `memcached_gzip_flag`
    gzip_flag: Option<u64>,
    /// See [`Routed::route`]
    route: OnceCell<Rc<Route>>,
}

impl Config for Values {
    fn inherit(&mut self, parent: &Self) {
        self.family.inherit(&parent.family);
        conf::inherit!(self, parent; key, gzip_flag);
        self.outer.clone_from(&parent.pass);
    }
}

impl Member for Values {
    const PREFIX: &'static str = "memcached";

    fn family(&mut self) -> &mut Family {
        &mut self.family
    }
}

fn rows() -> Vec<Row> {
    let all = Context::HTTP_ALL;
    let mut rows = family::some_rows::<Values>(&[
        "bind",
        "socket_keepalive",
        "connect_timeout",
        "send_timeout",
        "read_timeout",
        "buffer_size",
        "next_upstream_tries",
        "next_upstream_timeout",
    ]);
    rows.extend([
        Row::new(
            "memcached_pass",
            Context::LOCATION.union(Context::LOCATION_IF),
            Arity::exactly(1),
            "Answers with a value of a memcached server.",
            pass,
        ),
        Row::new("memcached_next_upstream", all, Arity::AtLeast(1), "When the next memcached server is asked.", |cx| {
            let value = conditions(cx)?;
            cx.once(&mut cx.location::<Values>().family.next_upstream, value)
        }),
        row::number::<Values>("memcached_gzip_flag", all, "The flag of values that are compressed.", |values| &mut values.gzip_flag),
    ]);
    rows
}

fn pass(cx: &mut Cx<'_>) -> Result<(), Error> {
    if cx.location::<Values>().pass.is_some() {
        return Err(cx.duplicate());
    }
    let pass = place::read(cx, Kind::Group { module: "memcached", empty: "" })?;
    if pass.url.is_none() {
        // Variables are not looked for, and what is no group needs a port.
        return Err(cx.error_at(0, format!("no port in upstream \"{}\"", cx.text(0))));
    }
    let key = cx.global::<Variables>().index("memcached_key");
    let mut values = cx.location::<Values>();
    (values.pass, values.key) = (Some(pass), Some(key));
    Ok(())
}

fn levels(levels: &mut Levels) {
    levels.location::<Values>();
}

fn attach(at: &mut Attach<'_>) -> Result<(), Error> {
    let values = at.conf::<Values>();
    let Some(key) = values.key else { return Ok(()) };
    let dialect = Memcached { key, gzip_flag: values.gzip_flag.unwrap_or(0) };
    place::attach(at, &*values, &values.family, values.pass.clone(), values.outer.clone(), dialect)
}

impl Routed for Values {
    fn route(&self) -> &OnceCell<Rc<Route>> {
        &self.route
    }
}
