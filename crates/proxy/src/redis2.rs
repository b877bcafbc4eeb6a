//! `redis2_pass`: Redis commands, whose replies are the answer as they are.

use crate::dialect::redis2::{RawCommands, Redis2};
use crate::family;
use crate::pass::Kind;
use crate::place::{self, PassConf, Protocol};
use crate::settings::next;
use conf::context::{Arity, Context};
use conf::row::{Cx, Row};
use conf::scope::Config;
use conf::tree::Error;
use http::module::{Attach, Module};
use http::{Complex, Variables};
use std::rc::Rc;

/// The module.
pub const MODULE: Module = Module { rows, levels: place::levels::<Redis2Conf>, attach, ..Module::named("redis2") };

/// The `redis2_*` directives of a block.
#[derive(Default)]
struct Redis2Conf {
    /// `redis2_query`, in order
    commands: Option<Rc<Vec<Vec<Complex>>>>,
    /// `redis2_raw_query`, `redis2_raw_queries`
    raw: Option<Complex>,
    /// The number in `redis2_raw_queries`
    count: Option<Complex>,
    /// `redis2_literal_raw_query`
    literal: Option<Box<[u8]>>,
}

impl Config for Redis2Conf {
    fn inherit(&mut self, parent: &Self) {
        conf::inherit!(self, parent; commands, raw, count, literal);
    }
}

impl Protocol for Redis2Conf {
    const NAME: &'static str = "redis2";
    const CONDITIONS: &'static [(&'static str, u32)] = &next::KEYED_WORDS;
}

type Values = PassConf<Redis2Conf>;

fn rows() -> Vec<Row> {
    let inner = Context::LOCATION.union(Context::LOCATION_IF);
    let mut rows =
        family::some_rows::<Values>(&["bind", "connect_timeout", "send_timeout", "read_timeout", "buffer_size", "next_upstream"]);
    rows.extend([
        Row::new("redis2_pass", inner, Arity::exactly(1), "Sends commands to a Redis server.", pass),
        Row::new("redis2_query", inner, Arity::AtLeast(1), "A command with its arguments.", query),
        Row::new("redis2_raw_query", inner, Arity::exactly(1), "A command as it goes out.", |cx| {
            let text = compile(cx, 0)?;
            cx.once(&mut cx.location::<Values>().conf.raw, text)
        }),
        Row::new("redis2_raw_queries", inner, Arity::exactly(2), "Commands as they go out, and their number.", |cx| {
            let (count, text) = (compile(cx, 0)?, compile(cx, 1)?);
            let own = &mut cx.location::<Values>().conf;
            (own.count, own.raw) = (Some(count), Some(text));
            Ok(())
        }),
        Row::new("redis2_literal_raw_query", inner, Arity::exactly(1), "A command as it goes out, without variables.", |cx| {
            cx.once(&mut cx.location::<Values>().conf.literal, cx.arg(0).into())
        }),
    ]);
    rows
}

fn compile(cx: &Cx<'_>, i: usize) -> Result<Complex, Error> {
    Complex::compile(cx.arg(i), &mut cx.global::<Variables>()).map_err(|text| cx.error_at(i, text))
}

fn query(cx: &mut Cx<'_>) -> Result<(), Error> {
    let conflict = {
        let own = &cx.location::<Values>().conf;
        match (&own.literal, &own.raw) {
            (Some(literal), _) if !literal.is_empty() => Some("redis2_literal_raw_query"),
            (_, Some(_)) => Some("redis2_raw_query"),
            _ => None,
        }
    };
    if let Some(other) = conflict {
        return Err(cx.error(format!("\"redis2_query\" directive conflicts with {other}")));
    }
    let command = (0..cx.args().len()).map(|i| compile(cx, i)).collect::<Result<Vec<_>, _>>()?;
    Rc::make_mut(cx.location::<Values>().conf.commands.get_or_insert_default()).push(command);
    Ok(())
}

fn pass(cx: &mut Cx<'_>) -> Result<(), Error> {
    let kind = Kind::Group { module: "redis2", empty: "handler: empty \"redis2_pass\" target" };
    place::store::<Redis2Conf>(cx, || place::read(cx, kind))
}

impl Redis2Conf {
    /// The query that holds: commands go before a literal, and that before a raw one.
    fn query(&self) -> Option<RawCommands> {
        if let Some(commands) = &self.commands {
            return Some(RawCommands::Commands(commands.clone()));
        }
        if let Some(text) = self.literal.as_ref().filter(|text| !text.is_empty()) {
            return Some(RawCommands::Literal(text.clone()));
        }
        self.raw.clone().map(|text| RawCommands::Raw { text, count: self.count.clone() })
    }
}

fn attach(at: &mut Attach<'_>) -> Result<(), Error> {
    let values = at.conf::<Values>();
    let mut family = values.family.clone();
    family.ignore_client_abort = Some(true);
    place::attach(at, &values, &family, Redis2 { query: values.conf.query() })
}
