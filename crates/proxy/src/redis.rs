//! `redis_pass`: values of a Redis server as answers.

use crate::destination::{self, PassConf, Protocol};
use crate::dialect::redis::Redis;
use crate::family;
use crate::pass::Kind;
use crate::settings::next;
use conf::context::{Arity, Context};
use conf::row::{self, Cx, Row};
use conf::scope::Config;
use conf::tree::Error;
use http::Variables;
use http::module::{Attach, Module};
use session::variable::{CHANGEABLE, VarIndex};
use std::rc::Rc;

/// The module.
pub const MODULE: Module = Module { rows, levels: destination::levels::<RedisConf>, attach, variables, ..Module::named("redis") };

/// The `redis_*` directives of a block.
#[derive(Default)]
struct RedisConf {
    /// `$redis_key` and `$redis_db`, where there is a pass.
    names: Option<(VarIndex, VarIndex)>,
    /// `redis_gzip_flag`.
    gzip_flag: Option<u64>,
}

impl Config for RedisConf {
    fn inherit(&mut self, parent: &Self) {
        conf::inherit!(self, parent; names, gzip_flag);
    }
}

impl Protocol for RedisConf {
    const NAME: &'static str = "redis";
    const CONDITIONS: &'static [(&'static str, u32)] = &next::KEYED_WORDS;
}

type Values = PassConf<RedisConf>;

fn rows() -> Vec<Row> {
    let all = Context::HTTP_ALL;
    let inner = Context::LOCATION.union(Context::LOCATION_IF);
    let mut rows = family::some_rows::<Values>(&destination::KEYED);
    rows.extend([
        Row::new("redis_pass", inner, Arity::exactly(1), "Answers with a value of a Redis server.", pass),
        row::number::<Values>("redis_gzip_flag", all, "Whether values are compressed.", |values| &mut values.conf.gzip_flag),
    ]);
    rows
}

fn pass(cx: &mut Cx<'_>) -> Result<(), Error> {
    let kind = Kind::Group { module: "redis", empty: "handler: empty \"redis_pass\" target" };
    destination::store::<RedisConf>(cx, || destination::read(cx, kind))?;
    let names = {
        let mut variables = cx.global::<Variables>();
        (variables.index("redis_key"), variables.index("redis_db"))
    };
    cx.location::<Values>().conf.names = Some(names);
    Ok(())
}

fn variables(variables: &mut Variables) {
    variables.define("redis_db", CHANGEABLE, Rc::new(|_, _| true));
}

fn attach(at: &mut Attach<'_>) -> Result<(), Error> {
    let values = at.conf::<Values>();
    let Some((key, database)) = values.conf.names else { return Ok(()) };
    let dialect = Redis { key, database, gzip_flag: values.conf.gzip_flag.unwrap_or(0) };
    destination::attach(at, &values, &values.family, dialect)
}
