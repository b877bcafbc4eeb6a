//! `memcached_pass`: values of a memcached server as answers.

use crate::dialect::memcached::Memcached;
use crate::family;
use crate::pass::Kind;
use crate::place::{self, PassConf, Protocol};
use crate::settings::next;
use conf::context::{Arity, Context};
use conf::row::{self, Cx, Row};
use conf::scope::Config;
use conf::tree::Error;
use http::Variables;
use http::module::{Attach, Module};
use session::variable::VarIndex;

/// The module.
pub const MODULE: Module = Module { rows, levels: place::levels::<MemcachedConf>, attach, ..Module::named("memcached") };

/// The `memcached_*` directives of a block.
#[derive(Default)]
struct MemcachedConf {
    /// `$memcached_key`, once there is a pass
    key: Option<VarIndex>,
    /// `memcached_gzip_flag`
    gzip_flag: Option<u64>,
}

impl Config for MemcachedConf {
    fn inherit(&mut self, parent: &Self) {
        conf::inherit!(self, parent; key, gzip_flag);
    }
}

impl Protocol for MemcachedConf {
    const NAME: &'static str = "memcached";
    const CONDITIONS: &'static [(&'static str, u32)] = &next::KEYED_WORDS;
}

type Values = PassConf<MemcachedConf>;

fn rows() -> Vec<Row> {
    let all = Context::HTTP_ALL;
    let mut rows = family::some_rows::<Values>(&place::KEYED);
    rows.extend([
        Row::new(
            "memcached_pass",
            Context::LOCATION.union(Context::LOCATION_IF),
            Arity::exactly(1),
            "Answers with a value of a memcached server.",
            pass,
        ),
        row::number::<Values>("memcached_gzip_flag", all, "The flag of values that are compressed.", |values| &mut values.conf.gzip_flag),
    ]);
    rows
}

fn pass(cx: &mut Cx<'_>) -> Result<(), Error> {
    place::store::<MemcachedConf>(cx, || {
        let pass = place::read(cx, Kind::Group { module: "memcached", empty: "" })?;
        // Variables are not looked for, and what is no group needs a port.
        if pass.url.is_some() { Ok(pass) } else { Err(cx.error_at(0, format!("no port in upstream \"{}\"", cx.text(0)))) }
    })?;
    let key = cx.global::<Variables>().index("memcached_key");
    cx.location::<Values>().conf.key = Some(key);
    Ok(())
}

fn attach(at: &mut Attach<'_>) -> Result<(), Error> {
    let values = at.conf::<Values>();
    let Some(key) = values.conf.key else { return Ok(()) };
    let dialect = Memcached { key, gzip_flag: values.conf.gzip_flag.unwrap_or(0) };
    place::attach(at, &values, &values.family, dialect)
}
