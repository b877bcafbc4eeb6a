//! `memcached_pass`: values of a memcached server as answers.

use crate::dialect::memcached::Memcached;
use crate::family;
use crate::memc::conditions;
use crate::pass::Kind;
use crate::place::{self, HasPass, PassValues};
use conf::context::{Arity, Context};
use conf::row::{self, Cx, Row};
use conf::scope::Config;
use conf::tree::Error;
use http::Variables;
use http::module::{Attach, Levels, Module};
use session::variable::VarIndex;

/// The module.
pub const MODULE: Module = Module { rows, levels, attach, ..Module::named("memcached") };

/// What a block says of `memcached_*`.
#[derive(Default)]
struct Values {
    own: PassValues,
    /// `$memcached_key`, once there is a pass
    key: Option<VarIndex>,
    /// `memcached_gzip_flag`
    gzip_flag: Option<u64>,
}

impl Config for Values {
    fn inherit(&mut self, parent: &Self) {
        self.own.inherit(&parent.own);
        conf::inherit!(self, parent; key, gzip_flag);
    }
}

impl HasPass for Values {
    const PROTOCOL: &'static str = "memcached";

    fn values(&self) -> &PassValues {
        &self.own
    }

    fn values_mut(&mut self) -> &mut PassValues {
        &mut self.own
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
            cx.once(&mut cx.location::<Values>().own.family.next_upstream, value)
        }),
        row::number::<Values>("memcached_gzip_flag", all, "The flag of values that are compressed.", |values| &mut values.gzip_flag),
    ]);
    rows
}

fn pass(cx: &mut Cx<'_>) -> Result<(), Error> {
    place::store::<Values>(cx, || {
        let pass = place::read(cx, Kind::Group { module: "memcached", empty: "" })?;
        // Variables are not looked for, and what is no group needs a port.
        if pass.url.is_some() { Ok(pass) } else { Err(cx.error_at(0, format!("no port in upstream \"{}\"", cx.text(0)))) }
    })?;
    let key = cx.global::<Variables>().index("memcached_key");
    cx.location::<Values>().key = Some(key);
    Ok(())
}

fn levels(levels: &mut Levels) {
    levels.location::<Values>();
}

fn attach(at: &mut Attach<'_>) -> Result<(), Error> {
    let values = at.conf::<Values>();
    let Some(key) = values.key else { return Ok(()) };
    let dialect = Memcached { key, gzip_flag: values.gzip_flag.unwrap_or(0) };
    place::attach(at, &*values, &values.own.family, dialect)
}
