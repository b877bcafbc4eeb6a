//! `uwsgi_pass`: applications behind uWSGI.

use crate::dialect::uwsgi::Uwsgi;
use crate::gateway::{self, Gateway, GatewayConf, Values};
use crate::place;
use conf::context::{Arity, Context};
use conf::row::{Cx, Row};
use conf::scope::Config;
use conf::tree::Error;
use http::module::{Attach, Module};

/// The module.
pub const MODULE: Module = Module {
    rows,
    levels: place::levels::<GatewayConf<UwsgiConf>>,
    complete: gateway::complete::<UwsgiConf>,
    attach,
    ..Module::named("uwsgi")
};

/// The `uwsgi_*` directives of a block.
#[derive(Default)]
struct UwsgiConf {
    /// `uwsgi_modifier1`
    modifier1: Option<u8>,
    /// `uwsgi_modifier2`
    modifier2: Option<u8>,
    /// `uwsgi_string`
    string: Option<Box<[u8]>>,
}

impl Config for UwsgiConf {
    fn inherit(&mut self, parent: &Self) {
        conf::inherit!(self, parent; modifier1, modifier2, string);
    }
}

impl Gateway for UwsgiConf {
    const NAME: &'static str = "uwsgi";
    const SCHEME: &'static str = "uwsgi://";
    const SECURE_SCHEME: &'static str = "suwsgi://";
    const HIDDEN: &'static [&'static str] = &gateway::ORDERS;
}

fn rows() -> Vec<Row> {
    let all = Context::HTTP_ALL;
    let mut rows = gateway::rows::<UwsgiConf>(false);
    rows.extend([
        Row::new("uwsgi_modifier1", all, Arity::exactly(1), "First modifier of the uwsgi packet.", |cx| {
            let value = modifier(cx)?;
            cx.once(&mut cx.location::<Values<UwsgiConf>>().conf.alone.modifier1, value)
        }),
        Row::new("uwsgi_modifier2", all, Arity::exactly(1), "Second modifier of the uwsgi packet.", |cx| {
            let value = modifier(cx)?;
            cx.once(&mut cx.location::<Values<UwsgiConf>>().conf.alone.modifier2, value)
        }),
        Row::new("uwsgi_string", all, Arity::exactly(1), "Bytes behind the variables of the uwsgi packet.", |cx| {
            cx.once(&mut cx.location::<Values<UwsgiConf>>().conf.alone.string, cx.arg(0).into())
        }),
    ]);
    rows
}

/// A byte; nginx takes larger numbers and sends what is left of them.
fn modifier(cx: &Cx<'_>) -> Result<u8, Error> {
    u8::try_from(cx.number(0)?).map_err(|_| cx.error_at(0, "value must be between 0 and 255"))
}

fn attach(at: &mut Attach<'_>) -> Result<(), Error> {
    gateway::attach(at, |params, own: &UwsgiConf| Uwsgi {
        params,
        modifiers: [own.modifier1.unwrap_or(0), own.modifier2.unwrap_or(0)],
        string: own.string.clone().unwrap_or_default(),
    })
}
